/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a dentry to its canonical path, and from that to an automaton state.
 *
 * The path is a property of the object, not of how it was reached: within a file system it follows d_parent to the
 * file system's root, ignoring the mount in use; from there it goes on at the oldest mount of that file system in
 * pid 1's mount namespace. So a newer bind mount, a private namespace or a chroot does not rename anything.
 *
 * Upwards we remember the names; downwards we feed them to the automaton. Upwards stops at the first directory
 * whose state is cached; downwards stops at a sink, from where no name can change the class.
 *
 *   climb.h        upwards
 *   descend.h      downwards through the automaton
 *   resolve()      both, and the cache
 */
#ifndef MENSHEN_PATH_H
#define MENSHEN_PATH_H

#include "descend.h"

/* The class of the object whose own state this is. The root directory's path is "/", its state is that of "". */
static __always_inline __u32 own_class(const struct image_header *image, __u32 state)
{
	if (state == image->start)
		state = automaton_byte(image, image_mask(), state, '/');
	return state_class(image, state);
}

/* Moves on while the dentry is renamed: what was read of it is of one name only if this is even and stayed the same. */
static __always_inline __u32 name_sequence(struct dentry *dentry)
{
	return *(volatile __u32 *)&dentry->d_seq.seqcount.sequence;
}

/* `sequence` is the dentry's from before the walk: a file's rename does not raise the epoch. */
static __always_inline void remember(const struct image_header *image, struct inode *inode, struct dentry *dentry,
				     __u32 sequence, __u32 state, __u32 flags, __u32 settled, __u64 epoch)
{
	struct object *object = bpf_inode_storage_get(&objects, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 before;

	if (!object) /* no memory: the next access is cold again */
		return;
	before = epoch_of(object);
	if (before == OBJECT_TAKEN || __sync_val_compare_and_swap(&object->epoch, before, OBJECT_TAKEN) != before)
		return;
	object->dentry = (__u64)dentry;
	object->parent = (__u64)dentry->d_parent;
	object->name_hash = dentry->d_name.hash;
	object->state = state;
	object->class = own_class(image, state);
	object->flags = flags & (OBJECT_FOREIGN | OBJECT_VOLATILE);
	object->settled = settled;
	barrier();
	if (sequence & 1 || name_sequence(dentry) != sequence)
		epoch = OBJECT_EMPTY;
	*(volatile __u64 *)&object->epoch = epoch;
}

static __always_inline void begin_walk(struct walk *walk, struct control *switches)
{
	__builtin_memset(walk, 0, sizeof(*walk));
	walk->root_depth = NO_ROOT;
	walk->init_mnt_ns = switches->init_mnt_ns;
}

/* Did the climb come to a root? */
static __always_inline bool arrived(struct walk *walk)
{
	if (walk->flags & OBJECT_UNRESOLVED)
		count(COUNT_UNRESOLVED);
	return !(walk->flags & (OBJECT_UNRESOLVED | OBJECT_NO_PATH));
}

/*
 * The state of an object's canonical path, in scratch->walk.state, with its flags. Returns false if there is none:
 * flags say why. `inode` is the object's own, or that of the directory it is in.
 */
static __always_inline bool resolve(struct dentry *dentry, struct inode *inode, struct scratch *scratch,
				    const struct image_header *image, struct control *switches, bool trusted)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct walk *walk = &scratch->walk;
	struct dentry *top = inode ? inode->i_sb->s_root : NULL;
	__u64 epoch = current_epoch(image, switches);

	count(COUNT_COLD);
	begin_walk(walk, switches);
	walk->use_cache = switches->no_cache < 2;
	walk->may_cache = !*(volatile __u32 *)&switches->moving;
	if (!dentry->d_hash.pprev && dentry->d_parent != dentry)
		walk->flags |= OBJECT_DELETED;

	climb(dentry, top, &context, epoch, trusted ? CLIMB_TRUSTED : CLIMB_UNTRUSTED);
	if (!arrived(walk))
		return false;
	descend_all(&context);

	/* A change of the tree that began meanwhile may have mixed two paths: this answer is not kept. */
	if (!walk->may_cache || epoch != current_epoch(image, switches) || *(volatile __u32 *)&switches->moving)
		return true;
	/* Under /proc the states depend on who asks; only the root's does not. */
	if (trusted && walk->use_cache && walk->depth && !(walk->flags & OBJECT_VOLATILE)) {
		struct dentry *parent = dentry->d_parent;

		remember(image, parent->d_inode, parent, name_sequence(parent), walk->parent_state, walk->flags, 0,
			 epoch);
	}
	if (top && walk->at_root && walk->root_depth != NO_ROOT)
		remember(image, top->d_inode, top, name_sequence(top), walk->root_state, walk->flags, 0, epoch);
	return true;
}

