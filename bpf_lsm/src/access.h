/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One request of the current task for rights on one name. The hooks fill a request and call check_name(). */
#ifndef MENSHEN_ACCESS_H
#define MENSHEN_ACCESS_H

#include "sequence.h"

#define FMODE_CREATED 0x100000

struct request {
	const struct image_header *image;
	struct control *switches;
	struct subject subject;
	struct attempt attempt;
	__u32 slot; /* that image is in */
	__u32 want;
	/* Answers of classify(). */
	__u32 class;
	__u32 state;
	__u32 flags; /* enum object_flag */
	__u32 is_fleeting; /* just created or about to go: not worth a cache entry */
};

/* Fills a request for the current task. False: nothing to judge. want is 0 where no right on an object is meant. */
static __always_inline bool begin(struct request *request, __u16 operation, __u32 want)
{
	struct control *switches = get_control();

	__builtin_memset(request, 0, sizeof(*request));
	if (!switches)
		return false;
	request->switches = switches;
	request->slot = active_slot(switches);
	request->image = image_of(request->slot);
	if (!request->image)
		return false;
	if (!current_subject(request->image, &request->subject))
		return false;
	request->attempt.operation = operation;
	request->want = want;
	return !want || want & request->subject.watch;
}

static __always_inline bool one_name(struct inode *inode)
{
	return inode->i_nlink <= 1 || S_ISDIR(inode->i_mode);
}

/*
 * The state of a name in a directory whose own is known: one step, without a walk and its memory. 0: it has to be
 * walked, because the directory is not known, the name is long, or has no shortcut, or is /proc's, where "self" is not.
 */
static __always_inline __u32 state_below(struct request *request, struct dentry *dentry, __u64 epoch)
{
	struct dentry *parent = dentry->d_parent;
	struct object *known;
	__u64 low, high;

	if (parent == dentry || !dentry->d_hash.pprev)
		return 0;
	known = bpf_inode_storage_get(&objects, parent->d_inode, 0, 0);
	if (!known || known->epoch != epoch || known->dentry != (__u64)parent || known->flags & OBJECT_VOLATILE)
		return 0;
	request->flags = known->flags;
	if (known->state & STATE_SINK)
		return known->state;
	if (!(known->state & STATE_SHORTCUT) || !read_short_name(dentry, &low, &high))
		return 0;
	return automaton_name(request->image, image_mask(), known->state, low, high);
}

/* What a walk found, into request->state and flags. Returns 0 or the builtin rule that says why there is no state. */
static __always_inline int take_walk(struct request *request, struct walk *walk, bool arrived)
{
	request->flags = walk->flags;
	if (!arrived)
		return walk->flags & OBJECT_NO_PATH ? RULE_NO_PATH : RULE_UNRESOLVED_PATH;
	request->state = walk->state;
	return 0;
}

/*
 * The whole way, into request->state and flags. `inode` is the name's own or its directory's. Returns 0 or the builtin
 * rule that says why there is no state. A function of its own for its stack.
 */
static __noinline int walk_to(struct request *request, struct dentry *dentry, struct inode *inode, bool trusted)
{
	struct scratch *scratch = get_scratch();
	int rule;

	if (!scratch)
		return RULE_SCRATCH;
	rule = take_walk(request, &scratch->walk,
			 resolve(dentry, inode, scratch, request->image, request->switches, trusted));
	if (rule)
		return rule;
	if (!scratch->walk.may_cache || request->flags & (OBJECT_VOLATILE | OBJECT_DELETED))
		request->is_fleeting = 1;
	return 0;
}

/*
 * The class of a name: from the inode's cache if that was taken through this very name, else resolved. Returns 0 or
 * the builtin rule that says why there is none. `inode` is the name's own, or NULL.
 */
static __always_inline int classify(struct request *request, struct dentry *dentry, struct inode *inode,
				    struct inode *directory, bool trusted)
{
	__u64 epoch = *(volatile __u64 *)&request->switches->epoch;
	bool may_cache = inode && one_name(inode) && !request->switches->no_cache;
	__u32 sequence;
	int rule;

	if (may_cache) {
		struct object *known = bpf_inode_storage_get(&objects, inode, 0, 0);

		if (known && known->epoch == epoch && known->dentry == (__u64)dentry &&
		    known->parent == (__u64)dentry->d_parent && known->name_hash == dentry->d_name.hash) {
			request->class = known->class;
			request->state = known->state;
			request->flags = known->flags;
			return 0;
		}
	}
	sequence = name_sequence(dentry);
	request->state = trusted && request->switches->no_cache < 2 ? state_below(request, dentry, epoch) : 0;
	if (!request->state) {
		rule = walk_to(request, dentry, inode ? inode : directory, trusted);
		if (rule)
			return rule;
	}
	request->class = own_class(request->image, request->state);
	if (may_cache && !request->is_fleeting && !*(volatile __u32 *)&request->switches->moving &&
	    epoch == *(volatile __u64 *)&request->switches->epoch)
		remember(request->image, inode, dentry, sequence, request->state, request->flags, epoch);
	return 0;
}

