/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Special words that no hook asks for by itself: the kernel asks for a capability, and the system call tells which
 * word it is for. A call that is missing here is held by its capability alone.
 */
#ifndef MENSHEN_CALLS_H
#define MENSHEN_CALLS_H

#include "special.h"

#define CAP_SYS_RAWIO 17
#define CAP_SYS_PACCT 20
#define CAP_SYS_ADMIN 21
#define CAP_SYS_BOOT 22
#define CAP_SYS_TIME 25
#define CAP_PERFMON 38

#define TS_COMPAT 2 /* thread_info.status: in a system call of a 32-bit program */
#define X32_BIT 0x40000000
#define COMPAT(number) (1u << 31 | (number))

struct word {
	__u16 operation;
	__u8 special;
	__u8 found;
};

static __always_inline struct word word(__u16 operation, __u8 special)
{
	return (struct word){ .operation = operation, .special = special, .found = 1 };
}

/* The number of the system call that the current task is in: x86's, those of 32-bit programs with COMPAT. */
static __always_inline __u32 current_call(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *registers = (void *)bpf_task_pt_regs(task);
	unsigned long number = 0;
	__u32 status = 0;

	bpf_core_read(&number, sizeof(number), &registers->orig_ax);
	bpf_core_read(&status, sizeof(status), &task->thread_info.status);
	return status & TS_COMPAT ? COMPAT(number) : (__u32)number & ~X32_BIT;
}

static __always_inline struct word word_for_admin(__u32 call)
{
	switch (call) {
	case 56: /* clone */
	case 272: /* unshare */
	case 308: /* setns */
	case 435: /* clone3 */
	case COMPAT(120):
	case COMPAT(310):
	case COMPAT(346):
	case COMPAT(435):
		return word(OP_NAMESPACES, SPECIAL_NAMESPACES);
	case 170: /* sethostname */
	case 171: /* setdomainname */
	case COMPAT(74):
	case COMPAT(121):
		return word(OP_HOSTNAME, SPECIAL_HOSTNAME);
	case 167: /* swapon */
	case 168: /* swapoff */
	case COMPAT(87):
	case COMPAT(115):
		return word(OP_SWAP, SPECIAL_SWAP);
	/* Of the calls that mount, those that come to no hook of mounts.bpf.c; 428 and up are the same everywhere. */
	case 428: /* open_tree */
	case 430: /* fsopen */
	case 432: /* fsmount */
	case 433: /* fspick */
	case 442: /* mount_setattr */
	case 467: /* open_tree_attr */
	case COMPAT(428):
	case COMPAT(430):
	case COMPAT(432):
	case COMPAT(433):
	case COMPAT(442):
	case COMPAT(467):
		return word(OP_MOUNT, SPECIAL_MOUNT);
	}
	return (struct word){};
}

/* What `capability` is asked for in this call; found is 0 if no word of ours belongs to it. */
static __always_inline struct word word_of(int capability, __u32 call)
{
	switch (capability) {
	case CAP_SYS_ADMIN:
		return word_for_admin(call);
	case CAP_SYS_TIME:
		return word(OP_SETTIME, SPECIAL_CLOCK);
	case CAP_SYS_PACCT:
		return word(OP_ACCT, SPECIAL_ACCT);
	case CAP_SYS_BOOT:
		if (call == 169 || call == COMPAT(88))
			return word(OP_REBOOT, SPECIAL_REBOOT);
		break;
	case CAP_SYS_RAWIO:
		/* iopl, ioperm */
		if (call == 172 || call == 173 || call == COMPAT(110) || call == COMPAT(101))
			return word(OP_IOPORT, SPECIAL_IOPORT);
		break;
	}
	return (struct word){};
}

#endif
