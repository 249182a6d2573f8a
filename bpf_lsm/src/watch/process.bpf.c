/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Processes, whichever the sources of the rest are.
 *
 * | program                      | what it is for                                                           |
 * |------------------------------|--------------------------------------------------------------------------|
 * | tp_btf/sched_process_fork    | fork: what is known of the parent holds for the child, sessions          |
 * | tp_btf/sched_process_exec    | an exec that succeeded                                                   |
 * | tp_btf/sched_process_exit    | exit, of threads too                                                     |
 * | tp_btf/signal_generate       | kill to another session                                                  |
 * | ?tp_btf/module_load          | a kernel module; a kernel without modules has no such tracepoint         |
 * | iter.s/task, iter/task       | the processes that were there before us: arguments; program and session  |
 */
#include "objects.h"
#include "syscalls.h"

#define CLONE_VM 0x00000100
#define CLONE_FS 0x00000200
#define CLONE_FILES 0x00000400
#define CLONE_SIGHAND 0x00000800
#define CLONE_NEWNS 0x00020000
#define CLONE_NEWCGROUP 0x02000000
#define CLONE_NEWUTS 0x04000000
#define CLONE_NEWIPC 0x08000000
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWNET 0x40000000

#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1
#define SI_USER 0
#define SI_QUEUE -1
#define SI_TKILL -6

struct module {
	char name[56];
} KERNEL_TYPE;

struct kernel_siginfo {
	int si_code;
} KERNEL_TYPE;

/* What the child shares with its parent and what it does not: the clone flags that can be seen afterwards. */
static __always_inline __u32 clone_flags(struct task_struct *parent, struct task_struct *child)
{
	struct nsproxy *old = parent->nsproxy, *new = child->nsproxy;
	__u32 flags = 0;

	if (parent->tgid == child->tgid)
		flags |= CLONE_THREAD;
	if (parent->mm == child->mm)
		flags |= CLONE_VM;
	if (parent->fs == child->fs)
		flags |= CLONE_FS;
	if (parent->files == child->files)
		flags |= CLONE_FILES;
	if (parent->sighand == child->sighand)
		flags |= CLONE_SIGHAND;
	/* Of the credentials, not of the namespaces' proxy, which it leaves as it is. */
	if (BPF_CORE_READ(parent, cred, user_ns) != BPF_CORE_READ(child, cred, user_ns))
		flags |= CLONE_NEWUSER;
	if (old == new)
		return flags;
	if (old->mnt_ns != new->mnt_ns)
		flags |= CLONE_NEWNS;
	if (old->uts_ns != new->uts_ns)
		flags |= CLONE_NEWUTS;
	if (old->ipc_ns != new->ipc_ns)
		flags |= CLONE_NEWIPC;
	if (old->net_ns != new->net_ns)
		flags |= CLONE_NEWNET;
	if (old->cgroup_ns != new->cgroup_ns)
		flags |= CLONE_NEWCGROUP;
	if (BPF_CORE_READ(child, thread_pid, level) != BPF_CORE_READ(parent, thread_pid, level))
		flags |= CLONE_NEWPID;
	return flags;
}

