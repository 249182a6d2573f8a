/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Strings as numbers. A string is sent once, on its own ring and before the first record that names it; from then on
 * its number stands for it. So strings come first: a record is written when all its numbers are known.
 */
#ifndef MENSHEN_WATCH_STRINGS_H
#define MENSHEN_WATCH_STRINGS_H

#include "siphash.h"

#define TEXT_HEAD 8 /* free bytes before a string: its header on the ring */

static __always_inline __u32 next_number(void)
{
	__u32 key = 0;
	__u64 *last = bpf_map_lookup_elem(&last_number, &key);
	__u64 number;

	if (!last)
		return STRING_LOST;
	number = __sync_fetch_and_add(last, 1) + 1;
	if (number > 0xffffffff) {
		__sync_fetch_and_add(last, -1);
		meter(METER_STRINGS_EXHAUSTED);
		return STRING_LOST;
	}
	return number;
}

/*
 * The number of `size` bytes of scratch->text from `at`, which has TEXT_HEAD free bytes before it. What is lost or cut
 * is noted in scratch->cut.
 */
__noinline int intern(struct watch_scratch *scratch, __u32 at, __u32 size)
{
	struct watch_control *control = get_watch_control();
	struct string_record *header;
	struct watch_hash hash;
	__u32 number, cut = 0, *known;

	if (!scratch || !control || !size)
		return STRING_NONE;
	if (size > STRING_MAX) {
		size = STRING_MAX;
		cut = 1;
		scratch->cut = 1;
	}
	if (at < TEXT_HEAD || at > TEXT_SIZE - size)
		return STRING_LOST;
	siphash(scratch, at, size, control->key, &hash);
	hash.high ^= cut;
	known = bpf_map_lookup_elem(&numbers, &hash);
	if (known)
		return *known;

	number = next_number();
	if (number == STRING_LOST)
		goto lost;
	header = (void *)text_at(scratch, at - TEXT_HEAD);
	header->number = number;
	header->size = size;
	header->cut = cut;
	if (bpf_ringbuf_output(&strings, header, bounded(size + sizeof(*header), SIZE_MASK), 0)) {
		meter(METER_STRINGS_LOST);
		goto lost;
	}
	meter(METER_STRINGS_SENT);
	bpf_map_update_elem(&numbers, &hash, &number, BPF_ANY);
	return number;
lost:
	scratch->cut = 1;
	return STRING_LOST;
}

#endif
