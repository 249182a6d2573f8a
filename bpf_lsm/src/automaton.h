/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The image in force and the one automaton that classifies paths, abstract names and endpoints. */
#ifndef MENSHEN_AUTOMATON_H
#define MENSHEN_AUTOMATON_H

#include "maps.h"

static __always_inline struct control *get_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
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

/* A structure of the image. The mask keeps any offset, also a corrupt one, inside the slot's value. */
static __always_inline const void *image_at(const struct image_header *image, __u32 offset)
{
	offset &= image_capacity - 8;
	return (const void *)image + offset;
}

static __always_inline __u64 automaton_entry(const struct image_header *image, __u32 index)
{
	return *(const __u64 *)image_at(image, index << 3);
}

static __always_inline __u32 automaton_step(const struct image_header *image, __u32 state, __u32 symbol)
{
	__u64 entry = automaton_entry(image, state + symbol);

	if ((__u32)entry != state)
		entry = automaton_entry(image, state + SYM_DEFAULT);
	return entry >> 32;
}

static __always_inline __u32 automaton_byte(const struct image_header *image, __u32 state, __u8 byte)
{
	return automaton_step(image, state, SYM_BYTE + byte);
}

static __always_inline __u32 state_class(const struct image_header *image, __u32 state)
{
	return automaton_entry(image, (state & ~STATE_SINK) + SYM_CLASS) >> 32;
}

static __always_inline __u32 state_subtree(const struct image_header *image, __u32 state)
{
	return automaton_entry(image, (state & ~STATE_SINK) + SYM_SUBTREE) >> 32;
}

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		__sync_fetch_and_add(value, 1);
}

#endif
