/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Special rights of the current task: a bit of its row, or one that holds toward a named identity only. */
#ifndef MENSHEN_SPECIAL_H
#define MENSHEN_SPECIAL_H

#include "access.h"

#define MAX_TARGETS 64 /* named targets of one subject; the compiler refuses more */

static __always_inline bool holds_toward(const struct image_header *image, const struct image_row *row, __u64 bit,
					 __u64 target)
{
	if (!target)
		return false;
	for (__u32 i = 0; i < MAX_TARGETS; i++) {
		const struct image_target *entry;

		if (i >= row->n_targets)
			break;
		entry = image_at(image, image->off_targets + (row->targets + i) * sizeof(struct image_target));
		if (entry->identity == target && entry->special & bit)
			return true;
	}
	return false;
}

/*
 * 0, or -EPERM. `target` and `target_pid` say whom it is done to, where it is done to somebody. Without a struct request:
 * hooks that have one of their own call this, and the stack is 512 bytes.
 */
static __noinline int check_special(__u16 operation, __u32 special, __u64 target, __u32 target_pid, __u32 detail)
{
	struct control *switches = get_control();
	const struct image_header *image;
	const struct image_row *row;
	struct subject subject;
	__u64 bit = 1ull << (special & 63);
	bool enforced;

	if (!switches)
		return 0;
	image = image_of(active_slot(switches));
	if (!image || !current_subject(image, &subject) || !(subject.row_flags & ROW_CONFINED))
		return 0;
	row = image_row(image, subject.row);
	if (row->special & bit || holds_toward(image, row, bit, target))
		return 0;
	enforced = row->special_enforce & bit;

	struct attempt attempt = {
		.operation = operation, .target = target, .target_pid = target_pid, .detail = detail
	};

	report(&attempt, NULL, image, switches, pack_verdict(row->special_rule, NO_RIGHT, enforced, special));
	return answer(enforced, -EPERM);
}

#endif
