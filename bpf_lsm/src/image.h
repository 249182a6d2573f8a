/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The policy image: one immutable compiled policy, read by the hooks and by the Python evaluator.
 *
 * The layout is written by policies/image.py; tests/unit/test_layout.py compares both through BTF.
 * Everything is little endian. Offsets are bytes from the start of the image.
 *
 *   header | rows | targets | identities | cells | sequences | slots (u64) | grid (u16) | automaton (8-byte entries) |
 *   names | meta (JSON, not read here)
 *
 * The automaton is a comb vector. A state is the index of its first 8-byte entry, counted from the start of
 * the image. The entry for symbol x of state s is entry[s + x]; it belongs to s only if its owner is s,
 * otherwise the default transition entry[s + SYM_DEFAULT] is taken.
 *
 * A state may have a shortcut over a slash and the name that follows, if that has SHORT_NAME bytes at most: the table
 * `names` says where the names that the patterns spell out lead; any other without one of the bytes SYM_STOPS leads to
 * SYM_REST. It is what the automaton would say, sooner.
 */
#ifndef MENSHEN_IMAGE_H
#define MENSHEN_IMAGE_H

#define IMAGE_MAGIC 0x48534e4d /* "MNSH" */
#define IMAGE_VERSION 2

#define SYM_DEFAULT 0
#define SYM_BYTE 1 /* symbols 1..256 are the bytes 0..255 */
#define SYM_CLASS 257 /* next is the object class of the string read so far */
#define SYM_SUBTREE 258 /* next is the class that stands for everything below this directory */
#define SYM_REST 259 /* with STATE_SHORTCUT: next is the state behind a name that is like any other */
#define SYM_STOPS 260 /* with STATE_SHORTCUT: next is up to four bytes that such a name may not have; 0: no more */
#define SYM_BEHIND 261 /* with STATE_SHORTCUT: next is the state behind the slash */

/* Set in a state as `next` gives it. The highest three bits, so that an offset, index << 3, has lost them. */
#define STATE_SINK 0x80000000u /* nothing read after this changes the class */
#define STATE_SHORTCUT 0x40000000u
#define STATE_NAMES 0x20000000u /* some of its names are in the table */

/* First byte of what the automaton reads: '/' a path, '@' an abstract unix name, or an endpoint. */
#define ENDPOINT_V4 0x04 /* 0x04, protocol, port (2, big endian), address (4) */
#define ENDPOINT_V6 0x06 /* 0x06, protocol, port (2, big endian), address (16) */

enum right {
	RIGHT_READ,
	RIGHT_LIST, /* read of a directory */
	RIGHT_WRITE,
	RIGHT_APPEND,
	RIGHT_CREATE,
	RIGHT_DELETE,
	RIGHT_RENAME,
	RIGHT_LINK,
	RIGHT_ATTRIBUTES,
	RIGHT_EXECUTE,
	RIGHT_MAP_EXEC,
	RIGHT_IOCTL,
	RIGHT_MOUNT,
	RIGHT_CONNECT,
	RIGHT_LISTEN,
	RIGHT_COUNT,
	/* Not rights but properties of one, kept in the same masks; they have no rule of their own. */
	WAIVE_EXECUTE_UNSIGNED = RIGHT_COUNT,
	WAIVE_MAP_UNSIGNED,
	EXEC_AS_SELF,
};

#define BIT(n) (1u << (n))

/* Indices of rules that are the product's own; compiled rules follow. policies/image.py BUILTIN_RULES. */
enum builtin_rule {
	RULE_NONE,
	RULE_UNRESOLVED_PATH, /* the object's path could not be resolved: denied to a confined subject */
	RULE_GUARD, /* Menshen's own maps, programs, links, processes and files */
	RULE_UNIDENTIFIED_PROGRAM, /* exec or map of a file whose credential does not check */
	RULE_NO_PATH, /* memfd, pipe or shared memory used as a program */
	RULE_GAIN, /* a rename or link that would give the subject more rights than it had */
	RULE_SCRATCH, /* no memory for the task's state: denied to a confined subject */
	RULE_BUILTIN_COUNT,
};

enum row_flag {
	ROW_CONFINED = 1 << 0, /* has a Policy: what it was not allowed is denied */
	ROW_JIT = 1 << 1, /* may make anonymous or written memory executable */
	ROW_JIT_ENFORCE = 1 << 2,
	ROW_UNRESOLVED_ENFORCE = 1 << 3, /* builtin denials are enforced (policy mode), else would-deny */
};

enum { ROW_UNCONFINED, ROW_UNIDENTIFIED, ROW_FIRST };

