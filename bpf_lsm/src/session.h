/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sessions: the lineage that events are joined on. A new one begins at
 *
 * | a child of process 1                      | a service was started    |
 * | the login uid being set                   | somebody logged in       |
 * | the first process of a new pid namespace  | a container was started  |
 *
 * and everything else is of the session of whoever made it; setsid changes nothing. Processes that were there
 * before us get the session of the topmost ancestor with which one would have begun.
 *
 * The gate's programs and the watch's both call these functions; what was set once stays.
 */
#ifndef MENSHEN_SESSION_H
#define MENSHEN_SESSION_H

#include "kernel_fixes.h"
#include "label.h"

#define NO_LOGIN 0xffffffff
#define MAX_ANCESTORS 256
#define CLONE_THREAD 0x00010000
#define CLONE_NEWPID 0x20000000

/*
 * Nanoseconds since boot; the last ten bits are the processor's. A processor would have to begin two within a
 * microsecond to give the same number twice, and each takes a fork or a write to /proc.
 */
static __always_inline __u64 new_session(void)
{
	return (bpf_ktime_get_boot_ns() & ~0x3ffull) | (bpf_get_smp_processor_id() & 0x3ff);
}

static __always_inline __u32 login_uid_of(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->loginuid))
		return NO_LOGIN;
	return read_half(&task->loginuid);
}

struct ancestry {
	struct task_struct *task;
	__u64 session;
};

static long climb_ancestors(__u32 i, struct ancestry *ancestry)
{
	struct task_struct *task = ancestry->task, *parent = NULL;
	__u64 born = 0;
	__u32 pid = 0;

	bpf_core_read(&parent, sizeof(parent), &task->real_parent);
	if (parent)
		bpf_core_read(&pid, sizeof(pid), &parent->tgid);
	if (pid > 1 && login_uid_of(parent) == login_uid_of(task)) {
		ancestry->task = parent;
		return 0;
	}
	bpf_core_read(&task, sizeof(task), &task->group_leader);
	bpf_core_read(&born, sizeof(born), &task->start_boottime);
	bpf_core_read(&pid, sizeof(pid), &task->tgid);
	ancestry->session = (born & ~0x3ffull) | (pid & 0x3ff);
	return 1;
}

/* For a task that was there before us. Every task of one lineage gets the same number, without any memory. */
static __always_inline void adopt_session(struct label *label, struct task_struct *task)
{
	struct ancestry ancestry = { .task = task };

	bpf_loop(MAX_ANCESTORS, climb_ancestors, &ancestry, 0);
	label->session = ancestry.session;
	label->login_uid = login_uid_of(task);
	label->flags |= LABEL_SESSION;
}

/* For the current task: true if it logged in since we last looked. */
static __always_inline bool notice_login(struct label *label, struct task_struct *task)
{
	__u32 now = login_uid_of(task);

	if (!(label->flags & LABEL_SESSION)) {
		adopt_session(label, task);
		return false;
	}
	if (label->login_uid == now)
		return false;
	label->login_uid = now;
	if (now == NO_LOGIN)
		return false;
	label->session = new_session();
	return true;
}

/* The next child of this task is the first process of a new pid namespace. */
static __always_inline bool makes_pid_namespace(struct task_struct *parent, __u64 clone_flags)
{
	struct nsproxy *namespaces = (void *)read_word(&parent->nsproxy);
	struct pid_namespace *ns;

	if (clone_flags & CLONE_NEWPID)
		return true;
	if (!namespaces)
		return false;
	ns = (void *)read_word(&namespaces->pid_ns_for_children);
	return ns && !read_word(&ns->child_reaper); /* unshare(CLONE_NEWPID) came before */
}

static __always_inline void inherit_session(struct label *child, const struct label *parent,
					    struct task_struct *parent_task, bool is_thread, bool is_container)
{
	child->login_uid = parent->login_uid;
	child->session = parent->session;
	if (!is_thread && (is_container || parent_task->tgid == 1))
		child->session = new_session();
	child->flags |= LABEL_SESSION;
}

#endif
