/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Special rights: what a subject may do to other processes and to the machine.
 *
 * | hook                | right            | what it is for                                              |
 * |---------------------|------------------|-------------------------------------------------------------|
 * | capable             | (capabilities)   | each capability by name                                     |
 * | ptrace_access_check | ptrace           | attach, /proc/PID/mem, process_vm_*, pidfd_getfd            |
 * | ptrace_traceme      | ptrace           | being traced by the parent                                  |
 * | task_kill           | kill             | signals to other subjects                                   |
 * | kernel_read_file    | module, kexec    | finit_module, kexec_file_load                               |
 * | kernel_load_data    | module, kexec    | init_module, kexec_load                                     |
 * | bpf                 | bpf              | every bpf() call                                            |
 * | perf_event_open     | perf             |                                                             |
 * | path_chroot         | chroot           |                                                             |
 * | userns_create       | userns           |                                                             |
 * | settime             | clock            |                                                             |
 * | syslog              | syslog           |                                                             |
 * | quotactl            | quota            |                                                             |
 * | task_setnice        | schedule-others  | only toward another subject                                 |
 * | task_setscheduler   | schedule-others  | only toward another subject                                 |
 * | uring_sqpoll        | io-uring         |                                                             |
 * | key_alloc           | keyring          |                                                             |
 *
 * Mounting is in mounts.bpf.c, devices and control groups are in files.bpf.c, sockets in network.bpf.c.
 */
#include "guard.h"
#include "special.h"

#define CAP_OPT_NOAUDIT 2
#define READING_FIRMWARE 1
#define READING_MODULE 2
#define READING_KEXEC_IMAGE 3
#define READING_KEXEC_INITRAMFS 4
#define LOADING_FIRMWARE 1
#define LOADING_MODULE 2
#define LOADING_KEXEC_IMAGE 3
#define LOADING_KEXEC_INITRAMFS 4

SEC("lsm/capable")
int BPF_PROG(capable, const struct cred *cred, struct user_namespace *ns, int capability, unsigned int options)
{
	const struct image_row *row;
	struct request request;
	__u64 bit = 1ull << (capability & 63);

	if (!begin(&request, OP_CAPABLE, 0) || !(request.subject.row_flags & ROW_CONFINED))
		return 0;
	row = image_row(request.image, request.subject.row);
	if (row->capabilities & bit)
		return 0;
	/* The kernel only wants to know, and would not log a no itself: neither do we. */
	if (options & CAP_OPT_NOAUDIT)
		return answer(row->capabilities_enforce & bit, -EPERM);
	request.attempt.detail = capability;
	if (conclude(&request, NULL,
		     pack_verdict(row->capabilities_rule, NO_RIGHT, !!(row->capabilities_enforce & bit), 0)))
		return deny(-EPERM);
	return 0;
}

static __always_inline __u64 identity_of(struct task_struct *task)
{
	struct label *label = label_of(task);

	return label ? label->identity : 0;
}

/* Toward a process of the same subject? Not for the unidentified: they are nobody's kin. */
static __always_inline bool same_subject(struct task_struct *task)
{
	struct label *own_label = label_of(bpf_get_current_task_btf()), *other = label_of(task);

	return own_label && other && own_label->identity && own_label->identity == other->identity;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	if (mode & PTRACE_MODE_ATTACH && guard_process(child, OP_PTRACE))
		return deny(-EPERM);
	/* Reading one's own kind's /proc entries is not tracing. */
	if (!(mode & PTRACE_MODE_ATTACH) && same_subject(child))
		return 0;
	return check_special(OP_PTRACE, SPECIAL_PTRACE, identity_of(child), child->tgid, mode);
}

SEC("lsm/ptrace_traceme")
int BPF_PROG(ptrace_traceme, struct task_struct *parent)
{
	return check_special(OP_PTRACE, SPECIAL_PTRACE, identity_of(parent), parent->tgid, 0);
}

SEC("lsm/task_kill")
int BPF_PROG(task_kill, struct task_struct *target, void *info, int signal)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (signal && guard_process(target, OP_KILL))
		return deny(-EPERM);
	if (target->tgid == task->tgid || same_subject(target))
		return 0;
	return check_special(OP_KILL, SPECIAL_KILL, identity_of(target), target->tgid, signal);
}

static __always_inline int check_kernel_code(int what)
{
	switch (what) {
	case READING_MODULE: /* = LOADING_MODULE */
		return check_special(OP_MODULE, SPECIAL_MODULE, 0, 0, what);
	case READING_KEXEC_IMAGE:
	case READING_KEXEC_INITRAMFS:
		return check_special(OP_KEXEC, SPECIAL_KEXEC, 0, 0, what);
	}
	return 0;
}

SEC("lsm/kernel_read_file")
int kernel_read_file(unsigned long long *ctx)
{
	return check_kernel_code(ctx[1]);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(kernel_load_data, int id)
{
	return check_kernel_code(id);
}

SEC("lsm/bpf")
int BPF_PROG(bpf_call, int command)
{
	return check_special(OP_BPF, SPECIAL_BPF, 0, 0, command);
}

SEC("lsm/perf_event_open")
int BPF_PROG(perf_event_open)
{
	return check_special(OP_PERF, SPECIAL_PERF, 0, 0, 0);
}

SEC("lsm/path_chroot")
int BPF_PROG(path_chroot)
{
	return check_special(OP_CHROOT, SPECIAL_CHROOT, 0, 0, 0);
}

SEC("lsm/userns_create")
int BPF_PROG(userns_create)
{
	return check_special(OP_USERNS, SPECIAL_USERNS, 0, 0, 0);
}

SEC("lsm/settime")
int BPF_PROG(settime)
{
	return check_special(OP_SETTIME, SPECIAL_CLOCK, 0, 0, 0);
}

SEC("lsm/syslog")
int BPF_PROG(syslog, int type)
{
	return check_special(OP_SYSLOG, SPECIAL_SYSLOG, 0, 0, type);
}

SEC("lsm/quotactl")
int BPF_PROG(quotactl, int command)
{
	return check_special(OP_QUOTA, SPECIAL_QUOTA, 0, 0, command);
}

static __always_inline int check_scheduling(struct task_struct *target)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (guard_process(target, OP_SETNICE))
		return deny(-EPERM);
	if (target->tgid == task->tgid || same_subject(target))
		return 0;
	return check_special(OP_SETNICE, SPECIAL_SCHEDULE_OTHERS, identity_of(target), target->tgid, 0);
}

SEC("lsm/task_setnice")
int BPF_PROG(task_setnice, struct task_struct *target)
{
	return check_scheduling(target);
}

SEC("lsm/task_setscheduler")
int BPF_PROG(task_setscheduler, struct task_struct *target)
{
	return check_scheduling(target);
}

SEC("lsm/uring_sqpoll")
int BPF_PROG(uring_sqpoll)
{
	return check_special(OP_IO_URING, SPECIAL_IO_URING, 0, 0, 0);
}

SEC("lsm/key_alloc")
int BPF_PROG(key_alloc)
{
	return check_special(OP_KEYRING, SPECIAL_KEYRING, 0, 0, 0);
}
