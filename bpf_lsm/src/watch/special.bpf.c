/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is privileged, and the execs that no tracepoint tells of.
 *
 * | program                        | what it is for                                                            |
 * |--------------------------------|---------------------------------------------------------------------------|
 * | security_bprm_creds_for_exec   | an exec begins: the canonical path of what was asked for, a script        |
 * | sys_execve, sys_execveat       | an exec that failed                                                       |
 * | commit_creds                   | another effective user, by whatever call or program                       |
 * | __ptrace_may_access            | tracing, another process's memory: whether it may                         |
 * | security_ptrace_traceme        | asking to be traced: whether it may                                       |
 * | sys_bpf                        | commands that bring code into the kernel or put it in its place           |
 * | path_mount                     | mount                                                                     |
 * | security_move_mount            | the new calls for mounts: whether it may                                  |
 */
#include "functions.h"

SEC("?fentry/security_bprm_creds_for_exec")
int BPF_PROG(full_exec_begins, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_task *me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct watch_scratch *scratch;
	struct file *file = bprm->file;
	__u32 slot = take_slot();

	if (slot >= scratch_slots)
		return 0;
	scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!scratch)
		return 0;
	if (me) {
		describe_inode(&scratch->record, as_number(scratch, file->f_inode));
		me->inode = scratch->record.inode;
		me->device = scratch->record.device;
		me->script_path = path_number(scratch, as_number(scratch, file->f_path.dentry));
		me->path_flags = scratch->walk.flags & PATH_FLAGS;
	}
	give_back(scratch);
	return 0;
}

static __noinline int exec_failed(__s64 result, __s32 folder, __u64 name)
{
	struct watch_scratch *scratch;

	if (result >= 0)
		return 0;
	scratch = begin(WATCH_EXEC);
	if (!scratch)
		return 0;
	scratch->record.path = given_path(scratch, folder, name, 0);
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

SEC("?fexit/__x64_sys_execve")
int BPF_PROG(full_execve, struct pt_regs *regs)
{
	return exec_failed(returned(ctx), AT_FDCWD, regs->di);
}

SEC("?fexit/__x64_sys_execveat")
int BPF_PROG(full_execveat, struct pt_regs *regs)
{
	return exec_failed(returned(ctx), regs->di, regs->si);
}

SEC("?fexit/__ia32_compat_sys_execve")
int BPF_PROG(full_execve_ia32, struct pt_regs *regs)
{
	return exec_failed(returned(ctx), AT_FDCWD, (__u32)regs->bx);
}

SEC("?fexit/__ia32_compat_sys_execveat")
int BPF_PROG(full_execveat_ia32, struct pt_regs *regs)
{
	return exec_failed(returned(ctx), regs->bx, (__u32)regs->cx);
}

SEC("?fexit/commit_creds")
int BPF_PROG(full_commit_creds)
{
	struct task_struct *task = bpf_get_current_task_btf();

	/* Within an exec the program is still the old one to us: sched_process_exec records it, with the new. */
	if (bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD(task, in_execve))
		return 0;
	return record_credentials();
}

static __noinline int record_trace(struct task_struct *target, __u32 mode, __s64 result)
{
	struct watch_scratch *scratch = begin(WATCH_PTRACE);
	struct label *its = bpf_task_storage_get(&labels, target, 0, 0);

	if (!scratch)
		return 0;
	scratch->record.target_pid = target->tgid;
	scratch->record.detail = mode;
	scratch->record.result = result;
	if (its)
		scratch->record.target = its->identity;
	finish(scratch);
	return 0;
}

SEC("?fexit/__ptrace_may_access")
int BPF_PROG(full_trace, struct task_struct *target, unsigned int mode)
{
	struct task_struct *task = bpf_get_current_task_btf();

	/* Reading is what every look into /proc asks for. */
	if (!(mode & PTRACE_MODE_ATTACH) || target->tgid == task->tgid)
		return 0;
	mode &= PTRACE_MODE_READ | PTRACE_MODE_ATTACH;
	if (current_call(task) == CALL_VM_ACCESS)
		mode |= WATCH_MEMORY;
	return record_trace(target, mode, outcome(returned(ctx), false));
}

SEC("?fexit/security_ptrace_traceme")
int BPF_PROG(full_traceme, struct task_struct *parent)
{
	return record_trace(parent, PTRACE_MODE_ATTACH, outcome(returned(ctx), false));
}

SEC("?fexit/__x64_sys_bpf")
int BPF_PROG(full_bpf, struct pt_regs *regs)
{
	return is_load(regs->di) ? record_number(WATCH_BPF, regs->di, returned(ctx)) : 0;
}

SEC("?fexit/__ia32_sys_bpf")
int BPF_PROG(full_bpf_ia32, struct pt_regs *regs)
{
	return is_load(regs->bx) ? record_number(WATCH_BPF, regs->bx, returned(ctx)) : 0;
}

static __noinline int record_mount(struct path *path, __u32 flags, __s64 result)
{
	struct watch_scratch *scratch = begin(WATCH_MOUNT);

	if (!scratch)
		return 0;
	describe_dentry(scratch, path->dentry);
	scratch->record.detail = flags;
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

SEC("?fexit/path_mount")
int BPF_PROG(full_mount, const char *device, struct path *path, const char *type, unsigned long flags)
{
	return record_mount(path, flags, outcome(returned(ctx), false));
}

SEC("?fexit/security_move_mount")
int BPF_PROG(full_move_mount, struct path *from, struct path *to)
{
	return record_mount(to, 0, outcome(returned(ctx), false));
}
