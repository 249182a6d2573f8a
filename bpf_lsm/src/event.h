/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs tell user space. A verdict never depends on an event getting through: a record that finds
 * no room is counted (COUNT_DENIALS_LOST, COUNT_EVENTS_LOST) and that is all.
 *
 * bpf_lsm/layout.py mirrors this file; tests/unit/test_layout.py compares both through BTF.
 */
#ifndef MENSHEN_EVENT_H
#define MENSHEN_EVENT_H

#define EVENT_PATH_MAX 3072

/* What was attempted. Numbers are never reused, so that old records stay readable. */
enum operation {
	OP_NONE,
	OP_OPEN,
	OP_CREATE, /* open with O_CREAT, O_TMPFILE, mknod of a plain file */
	OP_MKDIR,
	OP_MKNOD,
	OP_SYMLINK,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME, /* the old name */
	OP_RENAME_TO, /* the new name */
	OP_LINK, /* the old name */
	OP_LINK_TO, /* the new name */
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIMES,
	OP_SETXATTR,
	OP_TRUNCATE,
	OP_IOCTL,
	OP_FCNTL,
	OP_EXEC,
	OP_MMAP,
	OP_MPROTECT,
	OP_CONNECT,
	OP_BIND,
	OP_LISTEN,
	OP_SENDMSG,
	OP_SOCKET,
	OP_UNIX_CONNECT,
	OP_UNIX_SEND,
	OP_PTRACE,
	OP_KILL,
	OP_MODULE,
	OP_KEXEC,
	OP_FIRMWARE,
	OP_BPF,
	OP_PERF,
	OP_CAPABLE,
	OP_MOUNT,
	OP_UMOUNT,
	OP_MOVE_MOUNT,
	OP_PIVOT_ROOT,
	OP_USERNS,
	OP_CHROOT,
	OP_KEYRING,
	OP_SETTIME,
	OP_SYSLOG,
	OP_SWAP,
	OP_QUOTA,
	OP_IO_URING,
	OP_SETNICE, /* priority, scheduler, memory and limits of another process */
	OP_GUARD, /* an attempt on Menshen itself */
	OP_NAMESPACES, /* new ones, or entering others */
	OP_SETID,
	OP_HOSTNAME,
	OP_REBOOT,
	OP_ACCT,
	OP_IOPORT,
	OP_FANOTIFY,
	OP_USERFAULTFD,
	OP_RAW_DEVICE,
	OP_CGROUP,
	OP_USB,
	OP_RECEIVE, /* a descriptor that somebody sends */
	OP_INHERIT, /* a descriptor that an exec carries into another subject */
	OP_HOLD, /* a descriptor that is open, as the image in force sees it */
	OP_HOLD_MAPPED, /* likewise a mapping */
	OP_COUNT,
};

enum event_kind {
	EVENT_DENIAL = 1, /* on the denials ring */
	EVENT_WOULD_DENY = 2, /* on the denials ring: the rule is in audit */
	EVENT_EXEC = 3, /* on the events ring: a program started and this is who it is */
};

enum event_flag {
	EVENT_FOREIGN = 1 << 0, /* the object is outside pid 1's mount namespace; the path is that namespace's */
	EVENT_PATH_CUT = 1 << 1, /* the path was longer than EVENT_PATH_MAX: its beginning is here */
	EVENT_PATH_UNRESOLVED = 1 << 2,
	EVENT_SCRIPT = 1 << 3,
	EVENT_UNSAFE_EXEC = 1 << 4, /* traced, shared file system state or no_new_privs: no identity gained */
};

struct event {
	__u64 time; /* nanoseconds, CLOCK_BOOTTIME */
	__u64 generation;
	__u64 subject; /* identity of the task */
	__u64 target; /* identity of the other task, or of the program that is executed */
	__u64 session; /* the lineage that events are joined on: session.h */
	__u64 cgroup;
	__u64 inode;
	__u32 device; /* kernel dev_t: major << 20 | minor */
	__u32 pid; /* tgid in the initial pid namespace */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 login_uid;
	__u32 rule;
	__u32 row;
	__u32 class; /* of the object; without a right it is the special word that was missing, enum special */
	__u32 detail; /* by operation: open flags, capability, signal, socket family << 16 | type, operation (guard),
		      * descriptor (inherit, hold) */
	__u16 operation;
	__u8 kind;
	__u8 right; /* enum right, or 255 */
	__u8 protocol;
	__u8 family; /* 4 or 6 when address is set */
	__u16 port;
	__u8 address[16]; /* network order; v4 in the first four bytes */
	char comm[16];
	__u16 flags;
	__u16 path_size; /* bytes that follow this header, without a NUL */
	__u32 target_pid;
};

#endif
