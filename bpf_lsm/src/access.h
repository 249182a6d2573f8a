/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One request of the current task for rights on one name. The hooks fill a request and call check_name(). */
#ifndef MENSHEN_ACCESS_H
#define MENSHEN_ACCESS_H

#include "sequence.h"

#define FMODE_CREATED 0x100000

/* The current task under the image in force: what a hook reads once, so that all in it is judged alike. */
struct asker {
	const struct image_header *image;
	struct control *switches;
	struct subject subject;
	__u32 slot; /* that image is in */
};

/* Whether it is known already what is remembered of the name that a request is about. */
enum memory {
	MEMORY_NOT_ASKED,
	MEMORY_EMPTY,
	MEMORY_KNOWS,
};

struct request {
	struct asker asker;
	struct attempt attempt;
	__u32 want;
	/* Answers of classify(). */
	__u32 class;
	__u32 state;
	__u32 flags; /* enum object_flag */
	__u32 memory; /* enum memory */
	__u32 is_fleeting; /* just created or about to go: not worth a cache entry */
};

/* False: nothing to judge. */
static __always_inline bool find_asker(struct asker *asker)
{
	struct control *switches = get_control();

	if (!switches)
		return false;
	asker->switches = switches;
	asker->slot = active_slot(switches);
	asker->image = image_of(asker->slot);
	return asker->image && current_subject(asker->image, &asker->subject);
}

/* Fills a request for the current task. False: nothing to judge. want is 0 where no right on an object is meant. */
static __always_inline bool begin(struct request *request, __u16 operation, __u32 want)
{
	__builtin_memset(request, 0, sizeof(*request));
	request->attempt.operation = operation;
	request->want = want;
	return find_asker(&request->asker) && (!want || want & request->asker.subject.watch);
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
	__u32 state, flags;
	__u64 low, high;

	if (parent == dentry || !dentry->d_hash.pprev)
		return 0;
	known = bpf_inode_storage_get(&objects, parent->d_inode, 0, 0);
	if (!known || epoch_of(known) != epoch || known->dentry != (__u64)parent)
		return 0;
	state = known->state;
	flags = known->flags;
	barrier();
	if (epoch_of(known) != epoch || flags & OBJECT_VOLATILE)
		return 0;
	request->flags = flags;
	if (state & STATE_SINK)
		return state;
	if (!(state & STATE_SHORTCUT) || !read_short_name(dentry, &low, &high))
		return 0;
	return automaton_name(request->asker.image, image_mask(), state, low, high);
}

/* A file that has one name. */
static __always_inline bool may_remember(struct inode *inode)
{
	return one_name(inode) && !get_control()->no_cache;
}

/* What is remembered of this very name, or NULL. Read it, and then look at the epoch again. */
static __always_inline struct object *find_object(struct inode *inode, struct dentry *dentry, __u64 epoch)
{
	struct object *object;

	if (!may_remember(inode))
		return NULL;
	object = bpf_inode_storage_get(&objects, inode, 0, 0);
	if (!object || epoch_of(object) != epoch || object->dentry != (__u64)dentry ||
	    object->parent != (__u64)dentry->d_parent || object->name_hash != dentry->d_name.hash)
		return NULL;
	return object;
}

static __always_inline enum memory recall(struct request *request, struct object *object, __u64 epoch)
{
	if (!object)
		return MEMORY_EMPTY;
	request->class = object->class;
	request->state = object->state;
	request->flags = object->flags;
	barrier();
	return epoch_of(object) == epoch ? MEMORY_KNOWS : MEMORY_EMPTY;
}

/* For remember(): what this subject may do with the object, if nothing but the table has a say. */
static __always_inline __u32 settle(const struct request *request)
{
	const struct image_header *image = request->asker.image;
	const struct image_cell *cell = find_cell(image, request->asker.subject.row, request->class, request->flags);

	return request->asker.subject.row << 16 | (cell->allow & ~image->sequence_rights & (BIT(RIGHT_COUNT) - 1));
}

