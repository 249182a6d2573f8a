/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Special rights: what a subject may do to other processes and to the machine.
 *
 * | hook                | right            | what it is for                                              |
 * |---------------------|------------------|-------------------------------------------------------------|
 * | capable             | (capabilities)   | each capability by name; and, by the call that it is for:   |
 * |                     |                  | namespaces, hostname, swap, clock, acct, reboot, ioport     |
 * | ptrace_access_check | ptrace           | attach, /proc/PID/mem, process_vm_*, pidfd_getfd            |
 * | ptrace_traceme      | ptrace           | being traced by the parent                                  |
 * | task_kill           | kill             | signals to other subjects                                   |
 * | kernel_read_file    | module, kexec    | finit_module, kexec_file_load                               |
 * | kernel_load_data    | module, kexec    | init_module, kexec_load                                     |
 * | kernel_module_request | module         | what the kernel would load on demand                        |
 * | bpf                 | bpf              | every bpf() call                                            |
 * | perf_event_open     | perf             |                                                             |
 * | path_chroot         | chroot           |                                                             |
 * | userns_create       | userns           |                                                             |
 * | syslog              | syslog           |                                                             |
 * | quotactl            | quota            |                                                             |
 * | task_setnice        | schedule-others  | only toward another subject                                 |
 * | task_setscheduler   | schedule-others  | only toward another subject                                 |
 * | task_setioprio      | schedule-others  | only toward another subject                                 |
 * | task_movememory     | schedule-others  | only toward another subject                                 |
 * | task_setrlimit      | schedule-others  | only toward another subject                                 |
 * | task_fix_setuid     | setid            | a change, also back to an id that the process holds         |
 * | task_fix_setgid     | setid            | the same                                                    |
 * | task_fix_setgroups  | setid            |                                                             |
 * | inode_init_security_anon | io-uring, userfaultfd | their set-up: a file of theirs is made             |
 * | uring_sqpoll        | io-uring         | also of a ring that was set up by somebody else             |
 * | uring_override_creds | io-uring        | the same                                                    |
 * | uring_cmd           | io-uring         | the same                                                    |
 * | path_notify         | fanotify         | marks on whole mounts and file systems, and permission events |
 * | key_alloc           | keyring          |                                                             |
 * | key_permission      | keyring          |                                                             |
 *
 * Mounting is in mounts.bpf.c, devices and control groups are in files.bpf.c, sockets in network.bpf.c.
 */
#include "calls.h"
#include "guard.h"
#include "overlay.h"
#include "special.h"

#define CAP_OPT_NOAUDIT 2
#define PERFMON_TOO 0xffffffff /* as label.refused: CAP_PERFMON was just refused after it */
#define READING_FIRMWARE 1
#define READING_MODULE 2
#define READING_KEXEC_IMAGE 3
#define READING_KEXEC_INITRAMFS 4
#define LOADING_FIRMWARE 1
#define LOADING_MODULE 2
#define LOADING_KEXEC_IMAGE 3
#define LOADING_KEXEC_INITRAMFS 4

/* The kernel only wants to know, and would not log a no itself: neither do we. */
static __always_inline bool lacks_quietly(const struct image_row *row, int capability, struct word word)
{
	__u64 bit = 1ull << (capability & 63), special = 1ull << (word.special & 63);

	if (row->capabilities_enforce & ~row->capabilities & bit)
		return true;
	return word.found && row->special_enforce & ~row->special & special;
}

/*
 * Where a task may not look at another's memory, newer kernels (7.3 does, 6.12 does not) ask at once for CAP_PERFMON, and
 * then for CAP_SYS_ADMIN, to let it look all the same (may_access_mm). The right that was refused is not for sale.
 */
static __always_inline bool makes_up_for_refusal(int capability)
{
	struct label *label;
	__u32 refused;

	if (capability != CAP_PERFMON && capability != CAP_SYS_ADMIN)
		return false;
	label = label_of(bpf_get_current_task_btf());
	if (!label || !label->refused)
		return false;
	refused = label->refused;
	label->refused = 0;
	if (capability == CAP_SYS_ADMIN)
		return refused == PERFMON_TOO;
	if (refused != current_call() + 1)
		return false;
	label->refused = PERFMON_TOO;
	return true;
}

SEC("lsm/capable")
int BPF_PROG(capable, const struct cred *cred, struct user_namespace *ns, int capability, unsigned int options)
{
	const struct image_row *row;
	struct request request;
	struct word word;
	__u64 bit = 1ull << (capability & 63);

	if (!begin(&request, OP_CAPABLE, 0) || !(request.asker.subject.row_flags & ROW_CONFINED) || kernel_stands_in())
		return 0;
	if (makes_up_for_refusal(capability))
		return deny(-EPERM);
	row = image_row(request.asker.image, request.asker.subject.row);
	word = word_of(capability, current_call());
	if (options & CAP_OPT_NOAUDIT)
		return answer(lacks_quietly(row, capability, word), -EPERM);
	if (!(row->capabilities & bit)) {
		request.attempt.detail = capability;
		if (conclude(&request, NULL,
			     pack_verdict(row->capabilities_rule, NO_RIGHT, !!(row->capabilities_enforce & bit), 0)))
			return deny(-EPERM);
	}
	if (word.found)
		return check_special(word.operation, word.special, 0, 0, 0);
	return 0;
}

