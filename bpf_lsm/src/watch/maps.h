/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything of the watch that outlives one call. Each map says who writes it and what happens when it is full.
 * bpf_lsm/collection.py mirrors the structs; tests/unit/test_layout.py compares both through BTF.
 */
#ifndef MENSHEN_WATCH_MAPS_H
#define MENSHEN_WATCH_MAPS_H

#include "../kernel.h"
#include "../label.h"
#include "../observation.h"

#define TEXT_SIZE 4096 /* bytes that a path is put together in */
#define TEXT_MASK 8191 /* what keeps an index inside text */
#define SIZE_MASK 4095 /* the same for what is read or sent from there at once */
#define READ_WORDS 64
#define MAX_COMPONENTS 256 /* deeper paths are unresolved */

/* 1: no gate is loaded, the labels are the watch's own. Otherwise they are only read. */
const volatile __u32 own_labels = 1;
/* Of the map watch_scratches; the loader sets both. */
const volatile __u32 scratch_slots = 16;

/* A token bucket of one type of event, kept as the time at which it would be full again. */
struct watch_limit {
	__u64 interval; /* nanoseconds to the next token; 0: no limit */
	__u64 burst; /* nanoseconds of tokens that it holds */
	__u64 next; /* the programs' own */
};

/* Written by the watch while the programs run; the programs write what is said to be their own. */
struct watch_control {
	__u64 types[2]; /* bit of a type: it is collected */
	__u64 vital[2]; /* bit of a type: it passes the open breaker */
	__u64 breaker_count; /* events in one window that open the breaker; 0: it never opens */
	__u64 breaker_quiet; /* nanoseconds below that count after which it closes */
	__u64 window_start; /* from here their own */
	__u64 window_count;
	__u64 last_busy;
	__u32 open; /* to here */
	__u32 strings_epoch; /* raised when all strings are to be sent anew */
	__u32 allow_epoch; /* raised when an allow list changed */
	__u32 init_mnt_ns;
	__u32 wake; /* bytes on the ring at which the reader is woken */
	__u32 reads; /* entries of the map reads */
	__u64 key[2]; /* of the hash of strings */
	__u64 read_names[READ_WORDS]; /* a bit for each hash of a name that may be listed in reads */
	__u64 read_folders[READ_WORDS]; /* the same for its folder's name */
	struct watch_limit limits[WATCH_TYPES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct watch_control);
} watch_control SEC(".maps");

/* Read at the pace of the events; full: the record is counted as lost. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} observations SEC(".maps");

/* Full: the record says STRING_LOST and the string is not taken for sent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} strings SEC(".maps");

struct watch_hash {
	__u64 low;
	__u64 high;
};

/* Hash of a string that was sent -> its number. Full: the least used is forgotten, and sent anew when it returns. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct watch_hash);
	__type(value, __u32);
} numbers SEC(".maps");

/* The last number that was given away. At the end of its 32 bits every string is lost until the reader renumbers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} last_number SEC(".maps");

struct watch_tally {
	__u64 count[TALLY_COUNT];
};

/* By type: generated = delivered + allowed + limited + lost. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WATCH_TYPES);
	__type(key, __u32);
	__type(value, struct watch_tally);
} tallies SEC(".maps");

enum watch_meter {
	METER_GAPS, /* records lost or limited: what `lost` in a record says */
	METER_STRINGS_SENT,
	METER_STRINGS_LOST, /* no room on the ring of strings */
	METER_STRINGS_EXHAUSTED, /* no number left */
	METER_UNREADABLE, /* strings in a caller's memory that could not be read */
	METER_NO_MEMORY, /* no task storage, or no scratch: such a record is lost */
	METER_OPENED, /* times that the breaker opened */
	METER_MARKS_FULL, /* gaps that found no room in `sessions` */
	METER_COUNT,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, METER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} meters SEC(".maps");

