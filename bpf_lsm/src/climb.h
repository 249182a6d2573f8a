/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Upwards from a dentry, remembering the names: climb() inside the object's own file system, over typed pointers, using
 * the cache; climb_mounts() through the mounts above it, over probed addresses, once per file system and epoch.
 */
#ifndef MENSHEN_CLIMB_H
#define MENSHEN_CLIMB_H

#include "automaton.h"
#include "kernel_fixes.h"

#define MAX_MOUNTS (1 << 20) /* of one file system that are looked at; fs.mount-max is 100,000 a namespace */
#define NO_ROOT 0xffffffff
#define NO_STATE 0xffffffff

enum object_flag {
	OBJECT_FOREIGN = 1 << 0, /* not reachable in pid 1's mount namespace */
	OBJECT_NO_PATH = 1 << 1, /* memfd, pipe, socket, namespace file, ... */
	OBJECT_UNRESOLVED = 1 << 2,
	OBJECT_VOLATILE = 1 << 3, /* depends on who asks (/proc/self): not cached */
	OBJECT_DELETED = 1 << 4, /* has no name any more, or never had one (O_TMPFILE) */
};

/* Everything a callback of bpf_loop gets: the helper takes only stack memory, and there is little of it. */
struct walk_context {
	struct scratch *scratch;
	const struct image_header *image;
};

static __always_inline struct scratch *get_scratch(void)
{
	struct scratch *scratch = bpf_task_storage_get(&scratches, bpf_get_current_task_btf(), 0,
						       BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!scratch)
		count(COUNT_NO_SCRATCH);
	return scratch;
}

/* Of a component less than MAX_SHORT; the mask is for the verifier, which may have checked another copy of `at`. */
static __always_inline struct short_name *short_name_at(struct scratch *scratch, __u64 at)
{
	asm volatile("%0 &= %1" : "+r"(at) : "i"(MAX_SHORT - 1));
	return &scratch->short_names[at];
}

static __always_inline bool in_namespace(__u64 ns)
{
	/* NULL: a lazily unmounted tree. ERR_PTR: a mount that only the kernel has. */
	return ns && ns < (__u64)-4095;
}

static long search_name(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;

	if (i >= MAX_DEPTH)
		return 1;
	if (scratch->names[i] != scratch->walk.name)
		return 0;
	scratch->walk.found = i + 1;
	return 1;
}

static long search_mount(__u32 i, struct walk_context *context)
{
	struct walk *walk = &context->scratch->walk;
	struct mount *mount = (void *)walk->mount;
	struct mnt_namespace *ns;
	struct dentry *root;
	__u32 depth = walk->depth;

	if (!mount)
		return 1;
	walk->mount = (__u64)next_mount((void *)walk->sb, mount);

	walk->ns = read_word(&mount->mnt_ns);
	if (!in_namespace(walk->ns))
		return 0;
	ns = (void *)walk->ns;
	walk->inum = read_half(&ns->ns.inum);
	if (!walk->inum) /* an anonymous namespace: a tree that is not attached anywhere */
		return 0;
	walk->root = read_word(&mount->mnt.mnt_root);
	if (walk->root != walk->dentry) {
		/* A mount of a directory inside: is that directory one of those we came through? */
		walk->found = 0;
		root = (void *)walk->root;
		walk->name = read_word(&root->d_name.name);
		bpf_loop(depth, search_name, context, 0);
		if (!walk->found)
			return 0;
		depth = walk->found - 1;
	}

	if (walk->inum == walk->init_mnt_ns) {
		walk->home = (__u64)mount;
		walk->home_depth = depth;
		return !mounts_are_chained(); /* oldest first: this is the answer; else the last one is */
	}
	if (!walk->elsewhere || mounts_are_chained()) {
		walk->elsewhere = (__u64)mount;
		walk->elsewhere_depth = depth;
	}
	return 0;
}

