/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which records go out, and the account of those that do not: generated = delivered + allowed + limited + lost, for
 * each type and exactly. In the order of their asking: allow lists, the circuit breaker, the limit of the type.
 */
#ifndef MENSHEN_WATCH_ADMIT_H
#define MENSHEN_WATCH_ADMIT_H

#include "maps.h"

#define BREAKER_WINDOW 100000000ull /* nanoseconds */

static __always_inline void tally(__u32 type, enum observation_tally which)
{
	struct watch_tally *row = bpf_map_lookup_elem(&tallies, &type);

	if (row)
		__sync_fetch_and_add(&row->count[which], 1);
}

/* Something of this session is missing, so it must not be taken for whole. */
__noinline int mark(__u64 session)
{
	__u64 *gaps = bpf_map_lookup_elem(&sessions, &session), one = 1;

	if (gaps) {
		__sync_fetch_and_add(gaps, 1);
		return 0;
	}
	if (bpf_map_update_elem(&sessions, &session, &one, BPF_NOEXIST) == 0)
		return 0;
	gaps = bpf_map_lookup_elem(&sessions, &session); /* another was quicker, or there is no room */
	if (gaps)
		__sync_fetch_and_add(gaps, 1);
	else
		meter(METER_MARKS_FULL);
	return 0;
}

/* A record was left out against the will of whoever watches. */
static __always_inline void leave_gap(__u32 type, enum observation_tally why, __u64 session)
{
	tally(type, why);
	meter(METER_GAPS);
	mark(session);
}

static __always_inline bool breaker_is_open(struct watch_control *control, __u32 type, __u64 now)
{
	__u64 start = *(volatile __u64 *)&control->window_start, count;

	if (!control->breaker_count)
		return false;
	if (now - start >= BREAKER_WINDOW && __sync_val_compare_and_swap(&control->window_start, start, now) == start)
		*(volatile __u64 *)&control->window_count = 0;
	count = __sync_fetch_and_add(&control->window_count, 1) + 1;
	if (count > control->breaker_count) {
		*(volatile __u64 *)&control->last_busy = now;
		if (!__sync_lock_test_and_set(&control->open, 1))
			meter(METER_OPENED);
	} else if (*(volatile __u32 *)&control->open) {
		__u64 busy = *(volatile __u64 *)&control->last_busy;

		if (now > busy && now - busy > control->breaker_quiet)
			*(volatile __u32 *)&control->open = 0;
	}
	return *(volatile __u32 *)&control->open && !has_type(control->vital, type);
}

static __always_inline bool is_over_limit(struct watch_limit *limit, __u64 now)
{
	__u64 interval = *(volatile __u64 *)&limit->interval;

	if (!interval)
		return false;
	for (int i = 0; i < 8; i++) {
		__u64 next = *(volatile __u64 *)&limit->next, from = next > now ? next : now;

		if (from - now > limit->burst)
			return true;
		if (__sync_val_compare_and_swap(&limit->next, next, from + interval) == next)
			return false;
	}
	return false; /* eight others were quicker: they bound the rate */
}

/* 1: this record goes out, as far as rates are concerned. */
__noinline int is_admitted(__u32 type)
{
	struct watch_control *control = get_watch_control();
	__u64 now = bpf_ktime_get_ns();

	if (!control || type >= WATCH_TYPES)
		return 0;
	return !breaker_is_open(control, type, now) && !is_over_limit(&control->limits[type], now);
}

#endif