/*
 * Sessions of which something was lost, limited or cut -> how often. Not an LRU: a gap that is forgotten would be a
 * session that seems whole. Full: METER_MARKS_FULL, and no session counts as whole.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} sessions SEC(".maps");

/* What is left out, by type mask. Written by the watch, which then raises allow_epoch; full: it refuses. */
struct watch_mask {
	__u64 types[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct watch_mask);
} allowed_digests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct watch_mask);
} allowed_subjects SEC(".maps");

#define EXE_KEY_BYTES 248

struct watch_exe_key {
	__u32 bits;
	__u8 path[EXE_KEY_BYTES];
};

/* The beginning of the program's path, or with the NUL all of it. The longest that matches counts. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct watch_exe_key);
	__type(value, struct watch_mask);
} allowed_exes SEC(".maps");

/* Hashes of the paths, names and folders that are watched for reading. Written by the watch. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct watch_hash);
	__type(value, __u32);
} reads SEC(".maps");

/* What is known of a task, so that an event costs a copy. Made at fork or with the first event. */
struct watch_task {
	__u32 known; /* strings_epoch + 1 that the numbers are of; 0: nothing is known */
	__u32 exe; /* numbers of strings */
	__u32 args;
	__u32 comm;
	char name[16]; /* the comm that has that number */
	__u32 flags; /* of the records: ADOPTED, EXE_DELETED, ARGS_CUT */
	__u32 allow_epoch; /* plus one, that `allowed` is of */
	__u64 allowed[2];
	__u64 allowed_exe[2]; /* the part of it that the program's path gives */
	__u64 subject; /* that `allowed` is of */
	__u64 digest;
	__u32 uid; /* effective, as last seen */
	__u32 login_uid; /* as last seen */
	__u32 script_path; /* a string: what the exec under way was asked for */
	/* A call under way, from its beginning to its end. */
	__u64 object;
	__u64 inode;
	__u32 device;
	__u32 path;
	__u32 path2;
	__u32 path_flags;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct watch_task);
} watched SEC(".maps");

/* Where a path walk stands. Addresses are kept as numbers: they are only compared and probed. */
struct watch_walk {
	__u64 dentry;
	__u64 parent;
	__u64 sb;
	__u64 mount; /* the next mount of sb to look at */
	__u64 home; /* found: the oldest one in process 1's namespace */
	__u64 elsewhere; /* found: the oldest one in another namespace */
	__u64 root;
	__u64 ns;
	__u32 home_depth;
	__u32 elsewhere_depth;
	__u32 depth;
	__u32 found;
	__u32 inum;
	__u32 init_mnt_ns;
	__u32 at; /* where the path begins in text */
	__u32 done;
	__u32 flags; /* enum observation_flag */
	__u32 reserved;
};

/*
 * Scratch memory. The programs can be preempted, so it belongs neither to the CPU nor, being large, to the task: it is
 * a pool whose slots are taken and given back. None free: the record is lost.
 */
struct watch_scratch {
	__u32 taken;
	__u32 cut; /* 1: something of the record was not kept whole */
	__u64 number; /* see as_number() */
	__u32 hashed; /* where the next word to be hashed is in text */
	__u32 slot; /* its own index */
	struct observation record;
	struct watch_walk walk;
	__u64 dentries[MAX_COMPONENTS];
	__u32 ats[MAX_COMPONENTS];
	char text[TEXT_MASK + 1 + SIZE_MASK + 1];
	struct watch_exe_key exe;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct watch_scratch);
} watch_scratches SEC(".maps");

/*
 * The verifiers of different kernels lose sight of a bound at different places. So it is told again right where a
 * number is used; the barrier keeps the compiler from leaving out what it takes for needless.
 */
static __always_inline __u32 bounded(__u32 number, __u32 mask)
{
	barrier_var(number);
	return number & mask;
}

#define text_at(scratch, at) (&(scratch)->text[bounded(at, TEXT_MASK)])

static __always_inline void meter(enum watch_meter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&meters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline struct watch_control *get_watch_control(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&watch_control, &key);
}

static __always_inline bool has_type(const __u64 *mask, __u32 type)
{
	return mask[type >> 6 & 1] >> (type & 63) & 1;
}

#endif
