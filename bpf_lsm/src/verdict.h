/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From (subject, class, rights) to a verdict, and from a verdict to its event. The verdict is a table lookup; the
 * event never changes it.
 */
#ifndef MENSHEN_VERDICT_H
#define MENSHEN_VERDICT_H

#include "path.h"
#include "session.h"
#include "subject.h"

#define NO_RIGHT 255

struct endpoint {
	__u8 family; /* ENDPOINT_V4, ENDPOINT_V6; 0: none of ours */
	__u8 protocol;
	__u16 port;
	__u8 address[16]; /* network order; v4 in the first four bytes */
};

/* What a hook knows about the attempt, for the event only. */
struct attempt {
	__u64 target;
	const struct endpoint *endpoint; /* or NULL */
	__u32 operation;
	__u32 detail;
	__u32 target_pid;
};

static __always_inline int deny(int error)
{
	/*
	 * 6.8 and newer check that an LSM program returns [-4095, 0]; clang would otherwise fold the choice of value
	 * into an unknown scalar.
	 */
	asm volatile("" : "+r"(error));
	return error;
}

/* What a hook returns: `error` is a constant there. */
static __always_inline int answer(bool denied, int error)
{
	if (denied)
		return deny(error);
	return 0;
}

static __always_inline const struct image_cell *cell_at(const struct image_header *image, __u32 cell)
{
	if (cell >= image->n_cells)
		cell = 0;
	return image_at(image, image->off_cells + cell * sizeof(struct image_cell));
}

static __always_inline const struct image_cell *find_cell(const struct image_header *image, __u32 row, __u32 class,
							  __u32 flags)
{
	__u32 at = row * image->n_classes + class;
	/* Two cells share an 8-byte word at most; the mask of image_at needs the rest of the index. */
	const __u16 *grid = image_at(image, (image->off_grid + at * 2) & ~7u);
	const struct image_cell *cell = cell_at(image, grid[at & 3]);

	if (flags & OBJECT_FOREIGN)
		cell = cell_at(image, cell->foreign);
	return cell;
}

/* Never 0: rule, right, enforced, class. */
static __always_inline __u64 pack_verdict(__u32 rule, __u32 right, bool enforced, __u32 class)
{
	return (__u64) class << 32 | 1u << 25 | (__u32)enforced << 24 | (right & 0xff) << 16 | (rule & 0xffff);
}

/* Not inlined: the stack of report() is wanted. */
static __noinline int count_verdict(__u64 verdict, __u32 row)
{
	__u32 rule = verdict & 0xffff, enforced = (verdict >> 24) & 1;
	struct tally *tally;

	count(enforced ? COUNT_DENIED : COUNT_WOULD_DENY);
	tally = bpf_map_lookup_elem(&rule_tallies, &rule);
	if (tally)
		__sync_fetch_and_add(enforced ? &tally->denied : &tally->would_deny, 1);
	tally = bpf_map_lookup_elem(&row_tallies, &row);
	if (tally)
		__sync_fetch_and_add(enforced ? &tally->denied : &tally->would_deny, 1);
	return 0;
}

/* Counts and reports. `name` may be NULL. Returns nothing: whoever calls has decided already. */
static __noinline int report(struct attempt *attempt, struct dentry *name, const struct image_header *image,
			     struct control *switches, __u64 verdict)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 rule = verdict & 0xffff, right = (verdict >> 16) & 0xff, enforced = (verdict >> 24) & 1;
	__u32 class = verdict >> 32, row = ROW_UNIDENTIFIED;
	struct label *label = label_of(task);
	struct scratch *scratch;
	struct event *event;

	if (label)
		row = label->row;
	count_verdict(verdict, row);

	scratch = get_scratch();
	if (!scratch) {
		count(COUNT_DENIALS_LOST);
		return 0;
	}
	event = &scratch->event;
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_boot_ns();
	event->generation = image->generation;
	event->subject = label ? label->identity : 0;
	event->target = attempt->target;
	if (label) {
		notice_login(label, task);
		event->session = label->session;
	}
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = task->tgid;
	event->tid = task->pid;
	event->ppid = task->real_parent->tgid;
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->login_uid = task->loginuid.val;
	event->rule = rule;
	event->row = row;
	event->class = class;
	event->detail = attempt->detail;
	event->operation = attempt->operation;
	event->kind = enforced ? EVENT_DENIAL : EVENT_WOULD_DENY;
	event->right = right;
	event->target_pid = attempt->target_pid;
	if (attempt->endpoint) {
		event->protocol = attempt->endpoint->protocol;
		event->family = attempt->endpoint->family;
		event->port = attempt->endpoint->port;
		__builtin_memcpy(event->address, attempt->endpoint->address, sizeof(event->address));
	}
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (name)
		describe_path(name, scratch, image, switches);
	else if (scratch->place)
		describe_place(scratch, image, switches);

	__u32 size = event->path_size;

	if (size > EVENT_PATH_MAX)
		size = EVENT_PATH_MAX;
	if (bpf_ringbuf_output(&denials, event, sizeof(*event) + size, 0))
		count(COUNT_DENIALS_LOST);
	return 0;
}

/* The number of the lowest bit: a population count without branches, since each would double the verifier's work. */
static __always_inline __u32 lowest_bit(__u32 mask)
{
	__u32 below = (mask & -mask) - 1;

	below -= below >> 1 & 0x55555555;
	below = (below & 0x33333333) + (below >> 2 & 0x33333333);
	below = (below + (below >> 4)) & 0x0f0f0f0f;
	return below * 0x01010101 >> 24;
}

/* Of two verdicts the one that counts: what is enforced before what is only reported, the first before the second. */
static __always_inline __u64 stricter(__u64 first, __u64 second, struct control *switches)
{
	first = opaque(first, switches);
	second = opaque(second, switches);
	if (!first || (!(first >> 24 & 1) && second >> 24 & 1))
		first = second;
	return opaque(first, switches);
}

/* The table's answer for a class: 0 for a plain yes, else a verdict for conclude(). */
static __always_inline __u64 judge_class(const struct image_header *image, const struct subject *subject, __u32 class,
					 __u32 flags, __u32 want)
{
	const struct image_cell *cell = find_cell(image, subject->row, class, flags);
	__u32 missing = want & ~cell->allow, hard = missing & cell->enforce, right;

	if (!missing)
		return 0;
	right = lowest_bit(hard ? hard : missing);
	return pack_verdict(cell->rule[right & 15], right, hard, class);
}

/* Only what is denied by name: deny rules and Protections. For names that a right is not asked on, but that count. */
static __always_inline __u64 judge_denials(const struct image_header *image, const struct subject *subject, __u32 class,
					   __u32 flags, __u32 want)
{
	const struct image_cell *cell = find_cell(image, subject->row, class, flags);
	__u32 missing = want & cell->denied & ~cell->allow, hard = missing & cell->enforce, right;

	if (!missing)
		return 0;
	right = lowest_bit(hard ? hard : missing);
	return pack_verdict(cell->rule[right & 15], right, hard, class);
}

/* A denial that no class decides: unresolved path, unidentified program, gain of rights. */
static __always_inline __u64 judge_builtin(const struct subject *subject, __u32 rule, __u32 right)
{
	if (!(subject->row_flags & ROW_CONFINED))
		return 0;
	return pack_verdict(rule, right, subject->row_flags & ROW_UNRESOLVED_ENFORCE, 0);
}

#endif
