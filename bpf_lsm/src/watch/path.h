/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The canonical path of an object, as the gate understands it (../path.h): up d_parent to the root of its file system,
 * on at the oldest mount of that file system in process 1's mount namespace, and so on to the root. Here it is
 * written, from its end to its beginning, and nothing is judged or cached; all reads are probes, so that a walk takes
 * an address from wherever it came.
 */
#ifndef MENSHEN_WATCH_PATH_H
#define MENSHEN_WATCH_PATH_H

#include "../kernel_fixes.h"
#include "strings.h"

#define MAX_WATCHED_MOUNTS 4096 /* mounts of one file system that are looked at; beyond: unresolved */

static long find_root(__u32 i, struct watch_scratch **context)
{
	struct watch_scratch *scratch = *context;

	if (i >= MAX_COMPONENTS)
		return 1;
	if (scratch->dentries[bounded(i, MAX_COMPONENTS - 1)] != scratch->walk.root)
		return 0;
	scratch->walk.found = i + 1;
	return 1;
}

static long look_at_mount(__u32 i, struct watch_scratch **context)
{
	struct watch_scratch *scratch = *context;
	struct watch_walk *walk = &scratch->walk;
	struct mount *mount = (void *)walk->mount;
	struct mnt_namespace *ns;
	__u32 depth = walk->depth;

	if (!mount)
		return 1;
	walk->mount = (__u64)next_mount((void *)walk->sb, mount);
	bpf_core_read(&walk->ns, sizeof(walk->ns), &mount->mnt_ns);
	if (!walk->ns || walk->ns >= (__u64)-4095) /* unmounted, or only the kernel's */
		return 0;
	ns = (void *)walk->ns;
	bpf_core_read(&walk->inum, sizeof(walk->inum), &ns->ns.inum);
	if (!walk->inum) /* a tree that is not attached anywhere */
		return 0;
	bpf_core_read(&walk->root, sizeof(walk->root), &mount->mnt.mnt_root);
	if (walk->root != walk->dentry) {
		/* A mount of a directory inside: is that directory one of those we came through? */
		walk->found = 0;
		bpf_loop(depth, find_root, context, 0);
		if (!walk->found)
			return 0;
		depth = walk->found - 1;
	}
	if (walk->inum == walk->init_mnt_ns) {
		walk->home = (__u64)mount;
		walk->home_depth = depth;
		return !mounts_are_chained();
	}
	if (!walk->elsewhere || mounts_are_chained()) {
		walk->elsewhere = (__u64)mount;
		walk->elsewhere_depth = depth;
	}
	return 0;
}

/* walk->dentry is the root of its file system: go on at the mount point, or stop at the namespace's root. */
static __always_inline long leave_mount(struct watch_scratch **context)
{
	struct watch_scratch *scratch = *context;
	struct watch_walk *walk = &scratch->walk;
	struct dentry *dentry = (void *)walk->dentry;
	struct super_block *sb;
	struct mount *mount;
	unsigned long sb_flags = 0;
	__u32 depth;

	bpf_core_read(&walk->sb, sizeof(walk->sb), &dentry->d_sb);
	sb = (void *)walk->sb;
	bpf_core_read(&sb_flags, sizeof(sb_flags), &sb->s_flags);
	if (sb_flags & SB_KERNMOUNT) { /* memfd, pipe, socket, ...: a name and no path */
		walk->flags |= WATCH_PATH_UNRESOLVED;
		return 1;
	}
	walk->mount = (__u64)first_mount(sb);
	walk->home = 0;
	walk->elsewhere = 0;
	bpf_loop(MAX_WATCHED_MOUNTS, look_at_mount, context, 0);
	mount = (void *)walk->home;
	depth = walk->home_depth;
	if (!mount) {
		mount = (void *)walk->elsewhere;
		depth = walk->elsewhere_depth;
		walk->flags |= WATCH_FOREIGN;
	}
	if (!mount || (walk->mount && mounts_are_chained())) {
		walk->flags |= WATCH_PATH_UNRESOLVED;
		return 1;
	}
	if (depth < walk->depth && depth < MAX_COMPONENTS) {
		walk->at = scratch->ats[bounded(depth, MAX_COMPONENTS - 1)];
		walk->depth = depth;
	}
	bpf_core_read(&walk->parent, sizeof(walk->parent), &mount->mnt_parent);
	if (walk->parent == (__u64)mount) {
		walk->done = 1;
		return 1;
	}
	bpf_core_read(&walk->dentry, sizeof(walk->dentry), &mount->mnt_mountpoint);
	return 0;
}

