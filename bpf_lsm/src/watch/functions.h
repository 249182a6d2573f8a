/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* For programs at the end of a function of the kernel: its result, and whose doing the call is. */
#ifndef MENSHEN_WATCH_FUNCTIONS_H
#define MENSHEN_WATCH_FUNCTIONS_H

#include "files.h"
#include "syscalls.h"

#define MAX_ERRNO 4095
#define PF_IO_WORKER 0x00000010
#define NR_io_uring_enter 426 /* in both modes of x86 */

/* What the function returned: a number, or a pointer that may be an error. */
static __always_inline __s64 returned(void *ctx)
{
	__u64 value = 0;

	bpf_get_func_ret(ctx, &value);
	return value;
}

static __always_inline bool is_error(__s64 value)
{
	return value < 0 && value >= -MAX_ERRNO;
}

/* 0, or the error. Functions that give an int leave the upper half of the register undefined. */
static __always_inline __s64 outcome(__s64 value, bool is_pointer)
{
	if (is_pointer)
		return is_error(value) ? value : 0;
	return (__s32)value;
}

/* Not a system call of its own. */
static __always_inline bool is_by_io_uring(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (task->flags & PF_IO_WORKER)
		return true;
	regs = (void *)bpf_task_pt_regs(task);
	return regs->orig_ax == NR_io_uring_enter;
}

/*
 * The kernel does it for its own ends with somebody else's credentials: a layer of an overlay, say, below the file that
 * the caller named. io_uring takes on registered credentials too, but for the caller.
 */
static __always_inline bool is_internal(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->cred != task->real_cred && !is_by_io_uring();
}

static __always_inline void describe_dentry(struct watch_scratch *scratch, struct dentry *dentry)
{
	scratch->record.path = path_number(scratch, as_number(scratch, dentry));
	scratch->record.flags |= scratch->walk.flags & PATH_FLAGS;
	describe_inode(&scratch->record, as_number(scratch, dentry->d_inode));
}

#endif
