/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who is the agent, and what nobody else may do to it and to what is ours. Files are protected by policy
 * (library/guard.yaml); what is here does not depend on a path.
 */
#ifndef MENSHEN_GUARD_H
#define MENSHEN_GUARD_H

#include "access.h"

/* The process, not its name or number: guard.bpf.c says how a task comes by the flag. */
static __always_inline bool is_agent(struct control *switches)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label;

	if (task->flags & PF_KTHREAD)
		return true;
	label = label_of(task->group_leader);
	return label && label->flags & LABEL_AGENT;
}

/* Likewise: the process that process 1 started as the watch. */
static __always_inline bool is_watch(void)
{
	struct label *label = label_of(bpf_get_current_task_btf()->group_leader);

	return label && label->flags & LABEL_WATCH;
}

static __always_inline bool is_armed(struct control *switches)
{
	return switches && switches->guard;
}

/* Counts, reports and denies; also while no image is in force. `name` may be NULL. */
static __noinline int guard_denies(struct control *switches, struct dentry *name, __u32 detail, __u32 target_pid)
{
	struct attempt attempt = { .operation = OP_GUARD, .detail = detail, .target_pid = target_pid };
	const struct image_header *image = image_of(active_slot(switches));

	count(COUNT_GUARD);
	if (image)
		report(&attempt, name, image, switches, pack_verdict(RULE_GUARD, NO_RIGHT, true, 0));
	return 1;
}

/*
 * The agent is signalled by itself, the kernel and process 1 only, and its limits and priority are nobody's. Besides it
 * nobody traces whoever could become it or speaks to it: process 1, its forks, the command line and the watch.
 */
static __always_inline int guard_process(struct task_struct *target, __u16 operation)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label;

	if (!is_armed(switches))
		return 0;
	label = label_of(target->group_leader);
	if (!label)
		return 0;
	if (!(label->flags & LABEL_AGENT)) {
		if (operation != OP_PTRACE)
			return 0;
		if (target->tgid != 1 && !(label->flags & (LABEL_FIRST | LABEL_MANAGER | LABEL_WATCH)) &&
		    (!label->identity || label->identity != switches->command))
			return 0;
	}
	if (is_agent(switches) || target->tgid == task->tgid || (operation != OP_PTRACE && task->tgid == 1))
		return 0;
	return guard_denies(switches, NULL, operation, target->tgid);
}

/* A name of ours in the bpffs, wherever that is mounted: everything in a folder at its top that begins with ours. */
static __noinline int is_pin(struct control *switches, struct dentry *dentry)
{
	struct dentry *parent = NULL, *above = NULL;
	char name[8] = {};
	const unsigned char *at = NULL;

	for (int depth = 0; depth < 8; depth++) {
		bpf_core_read(&parent, sizeof(parent), &dentry->d_parent);
		bpf_core_read(&above, sizeof(above), &parent->d_parent);
		if (above == parent)
			break;
		dentry = parent;
	}
	bpf_core_read(&at, sizeof(at), &dentry->d_name.name);
	bpf_probe_read_kernel_str(name, sizeof(name), at);
	/* Deeper than our folders are is not ours. */
	return above == parent && parent != dentry && *(__u64 *)name == *(__u64 *)"menshen";
}

/* Is somebody else about to remove or move a pin? */
static __always_inline int guard_pin(struct dentry *dentry)
{
	struct control *switches = get_control();

	if (!is_armed(switches) || dentry->d_sb->s_dev != switches->pins_device || is_agent(switches))
		return 0;
	if (!is_pin(switches, dentry))
		return 0;
	return guard_denies(switches, dentry, OP_UNLINK, 0);
}

/* The process that a file under /proc is about; its threads' files too. */
static __always_inline struct pid *process_of(struct inode *inode)
{
	const struct proc_inode *proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	struct task_struct *task;
	struct signal_struct *signal = NULL;
	struct hlist_node *first = NULL;
	struct pid *pid = NULL;

	bpf_core_read(&pid, sizeof(pid), &proc->pid);
	bpf_core_read(&first, sizeof(first), &pid->tasks[0 /* PIDTYPE_PID */].first);
	if (!first)
		return NULL;
	task = (void *)first - bpf_core_field_offset(struct task_struct, pid_links[0]);
	bpf_core_read(&signal, sizeof(signal), &task->signal);
	bpf_core_read(&pid, sizeof(pid), &signal->pids[1 /* PIDTYPE_TGID */]);
	return pid;
}

/* Opening a file of the agent's under /proc for writing: its memory, its OOM score, ... */
static __always_inline int guard_proc(struct inode *inode, struct dentry *dentry)
{
	struct control *switches;

	if (inode->i_sb->s_magic != PROC_SUPER_MAGIC)
		return 0;
	switches = get_control();
	if (!is_armed(switches) || !switches->agent_pid || (__u64)process_of(inode) != switches->agent_pid)
		return 0;
	if (is_agent(switches))
		return 0;
	return guard_denies(switches, dentry, OP_OPEN, 0);
}

#endif
