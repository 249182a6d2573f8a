/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The guard: nobody but the agent, root or not, gets hold of our maps, programs and links.
 *
 * | hook     | what it is for                                                                     |
 * |----------|------------------------------------------------------------------------------------|
 * | bpf      | a map, program or link of ours by its id; a link by BPF_OBJ_GET reaches no other hook |
 * | bpf_map  | a descriptor of a map of ours, also from a pin                                     |
 * | bpf_prog | a descriptor of a program of ours                                                  |
 *
 * Signals and tracing are judged in special.bpf.c by guard_process(); pins, mounts and files by the Protections of
 * policies/library/guard.yaml. LSM and tracing links can be neither updated nor detached through a descriptor
 * (-EINVAL, -EOPNOTSUPP on 6.1, 6.12 and 7.3), so holding one gives nothing; unpinning is deleting a file.
 */
#include "guard.h"

enum { OWN_PROGRAM = 1, OWN_MAP, OWN_LINK };

static __always_inline int check_own(__u32 kind, __u32 id)
{
	struct control *switches = get_control();
	struct own_key key = { .kind = kind, .id = id };

	if (!switches || !switches->guard || !bpf_map_lookup_elem(&own, &key) || is_agent(switches))
		return 0;
	return guard_denies(switches, kind, 0);
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