/* Whether all of `want` was settled for the subject. Its row is of the image that the epoch is of. */
static __always_inline bool is_settled(const struct object *object, const struct subject *subject, __u32 want,
				       __u64 epoch)
{
	__u32 settled;

	if (!object)
		return false;
	settled = object->settled;
	barrier();
	return settled >> 16 == subject->row && !(want & ~settled) && epoch_of(object) == epoch;
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
			 resolve(dentry, inode, scratch, request->asker.image, request->asker.switches, trusted));
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
	__u64 epoch = current_epoch(request->asker.image, request->asker.switches);
	__u32 sequence, memory = request->memory;
	int rule;

	if (inode && memory == MEMORY_NOT_ASKED)
		memory = recall(request, find_object(inode, dentry, epoch), epoch);
	if (memory == MEMORY_KNOWS)
		return 0;
	sequence = name_sequence(dentry);
	request->state = trusted && request->asker.switches->no_cache < 2 ? state_below(request, dentry, epoch) : 0;
	if (!request->state) {
		rule = walk_to(request, dentry, inode ? inode : directory, trusted);
		if (rule)
			return rule;
	}
	request->class = own_class(request->asker.image, request->state);
	if (inode && may_remember(inode) && !request->is_fleeting &&
	    !*(volatile __u32 *)&request->asker.switches->moving &&
	    epoch == current_epoch(request->asker.image, request->asker.switches))
		remember(request->asker.image, inode, dentry, sequence, request->state, request->flags, settle(request),
			 epoch);
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
	class = alias->class[request->asker.slot & 1];
	if (!class)
		return 0;
	return judge_denials(request->asker.image, &request->asker.subject, class, request->flags, request->want);
}

/* The end of every judgement: 1 if the access is to be denied. */
static __always_inline int conclude(struct request *request, struct dentry *dentry, __u64 verdict)
{
	if (!verdict)
		return 0;
	report(&request->attempt, dentry, request->asker.image, request->asker.switches, verdict);
	return (verdict >> 24) & 1;
}

/* What the sequences say to an access that the tables do not deny. */
static __always_inline __u64 judge_sequences(struct request *request, __u64 verdict, __u32 port)
{
	if (!(request->want & request->asker.image->sequence_rights) || verdict >> 24 & 1)
		return verdict;
	return stricter(verdict,
			follow_sequences(request->asker.slot, request->want, request->class, request->attempt.operation,
					 port),
			request->asker.switches);
}

static __always_inline int check_object(struct request *request, struct dentry *dentry, struct inode *inode,
					struct inode *directory, bool trusted)
{
	__u64 verdict = 0;
	int rule;

	request->want = opaque(request->want, request->asker.switches);
	request->is_fleeting = opaque(request->is_fleeting, request->asker.switches);
	rule = opaque(classify(request, dentry, inode, directory, trusted), request->asker.switches);
	if (!rule) {
		verdict = judge_class(request->asker.image, &request->asker.subject, request->class, request->flags,
				      request->want);
		if (inode && !one_name(inode))
			verdict = stricter(verdict, judge_alias(request, inode), request->asker.switches);
		verdict = judge_sequences(request, verdict, 0);
	} else if (rule != RULE_NO_PATH || request->want & (BIT(RIGHT_EXECUTE) | BIT(RIGHT_MAP_EXEC))) {
		/* memfd, pipes, shared memory: data may pass, programs may not. */
		verdict = judge_builtin(&request->asker.subject, rule, lowest_bit(request->want));
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
		verdict = judge_class(request->asker.image, &request->asker.subject,
				      abstract_class(request->asker.image, scratch, address + 3, size - 3), 0,
				      request->want);
	else
		verdict = judge_builtin(&request->asker.subject, RULE_SCRATCH, lowest_bit(request->want));
	return conclude(request, NULL, verdict);
}

#endif
