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

struct follow {
	const struct image_header *image;
	struct control *switches;
	__u64 slots;
	__u64 session;
	__u64 now;
	__u64 verdict;
	__u32 right;
	__u32 class;
	__u32 operation;
	__u32 port;
};

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

/* The last step is about to happen. A verdict: denied, or only told. */
static __always_inline __u64 judge_whole(struct follow *follow, const struct image_sequence *sequence, __u64 start)
{
	__u64 session = follow->session, id = sequence->id;
	__u64 *gap = bpf_map_lookup_elem(&session_gaps, &session);
	bool enforced = !(gap && *gap >= start) && !bpf_map_lookup_elem(&revoked, &id);

	return pack_verdict(sequence->rule, follow->right, enforced, follow->class);
}

/* One step of one sequence. */
static long follow_step(__u32 i, struct follow *follow)
{
	const struct image_header *image = follow->image;
	const struct image_sequence *sequence;
	const struct image_step *step;
	struct progress_key key = {};
	struct progress *state;
	struct wait *wait, *following;
	__u64 now = follow->now, start, verdict = 0;
	__u32 low = follow->slots, slot, at, needed, most, so_far;
	__u32 seen;
	bool is_last;

	if (!follow->slots)
		return 1;
	slot = low ? lowest_bit(low) : 32 + lowest_bit(follow->slots >> 32);
	follow->slots &= follow->slots - 1;
	step = image_at(image, image->off_sequences + __builtin_offsetof(struct image_sequences, steps) +
				       slot * sizeof(struct image_step));
	sequence = image_at(image, image->off_sequences + __builtin_offsetof(struct image_sequences, sequences) +
					   step->sequence * sizeof(struct image_sequence));
	if (step->operation && step->operation != follow->operation)
		return 0;
	key.session = follow->session;
	key.sequence = sequence->id;
	at = step->step & (MAX_STEPS - 1);
	state = bpf_map_lookup_elem(&progress, &key);
	if (step->flags & STEP_ABSENT) {
		if (state)
			state->waits[at].start = 0;
		return 0;
	}
	if (!state) {
		if (at)
			return 0;
		bpf_map_update_elem(&progress, &key, &no_progress, BPF_NOEXIST);
		state = bpf_map_lookup_elem(&progress, &key);
		if (!state) {
			count(COUNT_SEQUENCES_FULL);
			return 0;
		}
	}
	wait = &state->waits[at];
	if (!wait->start || now > wait->until) {
		wait->count = 0;
		if (at) {
			wait->start = 0;
			return 0;
		}
		wait->start = now;
		wait->until = now + least(sequence->within, step->within);
	}
	start = wait->start;
	needed = step->count - 1;
	most = needed;
	seen = 0;
	if (step->flags & STEP_DISTINCT) {
		seen = has_port(wait, follow->port);
		most++;
	}
	is_last = at + 1 == sequence->n_steps;
	so_far = wait->count;
	if (is_last && so_far - seen >= needed)
		verdict = judge_whole(follow, sequence, start);
	if (!(verdict >> 24 & 1) && !seen && so_far < most) {
		wait->ports[so_far & (MAX_COUNT - 1)] = follow->port;
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
	follow->verdict = stricter(follow->verdict, verdict, follow->switches);
	return 0;
}

/* What a hook knows about an access that nothing else denies. */
struct taken {
	__u32 slot; /* of the image */
	__u32 want;
	__u32 class;
	__u32 operation;
	__u32 port;
	__u32 reserved;
};

/*
 * 0, or the verdict of a sequence whose last step this is. A global function: it is verified once, by itself, and not
 * again on every path of every hook.
 */
__noinline __u64 follow_sequences(struct taken *taken)
{
	struct control *switches = get_control();
	const struct image_sequences *sequences;
	const struct image_header *image;
	struct follow follow = {};
	struct label *label;
	__u64 concerned = 0;
	__u32 want;

	if (!taken || !switches)
		return 0;
	image = image_of(taken->slot);
	if (!image)
		return 0;
	follow.slots = *(const __u64 *)image_at(image, image->off_slots + taken->class * sizeof(__u64));
	if (!follow.slots)
		return 0;
	label = label_of(bpf_get_current_task_btf());
	if (!label || !label->session)
		return 0;
	sequences = image_at(image, image->off_sequences);
	want = taken->want;
#pragma unroll
	for (__u32 right = 0; right < RIGHT_COUNT; right++)
		concerned |= sequences->by_right[right] & -(__u64)(want >> right & 1);
	if (label->identity)
		concerned &= ~sequences->unidentified;
	follow.slots &= concerned;
	if (!follow.slots)
		return 0;
	follow.image = image;
	follow.switches = switches;
	follow.session = label->session;
	follow.now = bpf_ktime_get_boot_ns();
	follow.right = lowest_bit(want);
	follow.class = taken->class;
	follow.operation = taken->operation;
	follow.port = taken->port;
	bpf_loop(MAX_SLOTS, follow_step, &follow, 0);
	return follow.verdict;
}

#endif
