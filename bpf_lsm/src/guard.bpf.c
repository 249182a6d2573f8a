/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The guard: nobody but the agent, root or not, gets hold of our maps, programs and links, and nobody but the
 * process that process 1 starts for the unit is the agent.
 *
 * | hook                 | what it is for                                                                     |
 * |----------------------|------------------------------------------------------------------------------------|
 * | bpf                  | a map, program or link of ours by its id; a link by BPF_OBJ_GET reaches no other hook |
 * | bpf_map              | a descriptor of a map of ours, also from a pin                                     |
 * | bpf_prog             | a descriptor of a program of ours                                                  |
 * | bprm_check_security  | the agent's program is executed: by process 1's own fork in the unit's cgroup, or not at all |
 * | bprm_committed_creds | the task is the agent now, or is not any more                                      |
 *
 * Signals, tracing, limits and priorities are judged in special.bpf.c by guard_process(), mounts in mounts.bpf.c, pins and
 * /proc in files.bpf.c by guard_pin() and guard_proc(), other files by the Protections of policies/library/guard.yaml.
 * LSM and tracing links can be neither updated nor detached through a descriptor (-EINVAL, -EOPNOTSUPP on 6.1, 6.12
 * and 7.3), so holding one gives nothing; unpinning is deleting a file.
 *
 * The first agent, which loads the gate, claims the flag (agent.bpf.c). Whoever comes after it starts with nothing but
 * its program, and root chooses environment, namespaces, filters and descriptors of what it starts. So what counts is
 * the task's history: forked by process 1 (being reparented to it leaves no trace in a label), untraced, and nothing
 * executed in between but process 1's own program (systemd-executor). What process 1 does for the unit is said in
 * files that policy protects; of the environment the loader hears nothing (AT_SECURE), Python neither (-I).
 */
#include "guard.h"

enum { OWN_PROGRAM = 1, OWN_MAP, OWN_LINK };

#define BPRM_SECUREEXEC 1 /* BPF_F_BPRM_SECUREEXEC */

static __always_inline int check_own(__u32 kind, __u32 id)
{
	struct control *switches = get_control();
	struct own_key key = { .kind = kind, .id = id };

	if (!is_armed(switches) || !bpf_map_lookup_elem(&own, &key) || is_agent(switches))
		return 0;
	return guard_denies(switches, NULL, OP_BPF, 0);
}

SEC("lsm/bpf")
int BPF_PROG(guard_bpf, int command, union bpf_attr *attributes)
{
	__u32 id = 0;

	/* start_id, prog_id, map_id, btf_id and link_id share the first field of the attributes. */
	bpf_probe_read_kernel(&id, sizeof(id), attributes);
	switch (command) {
	case BPF_PROG_GET_FD_BY_ID:
		return answer(check_own(OWN_PROGRAM, id), -EPERM);
	case BPF_MAP_GET_FD_BY_ID:
		return answer(check_own(OWN_MAP, id), -EPERM);
	case BPF_LINK_GET_FD_BY_ID:
		return answer(check_own(OWN_LINK, id), -EPERM);
	}
	return 0;
}

SEC("lsm/bpf_map")
int BPF_PROG(guard_map, struct bpf_map *map)
{
	return answer(check_own(OWN_MAP, map->id), -EPERM);
}

SEC("lsm/bpf_prog")
int BPF_PROG(guard_program, struct bpf_prog *program)
{
	return answer(check_own(OWN_PROGRAM, program->aux->id), -EPERM);
}

/* Is the current task in the control group of the unit? Units of process 1 have names of their own. */
static __always_inline bool in_unit(struct task_struct *task)
{
	struct kernfs_node *node = NULL;
	struct css_set *set = NULL;
	struct cgroup *group = NULL;
	const char *name = NULL;
	char text[16] = {}; /* with its NUL the whole of it */
	__u64 *words = (__u64 *)text;

	bpf_core_read(&set, sizeof(set), &task->cgroups);
	bpf_core_read(&group, sizeof(group), &set->dfl_cgrp);
	bpf_core_read(&node, sizeof(node), &group->kn);
	bpf_core_read(&name, sizeof(name), &node->name);
	bpf_probe_read_kernel_str(text, sizeof(text), name);
	return words[0] == *(__u64 *)"menshen." && words[1] == *(__u64 *)"service";
}

SEC("lsm/bprm_check_security")
int BPF_PROG(guard_exec, struct linux_binprm *bprm)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);

	/* exec.bpf.c has just decided what the task will be. */
	if (!is_armed(switches) || !label || !label->pending || label->flags & LABEL_SELF)
		return 0;
	if (label->pending != switches->agent && label->pending != switches->command)
		return 0;
	bpf_bprm_opts_set(bprm, BPRM_SECUREEXEC);
	if (label->pending == switches->command)
		return 0;
	if (label->flags & LABEL_FIRST && label->identity == switches->first && in_unit(task))
		return 0;
	return answer(guard_denies(switches, bprm->file->f_path.dentry, OP_EXEC, 0), -EPERM);
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(guard_executed)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);

	if (!switches || !label || !(label->flags & (LABEL_FIRST | LABEL_AGENT)))
		return 0;
	label->flags &= ~LABEL_AGENT;
	if (label->identity == switches->first)
		return 0;
	if (label->flags & LABEL_FIRST && is_armed(switches) && label->identity == switches->agent) {
		label->flags |= LABEL_AGENT;
		switches->agent_pid = (__u64)task->signal->pids[1 /* PIDTYPE_TGID */];
	}
	label->flags &= ~LABEL_FIRST;
	return 0;
}
