/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One request of the current task for rights on one name. The hooks fill a request and call check_name(). */
#ifndef MENSHEN_ACCESS_H
#define MENSHEN_ACCESS_H

#include "verdict.h"

#define FMODE_CREATED 0x100000

struct request {
	const struct image_header *image;
	struct control *switches;
	struct subject subject;
	struct attempt attempt;
	__u32 want;
	int error;
	/* Answers of classify(). */
	__u32 class;
	__u32 state;
	__u32 flags; /* enum object_flag */
	bool is_new; /* just created: not worth a cache entry yet */
};

/* Fills a request for the current task. False: nothing to judge. */
static __always_inline bool begin(struct request *request, __u16 operation, __u32 want, int error)
{
	struct control *switches = get_control();

	__builtin_memset(request, 0, sizeof(*request));
	if (!switches)
		return false;
	request->switches = switches;
	request->image = get_image(switches);
	if (!request->image)
		return false;
	if (!current_subject(request->image, &request->subject))
		return false;
	request->attempt.operation = operation;
	request->want = want;
	request->error = error;
	return (want & request->subject.watch) != 0;
}

static __always_inline bool one_name(struct inode *inode)
{
	return inode->i_nlink <= 1 || S_ISDIR(inode->i_mode);
}

/* The class of a name: from the inode's cache if that was taken through this very name, else resolved. */
static __always_inline int classify(struct request *request, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	__u64 epoch = *(volatile __u64 *)&request->switches->epoch;
	struct scratch *scratch;

	if (inode && !request->switches->no_cache && one_name(inode)) {
		struct object *known = bpf_inode_storage_get(&objects, inode, 0, 0);

		if (known && known->epoch == epoch && known->dentry == (__u64)dentry &&
		    known->parent == (__u64)dentry->d_parent && known->name_hash == dentry->d_name.hash_len) {
			request->class = known->class;
			request->state = known->state;
			request->flags = known->flags;
			return 0;
		}
	}
	scratch = get_scratch();
	if (!scratch)
		return RULE_SCRATCH;
	if (!resolve(dentry, scratch, request->image, request->switches)) {
		request->flags = scratch->walk.flags;
		return request->flags & OBJECT_NO_PATH ? RULE_NO_PATH : RULE_UNRESOLVED_PATH;
	}
	request->flags = scratch->walk.flags;
	request->state = scratch->walk.state;
	request->class = own_class(request->image, request->state);
	if (inode && one_name(inode) && !request->is_new && !request->switches->no_cache &&
	    !*(volatile __u32 *)&request->switches->moving &&
	    !(request->flags & (OBJECT_VOLATILE | OBJECT_DELETED)) &&
	    epoch == *(volatile __u64 *)&request->switches->epoch)
		remember(request->image, inode, dentry, request->state, request->flags, epoch);
	return 0;
}

/* What a protected name of the same file denies, whatever this name would allow. */
static __always_inline int check_alias(struct request *request, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	struct alias_key key = {};
	struct alias *alias;
	const struct image_cell *cell;
	__u32 slot, class, missing, hard, right;

	if (!inode || one_name(inode))
		return 0;
	key.inode = inode->i_ino;
	key.device = inode->i_sb->s_dev;
	key.generation = inode->i_generation;
	alias = bpf_map_lookup_elem(&aliases, &key);
	if (!alias)
		return 0;
	slot = *(volatile __u32 *)&request->switches->active;
	class = alias->class[slot & 1];
	if (!class)
		return 0;
	cell = find_cell(request->image, request->subject.row, class, request->flags);
	missing = request->want & cell->denied;
	if (!missing)
		return 0;
	hard = missing & cell->enforce;
	right = lowest_bit(hard ? hard : missing);
	report(&request->attempt, dentry, request->image, request->switches,
	       pack_verdict(cell->rule[right & 15], right, hard, class));
	return hard ? deny(request->error) : 0;
}

/* The verdict on rights to one name. classify()'s answers stay in the request. */
static __noinline int check_name(struct request *request, struct dentry *dentry)
{
	int rule = classify(request, dentry), error;

	if (rule == RULE_NO_PATH) {
		/* memfd, pipes, shared memory: data may pass, programs may not. */
		if (!(request->want & (BIT(RIGHT_EXECUTE) | BIT(RIGHT_MAP_EXEC))))
			return 0;
	}
	if (rule)
		return judge_builtin(request->image, request->switches, &request->subject, &request->attempt,
				     dentry, rule, lowest_bit(request->want), request->error);
	error = judge_class(request->image, request->switches, &request->subject, &request->attempt, dentry,
			    request->class, request->flags, request->want, request->error);
	if (error)
		return error;
	return check_alias(request, dentry);
}

#endif