static long climb_one(__u32 i, struct watch_scratch **context)
{
	struct watch_scratch *scratch = *context;
	struct watch_walk *walk = &scratch->walk;
	struct dentry *dentry = (void *)walk->dentry;
	__u32 depth = walk->depth, at = walk->at, length, size = 0;
	__u64 name = 0;
	char *text;

	bpf_core_read(&walk->parent, sizeof(walk->parent), &dentry->d_parent);
	if (walk->parent == walk->dentry)
		return leave_mount(context);
	bpf_core_read(&name, sizeof(name), &dentry->d_name.name);
	bpf_core_read(&size, sizeof(size), &dentry->d_name.len);
	length = size & 255;
	if (depth >= MAX_COMPONENTS || at > TEXT_SIZE || at < TEXT_HEAD + 1 + length) {
		walk->flags |= WATCH_PATH_UNRESOLVED | WATCH_PATH_CUT; /* its end is there */
		return 1;
	}
	depth = bounded(depth, MAX_COMPONENTS - 1);
	scratch->dentries[depth] = walk->dentry;
	scratch->ats[depth] = at;
	at -= length + 1;
	text = text_at(scratch, at);
	text[0] = '/';
	bpf_probe_read_kernel(text + 1, bounded(length, 255), (void *)name);
	walk->at = at;
	walk->depth = depth + 1;
	walk->dentry = walk->parent;
	return 0;
}

/*
 * Write the path of a dentry so that it ends before text[end]. Gives where it begins; scratch->walk.flags say what is
 * to be known of it.
 */
__noinline int write_path(struct watch_scratch *scratch, __u64 address, __u32 end)
{
	struct watch_control *control = get_watch_control();
	struct dentry *dentry = (void *)address;
	struct watch_walk *walk;
	void *hashed = NULL;
	__u32 at, length, size = 0;
	__u64 name = 0;

	if (!scratch || !control || !address || end > TEXT_SIZE || end < 2 * TEXT_HEAD)
		return end;
	walk = &scratch->walk;
	__builtin_memset(walk, 0, sizeof(*walk));
	walk->dentry = address;
	walk->at = end;
	walk->init_mnt_ns = control->init_mnt_ns;
	bpf_core_read(&walk->parent, sizeof(walk->parent), &dentry->d_parent);
	bpf_core_read(&hashed, sizeof(hashed), &dentry->d_hash.pprev);
	if (!hashed) /* a memfd never had a name, and is its own parent as a root is; no program is a root */
		walk->flags |= WATCH_EXE_DELETED;
	bpf_loop(MAX_COMPONENTS * 2, climb_one, &scratch, 0);
	if (!walk->done)
		walk->flags |= WATCH_PATH_UNRESOLVED;
	at = walk->at;
	if (at == end && walk->done) {
		at = end - 1;
		*text_at(scratch, at) = '/';
	} else if (at == end) { /* a memfd: a name and no path */
		bpf_core_read(&name, sizeof(name), &dentry->d_name.name);
		bpf_core_read(&size, sizeof(size), &dentry->d_name.len);
		length = size & 255;
		if (end < TEXT_HEAD + length)
			return end;
		at = end - length;
		bpf_probe_read_kernel(text_at(scratch, at), bounded(length, 255), (void *)name);
	}
	return at;
}

/* The number of a dentry's path; the record's own path flags go to scratch->walk.flags. */
__noinline int path_number(struct watch_scratch *scratch, __u64 dentry)
{
	__u32 at;

	if (!scratch || !dentry)
		return STRING_NONE;
	at = write_path(scratch, dentry, TEXT_SIZE);
	if (at > TEXT_SIZE)
		return STRING_LOST;
	return intern(scratch, at, TEXT_SIZE - at);
}

#endif
