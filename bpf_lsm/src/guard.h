/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who is the agent, and what nobody else may do to it. Files and pins are protected by policy (library/guard.yaml). */
#ifndef MENSHEN_GUARD_H
#define MENSHEN_GUARD_H

#include "access.h"

static __always_inline bool is_agent(struct control *switches)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label;

	if (task->flags & PF_KTHREAD || (__u32)task->tgid == switches->agent_tgid)
		return true;
	label = label_of(task);
	return label && switches->agent && label->identity == switches->agent;
}

/* Counts, reports and denies; also while no image is in force. */
static __noinline int guard_denies(struct control *switches, __u32 detail, __u32 target_pid)
{
	struct request request;

	count(COUNT_GUARD);
	begin(&request, OP_GUARD, 0);
	if (request.image) {
		request.attempt.detail = detail;
		request.attempt.target_pid = target_pid;
		conclude(&request, NULL, pack_verdict(RULE_GUARD, NO_RIGHT, true, 0));
	}
	return 1;
}

/* A process of the agent: it is signalled by itself, the kernel and pid 1 only, and traced by nobody. */
static __always_inline int guard_process(struct task_struct *target, __u16 operation)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();

	if (!switches || !switches->guard || (__u32)target->tgid != switches->agent_tgid)
		return 0;
	if (is_agent(switches) || (operation == OP_KILL && task->tgid == 1))
		return 0;
	return guard_denies(switches, operation, target->tgid);
}

#endif
