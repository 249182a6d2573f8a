/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The image in force and the one automaton that classifies paths, abstract names and endpoints. */
#ifndef MENSHEN_AUTOMATON_H
#define MENSHEN_AUTOMATON_H

#include "maps.h"

static __always_inline struct control *get_control(void)
{
	return &control;
}

/*
 * The same value, but no longer a constant to the verifier: otherwise it follows every combination of flags through
 * everything that comes after (6.12: 130,000 instead of 13,000 instructions for one hook).
 */
static __always_inline __u64 opaque(__u64 value, struct control *switches)
{
	return value + *(volatile __u32 *)&switches->zero;
}

/* The slot of the image in force; there may be none. A hook reads it once and keeps the answer. */
static __always_inline __u32 active_slot(struct control *switches)
{
	return *(volatile __u32 *)&switches->active;
}

static __always_inline const struct image_header *image_of(__u32 slot)
{
	return bpf_map_lookup_elem(&slots, &slot);
}

/*
 * What is remembered of an object is valid for: one image and one state of the tree. It only grows, and is above all
 * others that hold a place (enum object_epoch): an image in force has a generation.
 */
static __always_inline __u64 current_epoch(const struct image_header *image, struct control *switches)
{
	return (image->generation << 32) + *(volatile __u64 *)&switches->epoch;
}

static __always_inline __u64 epoch_of(const struct object *object)
{
	return *(const volatile __u64 *)&object->epoch;
}

/* A structure of the image. The mask keeps any offset, also a corrupt one, inside the slot's value. */
static __always_inline const void *image_at(const struct image_header *image, __u32 offset)
{
	offset &= image_capacity - 8;
	return (const void *)image + offset;
}

/* The mask of image_at(), for who has many steps to do. */
static __always_inline __u32 image_mask(void)
{
	return image_capacity - 8;
}

static __always_inline __u64 automaton_entry(const struct image_header *image, __u32 mask, __u32 index)
{
	return *(const __u64 *)((const void *)image + (index << 3 & mask));
}

/* The state after one more byte. */
static __always_inline __u32 automaton_byte(const struct image_header *image, __u32 mask, __u32 state, __u8 byte)
{
	__u64 entry = automaton_entry(image, mask, state + SYM_BYTE + byte);

	if ((__u32)entry != state)
		entry = automaton_entry(image, mask, state + SYM_DEFAULT);
	return entry >> 32;
}

static __always_inline __u32 state_class(const struct image_header *image, __u32 state)
{
	return automaton_entry(image, image_mask(), state + SYM_CLASS) >> 32;
}

static __always_inline __u32 state_subtree(const struct image_header *image, __u32 state)
{
	return automaton_entry(image, image_mask(), state + SYM_SUBTREE) >> 32;
}

/* Is one of the (up to four) bytes in the word? Exact but for bytes above the first that is. */
static __always_inline bool has_byte(__u64 word, __u32 bytes)
{
	const __u64 ones = 0x0101010101010101, highs = ones << 7;

#pragma unroll
	for (__u32 i = 0; i < 4; i++) {
		__u64 zero_where = word ^ (bytes & 0xff) * ones;

		if (!bytes)
			break;
		if ((zero_where - ones) & ~zero_where & highs)
			return true;
		bytes >>= 8;
	}
	return false;
}

static __always_inline bool is_name(const struct image_name *entry, __u32 state, __u64 low, __u64 high)
{
	return entry->low == low && entry->high == high && entry->state == state;
}

/*
 * The state behind a slash and a short name, from a state that has a shortcut. 0: it has to be read byte by byte.
 * `mask` is image_mask(). policies/image.py has the same hash.
 */
static __always_inline __u32 automaton_name(const struct image_header *image, __u32 mask, __u32 state, __u64 low,
					    __u64 high)
{
	/* The highest offset of these three is far less than what a slot has beyond the mask. */
	const __u64 *entries = (const void *)image + ((state << 3) & mask);
	__u32 stops = entries[SYM_STOPS] >> 32;

	if (state & STATE_NAMES) {
		__u32 behind = entries[SYM_BEHIND] >> 32, names = image->off_names, last = image->names_mask;
		__u64 hash = (low ^ behind) * 0x9e3779b97f4a7c15;
		const struct image_name *entry;

		hash = ((hash ^ hash >> 32) + high) * 0xd6e8feb86659fd93;
		entry = (const void *)image + ((names + (hash >> 40 & last) * sizeof(*entry)) & mask);
		if (is_name(entry, behind, low, high))
			return entry->next;
		entry = (const void *)image + ((names + (hash >> 27 & last) * sizeof(*entry)) & mask);
		if (is_name(entry, behind, low, high))
			return entry->next;
	}
	if (has_byte(low, stops) || (high && has_byte(high, stops)))
		return 0;
	return entries[SYM_REST] >> 32;
}

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		__sync_fetch_and_add(value, 1);
}

#endif
