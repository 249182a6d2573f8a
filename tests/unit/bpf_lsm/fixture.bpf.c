/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The product's maps and the programs that the agent calls, with programs in the place of the LSM hooks that a
 * kernel takes from anybody with root: so the gate's whole life runs on the machine of the tests.
 *
 * | program    | what it is for                                                              |
 * |------------|-----------------------------------------------------------------------------|
 * | on_exec    | (tp_btf) counts the execs of everybody: attached or not, and since when      |
 * | emit       | (syscall) writes records to a ring, as many and as large as asked           |
 * | follow     | (syscall) an access of a session that sequences are asked about             |
 * | peek       | (tp_btf) looks long at the image in force:   for the process `command` only    |
 * | needless   | (optional) on a tracepoint that no kernel has                               |
 */
#include "agent.bpf.c"
#include "sequence.h"

#ifndef VERSION
#define VERSION 1
#endif

/* A different number in every build, so that an upgrade shows. */
const volatile __u32 fixture_version = VERSION;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec)
{
	count(COUNT_COLD);
	if (fixture_version == 2)
		count(COUNT_HASHED);
	return 0;
}

#ifdef BROKEN_ATTACH
/* Two of the same on a tracepoint are fine; this one has no such tracepoint to attach to. */
SEC("raw_tp/no_such_tracepoint")
int unattachable(void *ctx)
{
	return 0;
}
#endif

#ifdef BROKEN_LOAD
SEC("tp_btf/sched_process_exit")
int BPF_PROG(unloadable)
{
	__u64 *nowhere = (void *)bpf_ktime_get_ns();

	return *nowhere;
}

SEC("tp_btf/no_such_tracepoint")
int BPF_PROG(hookless)
{
	return 0;
}
#endif

SEC("?tp_btf/no_such_tracepoint_either")
int BPF_PROG(needless)
{
	return 0;
}

struct follow_args {
	__u64 session;
	__u64 identity;
	struct taken taken;
};

/* 0: done; else 1 for told or 3 for denied, and the rule above that. */
SEC("syscall")
int follow(struct follow_args *args)
{
	struct taken taken = args->taken;
	struct label *label = bpf_task_storage_get(&labels, bpf_get_current_task_btf(), 0,
						   BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 verdict;

	if (!label)
		return -12;
	label->session = args->session;
	label->identity = args->identity;
	verdict = follow_sequences(taken.slot, taken.want, taken.class, taken.operation, taken.port);
	return verdict ? (verdict & 0xffff) << 2 | (verdict >> 24 & 1) << 1 | 1 : 0;
}

struct emit_args {
	__u32 ring; /* 0: denials, 1: events */
	__u32 count; /* at most 500 */
	__u32 size; /* of each record; at least 8 */
	__u32 discard; /* of every so many one is thrown away; 0: none */
	__u64 first; /* the number in the first record; they count up */
};

static __always_inline int emit_one(struct emit_args *args, void *ring, __u32 size, enum counter lost, __u32 i)
{
	__u64 *record;

	if (size == 32)
		record = bpf_ringbuf_reserve(ring, 32, 0);
	else if (size == 1000)
		record = bpf_ringbuf_reserve(ring, 1000, 0);
	else
		record = bpf_ringbuf_reserve(ring, 61, 0);
	if (!record) {
		count(lost);
		return 0;
	}
	record[0] = args->first + i;
	record[1] = ~record[0];
	if (args->discard && i % args->discard == 0)
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, 0);
	return 1;
}

SEC("syscall")
int emit(struct emit_args *args)
{
	__u32 written = 0;

	for (__u32 i = 0; i < 500 && i < args->count; i++) {
		if (args->ring)
			written += emit_one(args, &events, args->size, COUNT_EVENTS_LOST, i);
		else
			written += emit_one(args, &denials, args->size, COUNT_DENIALS_LOST, i);
	}
	return written;
}

struct look {
	const volatile __u8 *byte;
	__u8 first;
};

static long look_again(__u32 index, struct look *look)
{
	return *look->byte != look->first;
}

/* The image is one repeated byte after its header. A hook that takes its time must not see it change. */
SEC("tp_btf/sys_enter")
int BPF_PROG(peek)
{
	struct control *switches = get_control();
	const struct image_header *image;
	struct look look = {};

	if (!switches || switches->command != bpf_get_current_pid_tgid() >> 32)
		return 0;
	image = image_of(active_slot(switches));
	if (!image)
		return 0;
	look.byte = image_at(image, sizeof(*image));
	look.first = *look.byte;
	bpf_loop(2000000, look_again, &look, 0);
	count(COUNT_NO_SCRATCH);
	if (*look.byte != look.first)
		count(COUNT_UNRESOLVED);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