/* Toward a process of the same subject? Not for the unidentified: they are nobody's kin. */
static __always_inline bool same_subject(struct task_struct *task, struct task_struct *target)
{
	__u64 identity = identity_of(task);

	return identity && identity == identity_of(target);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	struct label *label;

	if (mode & PTRACE_MODE_ATTACH && guard_process(child, OP_PTRACE))
		return deny(-EPERM);
	/* Reading one's own kind's /proc entries is not tracing. */
	if (!(mode & PTRACE_MODE_ATTACH) && same_subject(bpf_get_current_task_btf(), child))
		return 0;
	if (!check_special(OP_PTRACE, SPECIAL_PTRACE, identity_of(child), child->tgid, mode))
		return 0;
	label = label_of(bpf_get_current_task_btf());
	if (label && !(mode & PTRACE_MODE_ATTACH))
		label->refused = current_call() + 1;
	return deny(-EPERM);
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
	if (target->tgid == task->tgid || same_subject(task, target))
		return 0;
	return check_special(OP_KILL, SPECIAL_KILL, identity_of(target), target->tgid, signal);
}

static __always_inline int check_kernel_code(int what)
{
	switch (what) {
	case READING_FIRMWARE: /* = LOADING_FIRMWARE */
		return check_special(OP_FIRMWARE, SPECIAL_MODULE, 0, 0, what);
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

SEC("lsm/kernel_module_request")
int BPF_PROG(kernel_module_request)
{
	return check_special(OP_MODULE, SPECIAL_MODULE, 0, 0, 0);
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
	if (target->tgid == task->tgid || same_subject(task, target))
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

SEC("lsm/task_setioprio")
int BPF_PROG(task_setioprio, struct task_struct *target)
{
	return check_scheduling(target);
}

SEC("lsm/task_movememory")
int BPF_PROG(task_movememory, struct task_struct *target)
{
	return check_scheduling(target);
}

SEC("lsm/task_setrlimit")
int BPF_PROG(task_setrlimit, struct task_struct *target)
{
	return check_scheduling(target);
}

SEC("lsm/task_fix_setuid")
int BPF_PROG(task_fix_setuid, struct cred *new, const struct cred *old)
{
	if (new->uid.val == old->uid.val &&new->euid.val == old->euid.val &&new->suid.val ==
	    old->suid.val &&new->fsuid.val == old->fsuid.val)
		return 0;
	return check_special(OP_SETID, SPECIAL_SETID, 0, 0, new->euid.val);
}

SEC("lsm/task_fix_setgid")
int BPF_PROG(task_fix_setgid, struct cred *new, const struct cred *old)
{
	if (new->gid.val == old->gid.val &&new->egid.val == old->egid.val &&new->sgid.val ==
	    old->sgid.val &&new->fsgid.val == old->fsgid.val)
		return 0;
	return check_special(OP_SETID, SPECIAL_SETID, 0, 0, new->egid.val);
}

SEC("lsm/task_fix_setgroups")
int BPF_PROG(task_fix_setgroups)
{
	return check_special(OP_SETID, SPECIAL_SETID, 0, 0, 0);
}

SEC("lsm/inode_init_security_anon")
int BPF_PROG(inode_init_security_anon, struct inode *inode, const struct qstr *name)
{
	char text[16] = {};
	__u64 *words = (__u64 *)text;

	bpf_probe_read_kernel_str(text, sizeof(text), name->name);
	if (words[0] == *(__u64 *)"[io_urin")
		return check_special(OP_IO_URING, SPECIAL_IO_URING, 0, 0, 0);
	if (words[0] == *(__u64 *)"[userfau")
		return check_special(OP_USERFAULTFD, SPECIAL_USERFAULTFD, 0, 0, 0);
	return 0;
}

SEC("lsm/uring_sqpoll")
int BPF_PROG(uring_sqpoll)
{
	return check_special(OP_IO_URING, SPECIAL_IO_URING, 0, 0, 0);
}

SEC("lsm/uring_override_creds")
int BPF_PROG(uring_override_creds)
{
	return check_special(OP_IO_URING, SPECIAL_IO_URING, 0, 0, 0);
}

SEC("lsm/uring_cmd")
int BPF_PROG(uring_cmd)
{
	return check_special(OP_IO_URING, SPECIAL_IO_URING, 0, 0, 0);
}

#define OBJECT_INODE 0 /* FSNOTIFY_OBJ_TYPE_INODE; inotify and dnotify have no other */
#define PERMISSION_EVENTS (0x10000 | 0x20000 | 0x40000 | 0x100000) /* FS_OPEN_PERM, ACCESS, OPEN_EXEC, PRE_ACCESS */

SEC("lsm/path_notify")
int BPF_PROG(path_notify, const struct path *path, __u64 mask, unsigned int object)
{
	if (object == OBJECT_INODE && !(mask & PERMISSION_EVENTS))
		return 0;
	return check_special(OP_FANOTIFY, SPECIAL_FANOTIFY, 0, 0, object);
}

SEC("lsm/key_alloc")
int BPF_PROG(key_alloc)
{
	return check_special(OP_KEYRING, SPECIAL_KEYRING, 0, 0, 0);
}

SEC("lsm/key_permission")
int BPF_PROG(key_permission)
{
	return check_special(OP_KEYRING, SPECIAL_KEYRING, 0, 0, 0);
}
