/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is kept with a task. The gate's programs write it; the watch's do so only where no gate is loaded. */
#ifndef MENSHEN_LABEL_H
#define MENSHEN_LABEL_H

#include "kernel.h"

/* Who a task is. Created at task_alloc (copied) or by the task iterator; no memory: the fork fails. */
enum label_flag {
	LABEL_ADOPTED = 1 << 0, /* was there before us: taken from its executable by the iterator */
	LABEL_EXECING = 1 << 1, /* between check and commit of an exec */
	LABEL_SELF = 1 << 2, /* the exec in progress keeps the identity */
	LABEL_SCRIPT = 1 << 3,
	LABEL_KERNEL = 1 << 4,
	LABEL_SESSION = 1 << 5, /* session and login_uid are set */
	LABEL_AGENT = 1 << 6, /* is the agent: see guard.bpf.c; kept by threads and forks, lost at exec */
	LABEL_FIRST = 1 << 7, /* was forked by process 1 and has executed nothing since but process 1's own program */
	LABEL_WATCH = 1 << 8, /* is the watch: guard.bpf.c; of the process's first thread, lost at fork and exec */
	LABEL_MANAGER = 1 << 9, /* came from process 1 by nothing but forks: runs its memory still; lost at exec */
	LABEL_SHARED_FILES = 1 << 10, /* the exec in progress began with a table of descriptors that others share */
};

#define ROW_KERNEL (1 << 15) /* in label.row_flags: of LABEL_KERNEL */

struct label {
	__u64 identity; /* 0: unidentified */
	__u64 generation; /* of the image that row, watch and row_flags were taken from */
	__u16 row; /* below MAX_ROWS of policies/image.py; these three are read as one word: subject.h */
	__u16 row_flags; /* enum row_flag, or ROW_KERNEL */
	__u32 watch;
	__u32 flags; /* enum label_flag */
	__u32 reserved;
	__u64 pending; /* identity that the exec in progress will give */
	__u64 session; /* session.h */
	__u64 digest; /* first eight bytes of the program's sha256, big endian; 0: not known */
	__u32 login_uid; /* as it was when session was set */
	__u32 refused; /* special.bpf.c: the call, plus one, in which it was refused to look at another's memory */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct label);
} labels SEC(".maps");

#endif