struct image_header {
	__u32 magic;
	__u32 version;
	__u64 generation; /* set when applied; zero for the content hash */
	__u8 hash[32]; /* sha256 of the whole image with generation and hash zero */
	__u32 size;
	__u32 start; /* state */
	__u32 n_rows;
	__u32 n_classes;
	__u32 n_cells;
	__u32 n_rules; /* with the builtin ones */
	__u32 n_identities;
	__u32 n_targets;
	__u32 off_rows;
	__u32 off_grid;
	__u32 off_cells;
	__u32 off_identities;
	__u32 off_targets;
	__u32 off_meta;
	__u32 meta_size;
	__u32 flags;
	__u32 off_sequences; /* 0: no sequence blocks, and there are no slots */
	__u32 off_slots; /* for each class the steps that it concerns, a bit each */
	__u32 sequence_rights; /* rights that some step is about */
	__u32 off_names;
	__u32 names_mask; /* entries less one; a power of two of them */
	__u8 reserved[60];
};

struct image_row {
	__u64 identity;
	__u32 flags; /* enum row_flag */
	__u32 watch; /* rights that some class does not allow: outside these nothing needs to be looked up */
	__u64 special; /* bits of enum special that are allowed */
	__u64 special_enforce; /* of the others: really denied, not only reported */
	__u64 capabilities;
	__u64 capabilities_enforce;
	__u32 special_rule;
	__u32 capabilities_rule;
	__u32 jit_rule;
	__u32 default_rule; /* the policy itself, for builtin denials */
	__u32 targets; /* index of its first target */
	__u32 n_targets;
	__u8 reserved[56];
};

/* A special right that holds toward one identity only. Sorted by row. */
struct image_target {
	__u64 identity;
	__u64 special;
};

/* Sorted by identity. */
struct image_identity {
	__u64 identity;
	__u32 row;
	__u32 reserved;
};

/* What one subject may do with one class. Distinct cells are stored once; grid[row * n_classes + class] names one. */
struct image_cell {
	__u32 allow; /* rights that hold without an event */
	__u32 enforce; /* of the others: denied; if clear, only reported (audit) */
	__u32 denied; /* explicitly denied, by a deny rule or a Protection: also binds through an inode label */
	__u32 any; /* subtree classes: rights held on anything below (allow: on everything below) */
	__u32 foreign; /* the cell for objects that pid 1's mount namespace does not reach: no Protections */
	__u32 reserved;
	__u32 rule[16]; /* by right: the rule that allowed or denied it */
	__u8 padding[8];
};

/* Sequences that block: sequence.h. A slot is one step; of one sequence the last step has the lowest. */
#define MAX_SEQUENCES 16
#define MAX_SLOTS 64
#define MAX_STEPS 8
#define MAX_COUNT 8

enum step_flag {
	STEP_ABSENT = 1 << 0, /* ends the wait for its step */
	STEP_DISTINCT = 1 << 1, /* different ports are counted */
};

struct image_step {
	__u64 within; /* nanoseconds; of a first step that counts */
	__u64 next_within; /* of the step after this one */
	__u8 sequence;
	__u8 step;
	__u8 count;
	__u8 flags; /* enum step_flag */
	__u32 operation; /* enum operation that must ask, or OP_NONE for any */
};

struct image_sequence {
	__u64 id;
	__u64 within;
	__u32 rule;
	__u32 n_steps;
};

struct image_sequences {
	__u32 n_sequences;
	__u32 n_slots;
	__u64 unidentified; /* slots that are only for tasks without an identity */
	__u64 by_right[16]; /* slots that are about this right */
	struct image_step steps[MAX_SLOTS];
	struct image_sequence sequences[MAX_SEQUENCES];
};

#define SHORT_NAME 16

/* A name, and the state behind it. At one of the two places of its hash; automaton.h. */
struct image_name {
	__u64 low; /* the bytes of the name, little endian; 0: no entry */
	__u64 high;
	__u32 state; /* behind the slash before it */
	__u32 next;
};

/* Closed list of semantics.md 9; policies/schema carries the words. */
enum special {
	SPECIAL_PTRACE,
	SPECIAL_KILL,
	SPECIAL_MODULE,
	SPECIAL_KEXEC,
	SPECIAL_BPF,
	SPECIAL_PERF,
	SPECIAL_MOUNT,
	SPECIAL_NAMESPACES,
	SPECIAL_USERNS,
	SPECIAL_CHROOT,
	SPECIAL_SETID,
	SPECIAL_MKNOD,
	SPECIAL_RAW_SOCKET,
	SPECIAL_PACKET_SOCKET,
	SPECIAL_NETLINK,
	SPECIAL_VSOCK,
	SPECIAL_AF_ALG,
	SPECIAL_IO_URING,
	SPECIAL_USERFAULTFD,
	SPECIAL_KEYRING,
	SPECIAL_SWAP,
	SPECIAL_HOSTNAME,
	SPECIAL_SYSLOG,
	SPECIAL_REBOOT,
	SPECIAL_CLOCK,
	SPECIAL_QUOTA,
	SPECIAL_ACCT,
	SPECIAL_IOPORT,
	SPECIAL_RAW_DEVICE,
	SPECIAL_FANOTIFY,
	SPECIAL_SCHEDULE_OTHERS,
	SPECIAL_CGROUP,
	SPECIAL_USB,
	SPECIAL_COUNT,
};

#endif