/* walk->dentry is the root of its file system: go on at the mount point, or stop at the namespace's root. */
static __always_inline long cross_mount(struct walk_context *context)
{
	struct walk *walk = &context->scratch->walk;
	struct dentry *dentry = (void *)walk->dentry;
	struct super_block *sb;
	struct mount *mount;
	__u32 depth;

	walk->sb = read_word(&dentry->d_sb);
	sb = (void *)walk->sb;
	if (read_word(&sb->s_flags) & SB_KERNMOUNT) {
		walk->flags |= OBJECT_NO_PATH;
		return 1;
	}
	walk->mount = (__u64)first_mount(sb);
	walk->home = 0;
	walk->elsewhere = 0;
	bpf_loop(MAX_MOUNTS, search_mount, context, 0);
	if (walk->mount && mounts_are_chained()) /* more mounts than we look at: the oldest was not seen */
		walk->home = walk->elsewhere = 0;

	mount = (void *)walk->home;
	depth = walk->home_depth;
	if (!mount) {
		mount = (void *)walk->elsewhere;
		depth = walk->elsewhere_depth;
		walk->flags |= OBJECT_FOREIGN;
	}
	if (!mount) {
		walk->flags |= OBJECT_UNRESOLVED;
		return 1;
	}
	if (depth != walk->depth) {
		walk->depth = depth;
		walk->root_depth = NO_ROOT;
	}
	walk->parent = read_word(&mount->mnt_parent);
	if (walk->parent == (__u64)mount) {
		walk->done = 1;
		return 1;
	}
	walk->dentry = read_word(&mount->mnt_mountpoint);
	return 0;
}

static long climb_mounts(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	struct walk *walk = &scratch->walk;
	struct dentry *dentry = (void *)walk->dentry;
	__u32 depth = walk->depth;

	walk->parent = read_word(&dentry->d_parent);
	if (walk->parent == walk->dentry)
		return cross_mount(context);
	if (depth >= MAX_DEPTH) {
		walk->flags |= OBJECT_UNRESOLVED;
		return 1;
	}
	scratch->names[depth] = read_word(&dentry->d_name.name);
	if (depth < MAX_SHORT)
		short_name_at(scratch, depth)->low = 0;
	walk->depth = depth + 1;
	walk->dentry = walk->parent;
	return 0;
}

static __always_inline bool is_own_proc_directory(struct inode *inode)
{
	const struct proc_inode *proc;
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid *pid;

	if (!inode)
		return false;
	proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	pid = (void *)read_word(&proc->pid);
	return pid && (pid == task->thread_pid || pid == task->signal->pids[1 /* PIDTYPE_TGID */]);
}

/*
 * Where a climb inside one file system stands. On the stack, so that the pointers keep their types; everything else is
 * kept in map memory, where the verifier does not follow values and so sees one iteration, not hundreds.
 */
struct climb {
	struct dentry *dentry;
	struct scratch *scratch;
	__u64 epoch;
};

static __always_inline bool use_known_state(struct climb *climb, struct inode *inode, struct dentry *dentry)
{
	struct walk *walk = &climb->scratch->walk;
	struct object *known = bpf_inode_storage_get(&objects, inode, 0, 0);
	__u32 flags;

	if (!known || epoch_of(known) != climb->epoch || known->dentry != (__u64)dentry)
		return false;
	walk->state = known->state;
	flags = known->flags;
	barrier();
	if (epoch_of(known) != climb->epoch)
		return false;
	walk->flags |= flags;
	walk->done = 1;
	return true;
}

#define SELF 0x666c6573 /* "self", little endian */

/* Without a helper; false if the name is not short. */
static __always_inline bool read_short_name(struct dentry *dentry, __u64 *low, __u64 *high)
{
	const __u64 *words = short_name(dentry);
	__u32 length = dentry->d_name.len;

	if (length - 1 < 8) {
		*low = words[0] & ~0ull >> (64 - 8 * length);
		*high = 0;
		return true;
	}
	if (length - 9 < 8) {
		*low = words[0];
		*high = words[1] & ~0ull >> (128 - 8 * length);
		return true;
	}
	return false;
}

/* A short name is copied; of a long one the address is kept. */
static __always_inline void note_name(struct scratch *scratch, __u32 depth, struct dentry *dentry)
{
	if (depth < MAX_SHORT) {
		struct short_name *name = short_name_at(scratch, depth);

		if (read_short_name(dentry, &name->low, &name->high))
			return;
		name->low = 0;
	}
	scratch->names[depth] = (__u64)dentry->d_name.name;
}

