/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein). Keyed, so that nobody can make two strings that are
 * taken for one; tests/unit/bpf_lsm/test_watch_lists.py has the published vectors.
 */
#ifndef MENSHEN_WATCH_SIPHASH_H
#define MENSHEN_WATCH_SIPHASH_H

#include "maps.h"

struct siphash {
	__u64 v0, v1, v2, v3;
	struct watch_scratch *scratch; /* `hashed` in it goes on: on the stack the verifier would count along */
};

#define ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))

static __always_inline void sip_round(struct siphash *h)
{
	h->v0 += h->v1;
	h->v1 = ROTATE(h->v1, 13) ^ h->v0;
	h->v0 = ROTATE(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = ROTATE(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = ROTATE(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = ROTATE(h->v1, 17) ^ h->v2;
	h->v2 = ROTATE(h->v2, 32);
}

static __always_inline void sip_word(struct siphash *h, __u64 word)
{
	h->v3 ^= word;
	sip_round(h);
	sip_round(h);
	h->v0 ^= word;
}

static long sip_step(__u32 i, struct siphash *h)
{
	__u32 at = h->scratch->hashed;

	sip_word(h, *(__u64 *)text_at(h->scratch, at));
	h->scratch->hashed = at + 8;
	return 0;
}

/* Of `size` bytes of scratch->text from `at`; the eight bytes after them are overwritten. */
static __always_inline void siphash(struct watch_scratch *scratch, __u32 at, __u32 size, const __u64 *key,
				    struct watch_hash *out)
{
	struct siphash h = {
		.v0 = key[0] ^ 0x736f6d6570736575ull,
		.v1 = key[1] ^ 0x646f72616e646f6dull ^ 0xee,
		.v2 = key[0] ^ 0x6c7967656e657261ull,
		.v3 = key[1] ^ 0x7465646279746573ull,
		.scratch = scratch,
	};

	*(__u64 *)text_at(scratch, at + size) = 0;
	scratch->hashed = at;
	bpf_loop(size >> 3, sip_step, &h, 0);
	sip_word(&h, *(__u64 *)text_at(scratch, scratch->hashed) | (__u64)size << 56);
	h.v2 ^= 0xee;
	for (int i = 0; i < 4; i++)
		sip_round(&h);
	out->low = h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
	h.v1 ^= 0xdd;
	for (int i = 0; i < 4; i++)
		sip_round(&h);
	out->high = h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}

#endif