/* The same for scratch->place, without the cache. */
static __always_inline bool resolve_place(struct scratch *scratch, const struct image_header *image,
					  struct control *switches)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct walk *walk = &scratch->walk;

	begin_walk(walk, switches);
	climb_probed(scratch->place, &context);
	if (!arrived(walk))
		return false;
	descend_all(&context);
	return true;
}

/* One component of the event's path, from the outermost inwards. */
static long write_component(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	__u32 at = scratch->walk.depth - 1 - i, size = scratch->event.path_size;
	__u64 name;
	long length;

	if (at >= MAX_DEPTH)
		return 1;
	if (size >= EVENT_PATH_MAX - 1) {
		scratch->event.flags |= EVENT_PATH_CUT;
		return 1;
	}
	scratch->path[size] = '/';
	name = scratch->names[at];
	if (name) {
		length = bpf_probe_read_kernel_str(&scratch->path[size + 1], 256, (void *)name);
	} else {
		__builtin_memcpy(&scratch->path[size + 1], "self", 5);
		length = 5;
	}
	if (length < 1)
		return 1;
	size += length & 0x1ff; /* the NUL that is counted makes up for the slash */
	if (size > EVENT_PATH_MAX) {
		size = EVENT_PATH_MAX;
		scratch->event.flags |= EVENT_PATH_CUT;
	}
	scratch->event.path_size = size;
	return 0;
}

/* The path that was climbed into the event. */
static __always_inline void write_path(struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	struct walk *walk = &scratch->walk;
	struct event *event = &scratch->event;

	if (walk->flags & (OBJECT_UNRESOLVED | OBJECT_NO_PATH))
		event->flags |= EVENT_PATH_UNRESOLVED;
	if (walk->flags & OBJECT_FOREIGN)
		event->flags |= EVENT_FOREIGN;
	bpf_loop(walk->depth, write_component, context, 0);
	if (!walk->depth) {
		scratch->path[0] = '/';
		event->path_size = 1;
	}
}

/* The whole path into the event, without the cache. */
static __always_inline void describe_path(struct dentry *dentry, struct scratch *scratch,
					  const struct image_header *image, struct control *switches)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct event *event = &scratch->event;
	struct inode *inode = dentry->d_inode;

	begin_walk(&scratch->walk, switches);
	climb(dentry, NULL, &context, 0, CLIMB_DESCRIBING);
	write_path(&context);
	event->device = dentry->d_sb->s_dev;
	if (inode)
		event->inode = inode->i_ino;
}

/* The same for scratch->place. */
static __always_inline void describe_place(struct scratch *scratch, const struct image_header *image,
					   struct control *switches)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct event *event = &scratch->event;
	struct dentry *dentry = (void *)scratch->place;

	begin_walk(&scratch->walk, switches);
	climb_probed(scratch->place, &context);
	write_path(&context);
	event->device = BPF_CORE_READ(dentry, d_sb, s_dev);
	event->inode = BPF_CORE_READ(dentry, d_inode, i_ino);
}

#endif
