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
 * | bprm_committed_creds | the task is the agent or the watch now, or is not any more                         |
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
 *
 * The watch comes by its flag in the same way, in its own unit. It is let to a descriptor that reads the labels, to join
 * its events with identities and sessions, and to nothing else. A program that it loads could write them all the same:
 * the kernel asks for no mode there. So its code is trusted in this as the agent's is, and started by hand it is not
 * refused, but nobody special.
 */
#include "guard.h"

enum { OWN_PROGRAM = 1, OWN_MAP, OWN_LINK };
enum unit { UNIT_AGENT, UNIT_WATCH };

#define BPRM_SECUREEXEC 1 /* BPF_F_BPRM_SECUREEXEC */
#define MODE_WRITE 2 /* FMODE_WRITE */

static __always_inline int check_own(__u32 kind, __u32 id, bool reads)
{
	struct control *switches = get_control();
	struct own_key key = { .kind = kind, .id = id };
	__u32 *by;

	if (!is_armed(switches))
		return 0;
	by = bpf_map_lookup_elem(&own, &key);
	if (!by || is_agent(switches) || (reads && *by == OWN_WATCH_READS && is_watch()))
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
		return answer(check_own(OWN_PROGRAM, id, false), -EPERM);
	case BPF_MAP_GET_FD_BY_ID:
		return answer(check_own(OWN_MAP, id, false), -EPERM);
	case BPF_LINK_GET_FD_BY_ID:
		return answer(check_own(OWN_LINK, id, false), -EPERM);
	}
	return 0;
}

SEC("lsm/bpf_map")
int BPF_PROG(guard_map, struct bpf_map *map, unsigned int mode)
{
	return answer(check_own(OWN_MAP, map->id, !(mode & MODE_WRITE)), -EPERM);
}

SEC("lsm/bpf_prog")
int BPF_PROG(guard_program, struct bpf_prog *program)
{
	return answer(check_own(OWN_PROGRAM, program->aux->id, false), -EPERM);
}

/* Is the current task in the control group of the unit? Units of process 1 have names of their own. */
static __always_inline bool in_unit(struct task_struct *task, enum unit unit)
{
	struct kernfs_node *node = NULL;
	struct css_set *set = NULL;
	struct cgroup *group = NULL;
	const char *name = NULL;
	char text[24] = {}; /* with its NUL the whole of either */
	__u64 *words = (__u64 *)text;

	bpf_core_read(&set, sizeof(set), &task->cgroups);
	bpf_core_read(&group, sizeof(group), &set->dfl_cgrp);
	bpf_core_read(&node, sizeof(node), &group->kn);
	bpf_core_read(&name, sizeof(name), &node->name);
	bpf_probe_read_kernel_str(text, sizeof(text), name);
	if (unit == UNIT_AGENT)
		return words[0] == *(__u64 *)"menshen." && words[1] == *(__u64 *)"service";
	return words[0] == *(__u64 *)"menshen-" && words[1] == *(__u64 *)"watch.se" &&
	       words[2] == *(__u64 *)"rvice\0\0";
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
	if (label->pending != switches->agent && label->pending != switches->command &&
	    label->pending != switches->watch)
		return 0;
	bpf_bprm_opts_set(bprm, BPRM_SECUREEXEC);
	if (label->pending != switches->agent)
		return 0;
	if (label->flags & LABEL_FIRST && label->identity == switches->first && in_unit(task, UNIT_AGENT))
		return 0;
	return answer(guard_denies(switches, bprm->file->f_path.dentry, OP_EXEC, 0), -EPERM);
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(guard_executed)
{
	struct control *switches = get_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);

	if (!switches || !label)
		return 0;
	/* Before the guard is armed the first program of all gives way to the system's own. */
	if (task->tgid == 1 && !is_armed(switches))
		switches->first = label->identity;
	if (!(label->flags & (LABEL_FIRST | LABEL_MANAGER | LABEL_AGENT | LABEL_WATCH)))
		return 0;
	label->flags &= ~(LABEL_AGENT | LABEL_WATCH | LABEL_MANAGER);
	if (label->identity == switches->first)
		return 0;
	if (label->flags & LABEL_FIRST && is_armed(switches) && label->identity) {
		if (label->identity == switches->agent) {
			label->flags |= LABEL_AGENT;
			switches->agent_pid = (__u64)task->signal->pids[1 /* PIDTYPE_TGID */];
		} else if (label->identity == switches->watch && in_unit(task, UNIT_WATCH)) {
			label->flags |= LABEL_WATCH;
		}
	}
	label->flags &= ~LABEL_FIRST;
	return 0;
}
