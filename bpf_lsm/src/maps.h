/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that outlives one hook call. Each map says who writes it and what happens when it is full.
 */
#ifndef MENSHEN_MAPS_H
#define MENSHEN_MAPS_H

#include "kernel.h"
#include "event.h"
#include "image.h"
#include "label.h"

#define MAX_RULES 65536
#define MAX_ROWS 4096
#define MAX_DEPTH 384 /* uncached path components; deeper is unresolved, which is denied to the confined */
#define MAX_SHORT 32 /* of these, the lowest ones whose short names are copied on the way up */

/* Bytes of one image slot, a power of two; the loader sets the map's value size to match. */
const volatile __u32 image_capacity = 8 << 20;

/* Switches. Written by the agent and, where said, by the hooks. */
struct control {
	__u32 active; /* slot that holds the image in force: 0 or 1; 2: none yet, everything is allowed */
	__u32 guard; /* 1: the guard is armed */
	__u64 epoch; /* raised by a change of the tree: current_epoch() */
	__u32 moving; /* directory renames under way: nothing is cached meanwhile */
	__u32 init_mnt_ns; /* inode number of pid 1's mount namespace */
	__u64 agent; /* identity of the agent: the one that the guard lets through */
	__u64 catalogue; /* generation of the catalogue; a cached digest is looked up again when it changed */
	__u32 no_cache; /* measurements only: 1: no file's class is remembered; 2: no directory's either */
	__u32 zero; /* always 0, which the verifier does not know: see opaque() */
	__u32 pins_device; /* of the bpffs that holds our pins; 0: not known, so nothing is armed */
	__u32 reserved2;
	__u64 agent_pid; /* struct pid of the agent: compared only, and only to deny */
	__u64 command; /* identity of the command line, which is not traced either */
	__u64 first; /* identity of process 1 when the guard was armed */
	__u64 watch; /* identity of the watch, which may read OWN_WATCH_READS */
};

/*
 * A variable and not a map of ours: its address is in the program, so nothing has to be looked up. Not static: libbpf
 * lets nobody map those.
 */
struct control control SEC(".data.control");

/* The two image slots. Written by the agent, the inactive one only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, (8 << 20) + 4096);
} slots SEC(".maps");

/* sha256 of a whole file -> who it is. Written by the agent; full: the agent refuses the addition. */
struct digest {
	__u8 sha256[32];
};

struct credential {
	__u64 identity;
	__u32 flags;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct digest);
	__type(value, struct credential);
} catalogue SEC(".maps");

/* Where a path walk stands; path.h. Addresses are kept as numbers: they are only compared and probed. */
struct walk {
	__u64 dentry;
	__u64 sb;
	__u64 mount; /* the next mount of sb to look at */
	__u64 home; /* found: the oldest one in pid 1's namespace */
	__u64 elsewhere; /* found: the oldest one in another namespace */
	__u32 home_depth;
	__u32 elsewhere_depth;
	__u32 depth; /* names collected */
	__u32 root_depth; /* names below the root of the object's own file system, or NO_ROOT */
	__u32 state;
	__u32 parent_state;
	__u32 root_state;
	__u32 flags; /* enum object_flag */
	__u32 init_mnt_ns;
	__u32 done;
	__u32 use_cache;
	__u32 may_cache;
	__u32 is_proc;
	__u32 at_root;
	/* Temporaries of the callbacks: stack is scarce, 512 bytes over all frames. */
	__u64 parent;
	__u64 name;
	__u64 root;
	__u64 ns;
	__u32 inum;
	__u32 found;
	__u32 left; /* components still to descend */
	__u32 until; /* components to leave */
	__u32 offset; /* in the name of the current one */
	__u32 reserved;
};

/* A name of up to SHORT_NAME bytes, padded with zeros; low is 0 if it is longer. */
struct short_name {
	__u64 low;
	__u64 high;
};

struct progress_key {
	__u64 session;
	__u64 sequence; /* id: it stays when the image is swapped */
};

/* What a hook knows about an access that nothing else denies, for the sequences that it may be a step of. */
struct taken {
	__u32 slot; /* of the image */
	__u32 want;
	__u32 class;
	__u32 operation;
	__u32 port;
	__u32 reserved;
};

/* Where one call of follow_sequences() stands; sequence.h. */
struct follow {
	struct taken taken;
	struct progress_key key;
	__u64 slots; /* still to be looked at */
	__u64 now;
	__u64 verdict;
};

/* Who would hold a file, and which: held.h. Addresses are kept as numbers, as in struct walk. */
struct held {
	__u64 identity;
	__u64 pids[2]; /* struct pid of the holder's thread and process: whose /proc/self it is */
	__u64 dentry;
	__u64 inode;
	__u64 table; /* of descriptors: inherit.bpf.c */
	__u64 open; /* of 64 of them those that are left to be looked at */
	__u32 row;
	__u32 row_flags;
	__u32 watch;
	__u32 slot; /* of the image */
	__u32 want;
	__u32 descriptor;
	__u32 word;
	__u32 words;
	__u32 denied;
	__u32 reserved;
};

