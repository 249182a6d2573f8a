/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sequences that block: what a session has done so far, advanced by the hooks, so that the last step is denied before
 * it happens. policies/follow.py does the same, and says what the state means.
 *
 * An access is a step of a sequence by its right and its object class. Where no sequence blocks nothing here runs.
 */
#ifndef MENSHEN_SEQUENCE_H
#define MENSHEN_SEQUENCE_H

#include "verdict.h"

static const struct progress no_progress;

static __always_inline __u64 least(__u64 one, __u64 other)
{
	return one < other ? one : other;
}

/* 1 if the port is among the first `count`. Without branches, each of which would double the verifier's work. */
static __always_inline __u32 has_port(const struct wait *wait, __u32 port)
{
	__u32 found = 0, so_far = wait->count;

#pragma unroll
	for (__u32 i = 0; i < MAX_COUNT; i++)
		found |= (((__u32)wait->ports[i] ^ (port & 0xffff)) - 1) & (i - so_far);
	return found >> 31;
}

/* Whether the last step of a sequence that began at `start` may be denied. */
static __always_inline bool may_deny(const struct progress_key *key, __u64 start)
{
	__u64 *gap = bpf_map_lookup_elem(&session_gaps, &key->session);

	return !(gap && *gap >= start) && !bpf_map_lookup_elem(&revoked, &key->sequence);
}

/* One step of one sequence: 0, or the verdict if it is the last one. `key` has the session. */
static __always_inline __u64 follow_step(const struct image_header *image, const struct image_step *step,
					 const struct taken *taken, struct progress_key *key, __u64 now)
{
	const struct image_sequence *sequence;
	struct progress *state;
	struct wait *wait, *following;
	__u64 start, verdict = 0;
	__u32 at = step->step & (MAX_STEPS - 1), needed = step->count - 1, seen = 0, most = needed, so_far;
	bool is_last;

	sequence = image_at(image, image->off_sequences + __builtin_offsetof(struct image_sequences, sequences) +
					   step->sequence * sizeof(struct image_sequence));
	key->sequence = sequence->id;
	state = bpf_map_lookup_elem(&progress, key);
	if (step->flags & STEP_ABSENT) {
		if (state)
			state->waits[at].start = 0;
		return 0;
	}
	if (!state) {
		if (at)
			return 0;
		bpf_map_update_elem(&progress, key, &no_progress, BPF_NOEXIST);
		state = bpf_map_lookup_elem(&progress, key);
		if (!state) {
			count(COUNT_SEQUENCES_FULL);
			return 0;
		}
	}
	wait = &state->waits[at];
	if (!wait->start || now > wait->until) {
		wait->count = 0;
		wait->start = at ? 0 : now;
		if (at)
			return 0;
		wait->until = now + least(sequence->within, step->within);
	}
	start = wait->start;
	if (step->flags & STEP_DISTINCT) {
		seen = has_port(wait, taken->port);
		most++;
	}
	so_far = wait->count;
	is_last = at + 1 == sequence->n_steps;
	if (is_last && so_far - seen >= needed)
		verdict = pack_verdict(sequence->rule, lowest_bit(taken->want), may_deny(key, start), taken->class);
	if (!(verdict >> 24 & 1) && !seen && so_far < most) {
		wait->ports[so_far & (MAX_COUNT - 1)] = taken->port;
		wait->count = so_far + 1;
	}
	if (so_far - seen < needed)
		return 0;
	if (!at && !needed)
		wait->start = 0;
	if (!is_last) {
		following = &state->waits[(at + 1) & (MAX_STEPS - 1)];
		if (!following->start || !following->count || now > following->until) {
			following->count = 0;
			following->until = least(start + sequence->within, now + step->next_within);
			following->start = start;
		}
		return 0;
	}
	if (!(verdict >> 24 & 1))
		wait->start = 0;
	return verdict;
}

/* The steps that an access may be, as bits of slots. */
static __always_inline __u64 concerned(const struct image_header *image, __u32 want, __u32 class,
				       const struct label *label)
{
	const struct image_sequences *sequences = image_at(image, image->off_sequences);
	__u64 found = 0;

#pragma unroll
	for (__u32 right = 0; right < RIGHT_COUNT; right++)
		found |= sequences->by_right[right] & -(__u64)(want >> right & 1);
	if (label->identity)
		found &= ~sequences->unidentified;
	return found & *(const __u64 *)image_at(image, image->off_slots + class * sizeof(__u64));
}

/* Its state is in scratch memory: stack is scarce, 512 bytes over all frames. */
static long follow_slot(__u32 i, void *unused)
{
	struct scratch *scratch = get_scratch();
	const struct image_header *image;
	const struct image_step *step;
	struct follow *follow;
	__u64 slots, verdict;
	__u32 low, slot;

	if (!scratch)
		return 1;
	follow = &scratch->follow;
	image = image_of(follow->taken.slot);
	slots = follow->slots;
	if (!image || !slots)
		return 1;
	low = slots;
	slot = low ? lowest_bit(low) : 32 + lowest_bit(slots >> 32);
	follow->slots = slots & (slots - 1);
	step = image_at(image, image->off_sequences + __builtin_offsetof(struct image_sequences, steps) +
				       slot * sizeof(struct image_step));
	if (step->operation && step->operation != follow->taken.operation)
		return 0;
	verdict = follow_step(image, step, &follow->taken, &follow->key, follow->now);
	/* What is enforced counts before what is only told, the first before the second. */
	if (!follow->verdict || (verdict & ~follow->verdict) >> 24 & 1)
		follow->verdict = verdict;
	return 0;
}

/*
 * 0, or the verdict of a sequence whose last step this is. A global function: it is verified once, by itself, and not
 * again on every path of every hook.
 */
__noinline __u64 follow_sequences(__u32 slot, __u32 want, __u32 class, __u32 operation, __u32 port)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct scratch *scratch;
	struct follow *follow;
	const struct image_header *image;

	if (!label || !label->session)
		return 0;
	scratch = get_scratch();
	if (!scratch)
		return 0;
	follow = &scratch->follow;
	follow->taken.slot = slot;
	follow->taken.want = want;
	follow->taken.class = class;
	follow->taken.operation = operation;
	follow->taken.port = port;
	image = image_of(slot);
	if (!image)
		return 0;
	follow->slots = concerned(image, want, class, label);
	if (!follow->slots)
		return 0;
	follow->key.session = label->session;
	follow->now = bpf_ktime_get_boot_ns();
	follow->verdict = 0;
	bpf_loop(MAX_SLOTS, follow_slot, NULL, 0);
	return follow->verdict;
}

#endif