/* As bpf_lsm/handles.py finds it. tmpfs has another handle; there no inode number is used twice. */
static __always_inline void name_inode(struct alias_key *key, struct inode *inode)
{
	key->inode = inode->i_ino;
	key->device = inode->i_sb->s_dev;
	key->generation = inode->i_sb->s_magic == TMPFS_MAGIC ? 0 : inode->i_generation;
}

/* What a protected name of the same file denies, whatever this name would allow. */
static __noinline __u64 judge_alias(struct request *request, struct inode *inode)
{
	struct alias_key key = {};
	struct alias *alias;
	__u32 class;

	name_inode(&key, inode);
	alias = bpf_map_lookup_elem(&aliases, &key);
	if (!alias)
		return 0;
	class = alias->class[request->slot & 1];
	if (!class)
		return 0;
	return judge_denials(request->image, &request->subject, class, request->flags, request->want);
}

/* The end of every judgement: 1 if the access is to be denied. */
static __always_inline int conclude(struct request *request, struct dentry *dentry, __u64 verdict)
{
	if (!verdict)
		return 0;
	report(&request->attempt, dentry, request->image, request->switches, verdict);
	return (verdict >> 24) & 1;
}

/* What the sequences say to an access that the tables do not deny. */
static __always_inline __u64 judge_sequences(struct request *request, __u64 verdict, __u32 port)
{
	if (!(request->want & request->image->sequence_rights) || verdict >> 24 & 1)
		return verdict;
	return stricter(verdict,
			follow_sequences(request->slot, request->want, request->class, request->attempt.operation,
					 port),
			request->switches);
}

static __always_inline int check_object(struct request *request, struct dentry *dentry, struct inode *inode,
					struct inode *directory, bool trusted)
{
	__u64 verdict = 0;
	int rule;

	request->want = opaque(request->want, request->switches);
	request->is_fleeting = opaque(request->is_fleeting, request->switches);
	rule = opaque(classify(request, dentry, inode, directory, trusted), request->switches);
	if (!rule) {
		verdict = judge_class(request->image, &request->subject, request->class, request->flags, request->want);
		if (inode && !one_name(inode))
			verdict = stricter(verdict, judge_alias(request, inode), request->switches);
		verdict = judge_sequences(request, verdict, 0);
	} else if (rule != RULE_NO_PATH || request->want & (BIT(RIGHT_EXECUTE) | BIT(RIGHT_MAP_EXEC))) {
		/* memfd, pipes, shared memory: data may pass, programs may not. */
		verdict = judge_builtin(&request->subject, rule, lowest_bit(request->want));
	}
	return conclude(request, dentry, verdict);
}

/* Is it denied? 1: yes. classify()'s answers stay in the request. */
static __noinline int check_name(struct request *request, struct dentry *dentry)
{
	struct dentry *parent = dentry->d_parent;

	return check_object(request, dentry, dentry->d_inode, parent->d_inode, true);
}

/* The same for an open file; kernel_fixes.h says what is different. */
static __always_inline int check_opened(struct request *request, struct file *file)
{
	return check_object(request, file->f_path.dentry, file->f_inode, NULL, path_of_file_is_trusted());
}

static __noinline int check_file(struct request *request, struct file *file)
{
	return check_opened(request, file);
}

/* An abstract unix name: '@' and its bytes, which may be any. */
static __always_inline __u32 abstract_class(const struct image_header *image, struct scratch *scratch, const void *name,
					    __u32 size)
{
	const __u32 mask = image_mask();
	__u32 state = automaton_byte(image, mask, image->start, '@');

	if (size > 107) /* sizeof(sun_path) less the leading NUL */
		size = 107;
	bpf_probe_read_kernel(scratch->name, size, name);
	for (__u32 byte = 0; byte < 107; byte++) {
		if (byte >= size || state & STATE_SINK)
			break;
		state = automaton_byte(image, mask, state, scratch->name[byte]);
	}
	return state_class(image, state);
}

/* `address` is a struct sockaddr_un in kernel memory: family (2), NUL, name. */
static __noinline int check_abstract(struct request *request, const void *address, __u32 size)
{
	struct scratch *scratch = get_scratch();
	__u64 verdict;

	if (size < 3)
		return 0;
	if (scratch)
		verdict = judge_class(request->image, &request->subject,
				      abstract_class(request->image, scratch, address + 3, size - 3), 0, request->want);
	else
		verdict = judge_builtin(&request->subject, RULE_SCRATCH, lowest_bit(request->want));
	return conclude(request, NULL, verdict);
}

#endif
