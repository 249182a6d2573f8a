/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Downwards through the automaton, by the names that were climbed: whole ones at once, or a few characters. */
#ifndef MENSHEN_DESCEND_H
#define MENSHEN_DESCEND_H

#include "climb.h"

#define STRIDE SHORT_NAME /* characters per iteration: unrolled, so that the verifier sees few of them */
#define DESCENDED_AT_ONCE 4

/* STRIDE characters of one component, with the slash before it at its beginning. */
static __always_inline void spell(struct walk_context *context, __u32 mask)
{
	struct scratch *scratch = context->scratch;
	struct walk *walk = &scratch->walk;
	const struct image_header *image = context->image;
	__u32 state = *(volatile __u32 *)&walk->state, offset = *(volatile __u32 *)&walk->offset & 255;
	__u64 at = *(volatile __u32 *)&walk->left - 1;
	const struct short_name *name = NULL;

	asm volatile("" : "+r"(at)); /* so that what is checked is what is used */
	if (at >= MAX_DEPTH)
		return;
	if (at < MAX_SHORT && short_name_at(scratch, at)->low)
		name = short_name_at(scratch, at);
	if (!offset) {
		__u64 address = scratch->names[at];

		if (name) {
			__builtin_memcpy(scratch->name, name, SHORT_NAME);
			scratch->name[SHORT_NAME] = 0;
		} else if (!address) {
			__builtin_memcpy(scratch->name, "self", 5);
		} else {
			/* Word by word is cheaper than a string; many names end within. */
			if (bpf_probe_read_kernel(scratch->name, STRIDE, (void *)address))
				bpf_probe_read_kernel_str(scratch->name, 256, (void *)address);
		}
		state = automaton_byte(image, mask, state, '/');
	} else if (offset == STRIDE && !name) {
		bpf_probe_read_kernel_str(scratch->name, 256, (void *)scratch->names[at]);
	}
	/* A sink steps to itself by its default transition, so it needs no test for each character. */
#pragma unroll
	for (__u32 next = 0; next < STRIDE; next++) {
		__u8 character = scratch->name[offset + next];

		if (!character)
			goto end_of_component;
		state = automaton_byte(image, mask, state, character);
	}
	if (offset + STRIDE < 256) {
		walk->state = state;
		walk->offset = offset + STRIDE;
		return;
	}
end_of_component:
	walk->state = state;
	walk->offset = 0;
	walk->left = at;
}

/* So many components are left as was waited for: at the root of the file system, in the parent, at the end. */
static __always_inline long reached(struct walk *walk, __u32 state, __u32 left)
{
	if (walk->until == walk->root_depth)
		walk->root_state = state;
	walk->until = 1;
	if (left <= 1) {
		walk->until = 0;
		walk->parent_state = left ? state : walk->parent_state;
	}
	return !left;
}

/*
 * The components from the outermost inwards: some at once by their short names, or one by STRIDE of its characters.
 * 1: it is over.
 */
static long descend(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	struct walk *walk = &scratch->walk;
	const __u32 mask = image_mask();
	const struct short_name *name;
	__u32 state, left, next;

	if (walk->offset)
		goto spelt;
#pragma unroll
	for (__u32 step = 0; step < DESCENDED_AT_ONCE; step++) {
		state = *(volatile __u32 *)&walk->state;
		left = *(volatile __u32 *)&walk->left;
		if (state & STATE_SINK) /* nothing below it changes the class */
			return 1;
		if (left <= walk->until)
			return reached(walk, state, left);
		if (left > MAX_SHORT || !(state & STATE_SHORTCUT))
			goto spelt;
		name = short_name_at(scratch, left - 1);
		if (!name->low)
			goto spelt;
		next = automaton_name(context->image, mask, state, name->low, name->high);
		if (!next)
			goto spelt;
		*(volatile __u32 *)&walk->state = next;
		*(volatile __u32 *)&walk->left = left - 1;
	}
	return 0;

spelt:
	spell(context, mask);
	return 0;
}

/* Downwards through all components that were climbed. */
static __always_inline void descend_all(struct walk_context *context)
{
	struct walk *walk = &context->scratch->walk;

	walk->root_state = walk->parent_state = NO_STATE;
	walk->left = walk->depth;
	walk->until = walk->root_depth == NO_ROOT ? 1 : walk->root_depth;
	bpf_loop(MAX_DEPTH * (256 / STRIDE), descend, context, 0);
	if (walk->root_state == NO_STATE)
		walk->root_state = walk->state;
	if (walk->parent_state == NO_STATE)
		walk->parent_state = walk->state;
}

#endif
