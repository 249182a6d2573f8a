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
 * | sb_mount            | mount            | also the Protection right `mount` on what is mounted over   |
 * | sb_umount           | mount            | also on what is uncovered                                   |
 * | move_mount          | mount            | the same for the new calls                                  |
 * | sb_pivotroot        | mount            |                                                             |
 * | path_chroot         | chroot           |                                                             |
 * | userns_create       | userns           |                                                             |
 * | settime             | clock            |                                                             |
 * | syslog              | syslog           |                                                             |
 * | quotactl            | quota            |                                                             |
 * | task_setnice        | schedule-others  | only toward another subject                                 |
 * | task_setscheduler   | schedule-others  | only toward another subject                                 |
 * | uring_sqpoll        | io-uring         |                                                             |
 * | key_alloc           | keyring          |                                                             |
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
#define MS_REMOUNT (1 << 5)
#define MS_BIND (1 << 12)
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20) /* unbindable, private, slave, shared */

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

/*
 * The mount point itself, and everything below it, which the mount would hide or uncover. Whether the subject may
 * mount at all is a special right; here only Protections speak.
 */
static __noinline int check_mount_point(struct dentry *dentry, __u16 operation)
{
	struct request request;
	__u64 verdict;
	__u32 subtree;
	int rule;

	if (!begin(&request, operation, BIT(RIGHT_MOUNT)))
		return 0;
	rule = opaque(classify(&request, dentry, dentry->d_inode, NULL, true), request.switches);
	if (rule) {
		verdict = judge_builtin(&request.subject, rule, RIGHT_MOUNT);
	} else {
		subtree = state_subtree(request.image, request.state);
		verdict = judge_denials(request.image, &request.subject, request.class, request.flags, request.want);
		verdict = stricter(verdict,
				   judge_denials(request.image, &request.subject, subtree, request.flags, request.want),
				   request.switches);
	}
	return answer(conclude(&request, dentry, verdict), -EACCES);
}

/* A remount, or a change of propagation (unshare, systemd and ip do that to "/"), hides nothing. As path_mount() has it. */
static __always_inline bool mounts_over(unsigned long flags)
{
	return !(flags & MS_REMOUNT) && (flags & MS_BIND || !(flags & MS_PROPAGATION));
}

/*
 * A mount namespace of one's own (systemd's services, unshare, ip netns) hides nothing from anybody else, unless `on`,
 * the mount that `mount` is put on, is shared: then the same happens in the other namespaces.
 */
static __always_inline bool concerns_others(struct mount *mount, struct mount *on)
{
	struct control *switches = get_control();
	struct mnt_namespace *ns = NULL;
	__u32 inum = 0;
	int group = 0;

	bpf_core_read(&ns, sizeof(ns), &mount->mnt_ns);
	bpf_core_read(&group, sizeof(group), &on->mnt_group_id);
	if (group || !switches || !in_namespace((__u64)ns))
		return true;
	bpf_core_read(&inum, sizeof(inum), &ns->ns.inum);
	return !inum || inum == switches->init_mnt_ns;
}

static __always_inline struct mount *mount_of(const struct vfsmount *mount)
{
	return (void *)mount - bpf_core_field_offset(struct mount, mnt);
}

SEC("lsm/sb_mount")
int BPF_PROG(sb_mount, const char *device, const struct path *path, const char *type, unsigned long flags)
{
	int error = check_special(OP_MOUNT, SPECIAL_MOUNT, 0, 0, flags);

	if (error)
		return deny(-EPERM);
	if (!mounts_over(flags) || !concerns_others(mount_of(path->mnt), mount_of(path->mnt)))
		return 0;
	return check_mount_point(path->dentry, OP_MOUNT);
}

SEC("lsm/sb_umount")
int BPF_PROG(sb_umount, struct vfsmount *mount, int flags)
{
	int error = check_special(OP_UMOUNT, SPECIAL_MOUNT, 0, 0, flags);
	struct mount *below = NULL, *own = mount_of(mount);

	if (error)
		return deny(-EPERM);
	bpf_core_read(&below, sizeof(below), &own->mnt_parent);
	if (!concerns_others(own, below))
		return 0;
	return check_mount_point(mount->mnt_root, OP_UMOUNT);
}

SEC("lsm/move_mount")
int BPF_PROG(move_mount, const struct path *from, const struct path *to)
{
	struct control *switches = get_control();
	int error = check_special(OP_MOVE_MOUNT, SPECIAL_MOUNT, 0, 0, 0);

	if (error)
		return deny(-EPERM);
	if (switches)
		__sync_fetch_and_add(&switches->epoch, 1);
	if (!concerns_others(mount_of(to->mnt), mount_of(to->mnt)))
		return 0;
	return check_mount_point(to->dentry, OP_MOVE_MOUNT);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(sb_pivotroot)
{
	return check_special(OP_PIVOT_ROOT, SPECIAL_MOUNT, 0, 0, 0);
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
