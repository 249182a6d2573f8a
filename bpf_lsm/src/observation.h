/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Made from bpf_lsm/observation.py by `python -m bpf_lsm.generate`: change it there. */
#ifndef MENSHEN_OBSERVATION_H
#define MENSHEN_OBSERVATION_H

/* clang-format off */
#define STRING_NONE 0
#define STRING_LOST 1
#define STRING_FIRST 2
#define STRING_MAX 2048

enum observation_type {
	WATCH_EXEC = 1,
	WATCH_FORK = 2,
	WATCH_EXIT = 3,
	WATCH_CREDENTIALS = 4,
	WATCH_LOGIN = 5,
	WATCH_FILE_CREATE = 10,
	WATCH_FILE_OPEN = 11,
	WATCH_FILE_WRITE = 12,
	WATCH_FILE_DELETE = 13,
	WATCH_FILE_RENAME = 14,
	WATCH_FILE_LINK = 15,
	WATCH_FILE_CHMOD = 16,
	WATCH_MEMFD = 17,
	WATCH_CONNECT = 30,
	WATCH_ACCEPT = 31,
	WATCH_BIND = 32,
	WATCH_LISTEN = 33,
	WATCH_SENDTO = 34,
	WATCH_RAW_SOCKET = 35,
	WATCH_PTRACE = 50,
	WATCH_MODULE = 51,
	WATCH_BPF = 52,
	WATCH_KILL = 53,
	WATCH_MOUNT = 54,
	WATCH_DENIAL = 70,
	WATCH_WOULD_DENY = 71,
};
#define WATCH_TYPES 72

enum observation_flag {
	WATCH_FOREIGN = 1,
	WATCH_PATH_CUT = 2,
	WATCH_PATH_UNRESOLVED = 4,
	WATCH_SCRIPT = 8,
	WATCH_UNSAFE_EXEC = 16,
	WATCH_ARGS_CUT = 32,
	WATCH_ADOPTED = 64,
	WATCH_EXE_DELETED = 128,
	WATCH_THREAD = 256,
	WATCH_GIVEN = 512,
};

enum observation_tally {
	TALLY_GENERATED = 0,
	TALLY_DELIVERED = 1,
	TALLY_ALLOWED = 2,
	TALLY_LIMITED = 3,
	TALLY_LOST = 4,
};
#define TALLY_COUNT 5

struct observation {
	__u64 time; /* nanoseconds of CLOCK_BOOTTIME, taken when the event was over */
	__u64 session; /* the lineage that events are joined on; 0: born before the watch */
	__u64 subject; /* number of the identity that the task is judged as; 0: unidentified, or no gate */
	__u64 target; /* number of the identity of the other task, or of the program that is executed */
	__u64 digest; /* first eight bytes of the sha256 of the program, big endian; 0: not known */
	__u64 cgroup; /* id of the control group */
	__u64 inode; /* of the object */
	__u32 exe; /* canonical path of the running program; exec: of the new one, a string */
	__u32 args; /* arguments of the running program, a NUL between two; exec: the new ones, a string */
	__u32 path; /* the object: a file, a unix socket's path, a module's name, a string */
	__u32 path2; /* rename, link: the new name, a string */
	__u32 comm; /* what the task calls itself, a string */
	__u32 device; /* of the object: major << 20 | minor */
	__u32 mnt_ns; /* inode number of the mount namespace */
	__u32 pid; /* process (tgid) in the initial pid namespace */
	__u32 tid; /* thread */
	__u32 ppid; /* parent process */
	__u32 sid; /* POSIX session id */
	__u32 uid; /* effective user */
	__u32 login_uid; /* user who logged in; 4294967295: nobody did */
	__s32 result; /* 0 or a number that the call returned; negative: an errno */
	__u32 detail; /* by type, see below */
	__u32 target_pid; /* the other process: child of a fork, whom a signal or a tracer is for */
	__u32 rule; /* denials: the rule of the policy image */
	__u32 object_class; /* denials and files: the object class in the policy image; 0: none or no gate */
	__u32 lost; /* records lost on this host until now, modulo 2^32: a change is a gap in the stream */
	__u8 address[16]; /* the peer, or one's own for bind: network order, v4 in the first four bytes */
	__u16 port; /* host order */
	__u8 family; /* 4, 6, 1 for a unix socket, 0 for none */
	__u8 protocol; /* IP protocol number */
	__u16 type; /* kind of event */
	__u16 flags; /* see below */
	__u32 generation; /* of the policy image, low 32 bits */
};

/* Followed by `size` bytes. */
struct string_record {
	__u32 number;
	__u16 size;
	__u16 cut;
};
/* clang-format on */

#endif