/* Process 1 of a pid namespace other than the first. */
static __always_inline bool is_first_of_namespace(struct task_struct *task)
{
	struct pid *pid = NULL;
	__u32 level = 0, number = 0;

	/* By a helper: 6.1 lets nothing unbounded be added to a pointer that it knows the type of. */
	bpf_core_read(&pid, sizeof(pid), &task->thread_pid);
	bpf_core_read(&level, sizeof(level), &pid->level);
	if (!level)
		return false;
	bpf_probe_read_kernel(&number, sizeof(number),
			      (void *)&pid->numbers[0] + level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return number == 1;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(watch_fork, struct task_struct *parent, struct task_struct *child)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool is_thread = child->pid != child->tgid;
	struct watch_task *mine, *its;
	struct watch_scratch *scratch;
	struct label *label, *new;
	__u32 flags;

	if (task->flags & PF_KTHREAD)
		return 0;
	scratch = begin(WATCH_FORK);
	label = watch_label_of(task);
	new = watch_label_of(child);
	if (label && new && !(new->flags &LABEL_SESSION))
		inherit_session(new, label, task, is_thread, is_first_of_namespace(child));
	mine = bpf_task_storage_get(&watched, task, 0, 0);
	if (mine && mine->known) {
		its = bpf_task_storage_get(&watched, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (its)
			*its = *mine;
	}
	if (!scratch)
		return 0;
	flags = clone_flags(task, child);
	scratch->record.target_pid = child->pid;
	scratch->record.detail = flags;
	if (is_thread)
		scratch->record.flags |= WATCH_THREAD;
	finish(scratch);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(watch_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct watch_scratch *scratch;
	struct observation *record;
	struct watch_task *me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	const char *filename = bprm->filename, *interp = bprm->interp;
	struct file *file = bprm->file;

	if (me) {
		if (!me->known) {
			note_task(me, task);
			me->known = ~0u; /* not of these strings */
		}
		me->flags = 0;
		me->allow_epoch = 0; /* a new program: learn it */
	}
	record_credentials(); /* a set-user-id program, where no call said so */
	scratch = begin(WATCH_EXEC);
	if (!scratch)
		return 0;
	record = &scratch->record;
	record->target = record->subject;
	record->detail = bprm->argc;
	if (bprm->unsafe & (LSM_UNSAFE_PTRACE | LSM_UNSAFE_SHARE))
		record->flags |= WATCH_UNSAFE_EXEC;
	record->path = record->exe;
	if (filename != interp) {
		record->flags |= WATCH_SCRIPT;
		if (me && me->script_path) { /* known from security_bprm_creds_for_exec */
			record->path = me->script_path;
			record->flags |= me->path_flags;
			record->inode = me->inode;
			record->device = me->device;
		} else {
			record->path = given_path(scratch, AT_FDCWD, as_number(scratch, filename), 1);
		}
	} else if (file) {
		describe_inode(record, (__u64)file->f_inode);
	}
	if (me)
		me->script_path = STRING_NONE;
	finish(scratch);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(watch_exit, struct task_struct *task)
{
	struct watch_scratch *scratch = begin(WATCH_EXIT);

	if (!scratch)
		return 0;
	scratch->record.detail = task->exit_code;
	if (task->signal->live.counter > 0)
		scratch->record.flags |= WATCH_THREAD;
	finish(scratch);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(watch_signal, int number, struct kernel_siginfo *info, struct task_struct *target)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_scratch *scratch;
	struct label *mine, *its;
	__u64 sender = argument(ctx, 1); /* or one of two small numbers */
	int code = SI_USER;

	if (sender == SEND_SIG_PRIV)
		return 0;
	/* 7.x leaves it out for kill(); otherwise that is the kernel's doing: the signal at a parent's death, say */
	if (sender == SEND_SIG_NOINFO && current_call(task) != CALL_KILL)
		return 0;
	if (sender != SEND_SIG_NOINFO)
		bpf_probe_read_kernel(&code, sizeof(code),
				      (void *)sender + bpf_core_field_offset(struct kernel_siginfo, si_code));
	if (code != SI_USER && code != SI_QUEUE && code != SI_TKILL)
		return 0;
	mine = bpf_task_storage_get(&labels, task, 0, 0);
	its = bpf_task_storage_get(&labels, target, 0, 0);
	if (task->flags & PF_KTHREAD || task->tgid == target->tgid || (mine && its && mine->session == its->session))
		return 0;
	scratch = begin(WATCH_KILL);
	if (!scratch)
		return 0;
	scratch->record.detail = number;
	scratch->record.target_pid = target->tgid;
	if (its)
		scratch->record.target = its->identity;
	finish(scratch);
	return 0;
}

SEC("?tp_btf/module_load")
int BPF_PROG(watch_module, struct module *module)
{
	struct watch_scratch *scratch = begin(WATCH_MODULE);
	long size;

	if (!scratch)
		return 0;
	size = bpf_probe_read_kernel_str(&scratch->text[TEXT_HEAD], 64, &module->name);
	if (size > 1)
		scratch->record.path = intern(scratch, TEXT_HEAD, size - 1);
	scratch->record.detail = current_call(bpf_get_current_task_btf()) == CALL_INIT_MODULE;
	finish(scratch);
	return 0;
}

/* Both iterators run after the start, in this order, and again whenever the strings begin anew. */
SEC("iter.s/task")
int adopt_arguments(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct watch_control *control = get_watch_control();
	struct watch_scratch *scratch;
	struct watch_task *me;
	unsigned long start, end, size;
	struct mm_struct *mm;
	__u32 slot;

	if (!task || !control || task->flags & PF_KTHREAD)
		return 0;
	me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	mm = task->mm;
	if (!me || !mm || me->known == control->strings_epoch + 1)
		return 0;
	slot = take_slot();
	if (slot >= scratch_slots)
		return 0;
	scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!scratch)
		return 0;
	me->args = STRING_NONE;
	start = mm->arg_start;
	end = mm->arg_end;
	size = end - start;
	if (end <= start)
		size = 0;
	if (size > STRING_MAX + 1) {
		size = STRING_MAX + 1;
		me->flags |= WATCH_ARGS_CUT;
	}
	if (size > 1 &&
	    !bpf_copy_from_user_task(&scratch->text[TEXT_HEAD], bounded(size, SIZE_MASK), (void *)start, task, 0))
		me->args = intern(scratch, TEXT_HEAD, size - 1);
	give_back(scratch);
	return 0;
}

SEC("iter/task")
int adopt_program(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct watch_control *control = get_watch_control();
	struct watch_scratch *scratch;
	struct watch_task *me;
	struct label *label;
	__u32 slot, cut;

	if (!task || !control || task->flags & PF_KTHREAD)
		return 0;
	label = watch_label_of(task);
	if (label && !(label->flags & LABEL_SESSION))
		adopt_session(label, task);
	me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!me || me->known == control->strings_epoch + 1)
		return 0;
	slot = take_slot();
	if (slot >= scratch_slots)
		return 0;
	scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!scratch)
		return 0;
	if (!me->known)
		note_task(me, task);
	scratch->slot = slot;
	me->exe = me->comm = STRING_NONE;
	cut = me->flags & WATCH_ARGS_CUT;
	learn_exe(scratch, me, as_number(scratch, task->mm));
	me->flags |= cut;
	me->known = control->strings_epoch + 1;
	me->allow_epoch = control->allow_epoch + 1;
	allow_by_identity(me, label ? label->identity : 0, label ? label->digest : 0);
	give_back(scratch);
	return 0;
}