static __always_inline void note_self(struct scratch *scratch, __u32 depth)
{
	scratch->names[depth] = 0;
	if (depth < MAX_SHORT) {
		struct short_name *name = short_name_at(scratch, depth);

		name->low = SELF;
		name->high = 0;
	}
}

/*
 * Some steps of a climb. 1: it is over. The depth goes through map memory from step to step: what the verifier does
 * not know, it does not multiply.
 */
static __always_inline long climb_some(struct climb *climb, __u32 steps, bool trusted, bool describing)
{
	struct scratch *scratch = climb->scratch;
	struct walk *walk = &scratch->walk;
	struct dentry *dentry = climb->dentry, *parent;
	long over = 1;

#pragma unroll
	for (__u32 step = 0; step < steps; step++) {
		__u32 depth = *(volatile __u32 *)&walk->depth;

		parent = dentry->d_parent;
		if (trusted && depth && (parent == dentry || !walk->is_proc) &&
		    use_known_state(climb, dentry->d_inode, dentry))
			goto out;
		if (parent == dentry) {
			walk->at_root = 1;
			goto out;
		}
		if (depth >= MAX_DEPTH)
			goto out;
		if (describing)
			scratch->names[depth] = (__u64)dentry->d_name.name;
		else
			note_name(scratch, depth, dentry);
		if (walk->is_proc && parent == parent->d_parent && is_own_proc_directory(dentry->d_inode))
			note_self(scratch, depth);
		*(volatile __u32 *)&walk->depth = depth + 1;
		dentry = parent;
	}
	over = 0;
out:
	climb->dentry = dentry;
	return over;
}

static long climb_trusted(__u32 i, struct climb *climb)
{
	return climb_some(climb, 1, true, false);
}

static long climb_untrusted(__u32 i, struct climb *climb)
{
	return climb_some(climb, 4, false, false);
}

static long climb_describing(__u32 i, struct climb *climb)
{
	return climb_some(climb, 1, false, true);
}

/* From an address that is only probed, which is at walk->depth, to the namespace's root. */
static __always_inline void climb_probed(__u64 dentry, struct walk_context *context)
{
	struct walk *walk = &context->scratch->walk;

	walk->dentry = dentry;
	walk->state = context->image->start;
	bpf_loop(MAX_DEPTH + MAX_DEPTH, climb_mounts, context, 0);
	if (!walk->done && !(walk->flags & OBJECT_NO_PATH))
		walk->flags |= OBJECT_UNRESOLVED;
}

enum climber {
	CLIMB_TRUSTED, /* the dentry may be given to the inode storage helpers: known states are used */
	CLIMB_UNTRUSTED,
	CLIMB_DESCRIBING, /* all names by address */
};

/*
 * Upwards to a directory whose state is known, through the mounts if there is none in the object's file system.
 * `top` is the root of that file system if the caller can name it by a trusted pointer, else NULL.
 */
static __always_inline void climb(struct dentry *dentry, struct dentry *top, struct walk_context *context, __u64 epoch,
				  enum climber climber)
{
	struct walk *walk = &context->scratch->walk;
	struct climb climb = {
		.dentry = dentry,
		.scratch = context->scratch,
		.epoch = epoch,
	};

	if (dentry->d_sb->s_magic == PROC_SUPER_MAGIC) {
		walk->is_proc = 1;
		walk->flags |= OBJECT_VOLATILE;
	}
	if (climber == CLIMB_DESCRIBING)
		bpf_loop(MAX_DEPTH + 1, climb_describing, &climb, 0);
	else if (climber == CLIMB_TRUSTED && walk->use_cache)
		bpf_loop(MAX_DEPTH + 1, climb_trusted, &climb, 0);
	else
		bpf_loop(MAX_DEPTH + 1, climb_untrusted, &climb, 0);
	if (walk->done)
		return;
	if (!walk->at_root) {
		walk->flags |= OBJECT_UNRESOLVED;
		return;
	}
	if (top && climb.dentry == top && use_known_state(&climb, top->d_inode, top))
		return;
	walk->root_depth = walk->depth;
	climb_probed((__u64)climb.dentry, context);
}

#endif
