/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the agent asks of the kernel side.
 *
 * | program         | what it is for                                                        |
 * |-----------------|-----------------------------------------------------------------------|
 * | activate        | (syscall) puts an image slot in force                                 |
 * | touch_catalogue | (syscall) cached identities are looked up again                       |
 * | touch_tree      | (syscall) voids cached classes: the mount tree changed                |
 * | adopt           | (iter/task) labels the processes that were there before us            |
 * | claim           | (syscall) the caller is the agent; the guard keeps others from this program |
 */
#include "session.h"
#include "subject.h"

struct activate_args {
	__u32 slot;
};

SEC("syscall")
int activate(struct activate_args *args)
{
	struct control *switches = get_control();

	if (!switches || args->slot > 2)
		return -22;
	*(volatile __u32 *)&switches->active = args->slot;
	return 0;
}

SEC("syscall")
int touch_catalogue(void *args)
{
	struct control *switches = get_control();

	if (!switches)
		return -22;
	__sync_fetch_and_add(&switches->catalogue, 1);
	return 0;
}

SEC("syscall")
int touch_tree(void *args)
{
	struct control *switches = get_control();

	if (!switches)
		return -22;
	__sync_fetch_and_add(&switches->epoch, 1);
	return 0;
}

/* For the first agent, which loaded the gate: nobody was there to watch how it was started. */
SEC("syscall")
int claim(void *args)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label;

	/* The flag belongs to the process: it is kept where its first thread is. */
	if (!switches || task->pid != task->tgid)
		return -22;
	label = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!label)
		return -12;
	label->identity = switches->agent;
	label->generation = 0;
	label->flags = (label->flags & LABEL_SESSION) | LABEL_AGENT;
	switches->agent_pid = (__u64)task->thread_pid;
	return 0;
}

SEC("iter/task")
int adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct label *label;
	struct file_key key = {};
	struct file *exe = NULL;
	struct inode *inode = NULL;
	struct super_block *sb = NULL;
	__u32 tgid, device = 0;
	__u64 *identity;

	if (!task || task->flags & PF_KTHREAD)
		return 0;
	if (bpf_task_storage_get(&labels, task, 0, 0))
		return 0;
	label = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!label)
		return 0;
	label->flags = LABEL_ADOPTED;
	adopt_session(label, task);
	tgid = task->tgid;
	identity = bpf_map_lookup_elem(&adoption_by_pid, &tgid);
	if (!identity) {
		struct mm_struct *mm = task->mm;

		if (mm) {
			bpf_core_read(&exe, sizeof(exe), &mm->exe_file);
			if (exe) {
				bpf_core_read(&inode, sizeof(inode), &exe->f_inode);
				bpf_core_read(&key.inode, sizeof(key.inode), &inode->i_ino);
				bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
				bpf_core_read(&device, sizeof(device), &sb->s_dev);
				key.device = device;
				identity = bpf_map_lookup_elem(&adoption, &key);
			}
		}
	}
	if (identity)
		label->identity = *identity;

	static const char text[] = "labelled %d\n";
	__u64 argument = task->pid;

	bpf_seq_printf(ctx->meta->seq, text, sizeof(text), &argument, sizeof(argument));
	return 0;
}