/* A task's scratch memory; hooks can be preempted, so it cannot belong to the CPU. */
struct scratch {
	struct walk walk;
	struct follow follow;
	struct held held;
	__u64 place; /* address of the dentry that is meant, where no hook gives a pointer to it; or 0 */
	struct short_name short_names[MAX_SHORT]; /* of each component, leaf first */
	/* d_name.name of each component that has no short name; 0 stands for "self" under /proc */
	__u64 names[MAX_DEPTH];
	char name[264]; /* NAME_MAX is 255 */
	struct event event;
	char path[EVENT_PATH_MAX]; /* follows the event on the ring */
	char slack[264]; /* a name that begins at the last byte of path still fits */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* For exec's event: most programs never need scratch memory of their own. In use: that of the task is taken. */
#define SPARES 16

struct spare {
	__u32 taken;
	__u32 reserved;
	struct scratch scratch;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SPARES);
	__type(key, __u32);
	__type(value, struct spare);
} spares SEC(".maps");

/*
 * The class of an inode, as last resolved. A cache: dropped with the inode, valid for one epoch and one name. Hooks of
 * several processors read and write it at once: who writes takes it first, and who reads looks at the epoch before and
 * after.
 */
enum object_epoch {
	OBJECT_EMPTY,
	OBJECT_TAKEN, /* by one who writes */
};

struct object {
	__u64 epoch; /* current_epoch() or enum object_epoch */
	__u64 dentry; /* the name it was resolved through: */
	__u64 parent;
	__u64 name_hash; /* dentry->d_name.hash */
	__u32 state; /* automaton state after the name; the sink bit stays on */
	__u32 class;
	__u32 flags; /* OBJECT_FOREIGN; of the root of a /proc OBJECT_VOLATILE too */
	__u32 settled; /* a row << 16, and the rights that it has here whatever else is asked */
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct object);
} objects SEC(".maps");

/* The digest of an inode's content. `changes` is raised by everything that may change content or meaning. */
struct content {
	struct digest digest;
	__u64 changes;
	__u64 hashed; /* value of changes that digest is for, plus one; 0: none */
	__u64 identity;
	__u64 catalogue; /* generation that identity was looked up in */
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct content);
} contents SEC(".maps");

/*
 * Protected files that have more than one name: the class of the protected one. Written by path_link before the
 * link is made (full: the link is refused) and by the agent, which searches for older links when it applies.
 */
struct alias_key {
	__u64 inode;
	__u32 device;
	__u32 generation; /* i_generation */
};

struct alias {
	__u32 class[2]; /* of the protected name, in the image of each slot; 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct alias_key);
	__type(value, struct alias);
} aliases SEC(".maps");

/* (device, inode) of executables of running processes -> identity, for the task iterator. Written by the agent. */
struct file_key {
	__u64 inode;
	__u64 device;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct file_key);
	__type(value, __u64);
} adoption SEC(".maps");

/* tgid -> identity for scripts and for the agent itself: consulted by the iterator before `adoption`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} adoption_by_pid SEC(".maps");

/* Sequences that block: sequence.h. */
/* For one step: when the sequence began (0: it has not come here), until when, and which ports so far. */
struct wait {
	__u64 start;
	__u64 until;
	__u16 ports[MAX_COUNT];
	__u32 count;
	__u32 reserved;
};

struct progress {
	struct wait waits[MAX_STEPS];
};

/* How far sessions have come. Swept by the agent; full: what would begin is not followed, and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct progress_key);
	__type(value, struct progress);
} progress SEC(".maps");

/* Session -> when records of it were lost last: what began before then is told and not denied. Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} session_gaps SEC(".maps");

/* Ids of sequences that do not block any more, whatever the image says. Written by the agent, which holds the reasons. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} revoked SEC(".maps");

/* Ids of our own programs, maps and links, which the guard keeps. Written by the agent before it arms. */
enum own_by {
	OWN_AGENT = 1, /* the agent's alone */
	OWN_WATCH_READS, /* the watch may have a descriptor that only reads */
};

struct own_key {
	__u32 kind; /* 1 program, 2 map, 3 link */
	__u32 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct own_key);
	__type(value, __u32); /* enum own_by */
} own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} denials SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

enum counter {
	COUNT_DENIED,
	COUNT_WOULD_DENY,
	COUNT_DENIALS_LOST, /* no room on the denials ring */
	COUNT_EVENTS_LOST, /* no room on the events ring */
	COUNT_UNRESOLVED, /* paths that could not be resolved */
	COUNT_NO_SCRATCH, /* no memory for scratch */
	COUNT_NO_LABEL, /* task without a label: treated as unidentified */
	COUNT_COLD, /* accesses that walked the path */
	COUNT_HASHED, /* files hashed at exec or map */
	COUNT_ALIASES_FULL, /* links refused because the table was full */
	COUNT_UNTRUSTED_FS, /* programs on a file system whose content can change behind our back */
	COUNT_GUARD, /* attempts on Menshen itself */
	COUNT_SEQUENCES_FULL, /* sequences that began and are not followed: no room */
	COUNT_NOT_HASHED, /* programs whose content could not be taken: written, changing, or no memory */
	COUNT_COUNT,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct tally {
	__u64 denied;
	__u64 would_deny;
};

/* Exact, whatever happened to the events. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, struct tally);
} rule_tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ROWS);
	__type(key, __u32);
	__type(value, struct tally);
} row_tallies SEC(".maps");

#endif
