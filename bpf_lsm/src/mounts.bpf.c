/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Mounting: whether a subject may do it at all (the special right `mount`), and what a mount hides, uncovers or
 * moves (the right `mount` of Protections).
 *
 * | hook         | what it is for                                                            |
 * |--------------|---------------------------------------------------------------------------|
 * | sb_mount     | what is mounted over; the old place of MS_MOVE, which no hook sees        |
 * | sb_umount    | the place that is uncovered, and what goes with it                        |
 * | move_mount   | the new place; the old place, if it had one                               |
 * | sb_pivotroot | everything moves                                                          |
 *
 * In a mount namespace of one's own all this is one's own affair, as long as it does not propagate.
 *
 * The pins are kept by more than their path. What goes away with an unmounted tree also goes away wherever that tree
 * propagates to, from a private namespace or another place (`mount --rbind /sys x; umount -l x` empties /sys). So no
 * tree that holds a mount of our bpffs is unmounted or moved, if that could be, or reach, the host's.
 */
#include "guard.h"
#include "special.h"

#define MS_REMOUNT (1 << 5)
#define MS_BIND (1 << 12)
#define MS_MOVE (1 << 13)
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20) /* unbindable, private, slave, shared */

#define MAX_TREE (1 << 17) /* steps through a tree of mounts; longer ones are taken to hold our pins */

static __always_inline struct mount *mount_of(const struct vfsmount *mount)
{
	return (void *)mount - bpf_core_field_offset(struct mount, mnt);
}

static __always_inline bool is_manager(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);

	return task->tgid == 1 || (label && label->flags & LABEL_MANAGER);
}

/* May a Protection have something against it? Everything moves whose place we cannot see. */
static __noinline int check_everything(__u16 operation)
{
	struct request request;
	__u64 verdict;

	if (!begin(&request, operation, BIT(RIGHT_MOUNT)))
		return 0;
	verdict = judge_denials(request.asker.image, &request.asker.subject,
				state_subtree(request.asker.image, request.asker.image->start), 0, request.want);
	return conclude(&request, NULL, verdict);
}

/* A place itself, and everything below it, which a mount there hides or uncovers. `rule`: why it is not known, or 0. */
static __always_inline __u64 judge_place_below(struct request *request, int rule)
{
	__u32 subtree;

	rule = opaque(rule, request->asker.switches);
	if (rule)
		return judge_builtin(&request->asker.subject, rule, RIGHT_MOUNT);
	subtree = state_subtree(request->asker.image, request->state);
	return stricter(judge_denials(request->asker.image, &request->asker.subject, request->class, request->flags,
				      request->want),
			judge_denials(request->asker.image, &request->asker.subject, subtree, request->flags,
				      request->want),
			request->asker.switches);
}

/* 1: denied. */
static __noinline int check_mount_point(struct dentry *dentry, __u16 operation)
{
	struct request request;
	int rule;

	if (!begin(&request, operation, BIT(RIGHT_MOUNT)))
		return 0;
	rule = classify(&request, dentry, dentry->d_inode, NULL, true);
	return conclude(&request, dentry, judge_place_below(&request, rule));
}

/* classify() for scratch->place. */
static __always_inline int classify_place(struct request *request, struct scratch *scratch)
{
	int rule = take_walk(request, &scratch->walk,
			     resolve_place(scratch, request->asker.image, request->asker.switches));

	if (!rule)
		request->class = own_class(request->asker.image, request->state);
	return rule;
}

/* The same for the place that a mount leaves. */
static __noinline int check_uncovered(struct mount *mount, __u16 operation)
{
	struct request request;
	struct scratch *scratch;
	int rule = RULE_SCRATCH, denied;

	if (!begin(&request, operation, BIT(RIGHT_MOUNT)))
		return 0;
	scratch = get_scratch();
	if (scratch) {
		scratch->place = read_word(&mount->mnt_mountpoint);
		rule = classify_place(&request, scratch);
	}
	denied = conclude(&request, NULL, judge_place_below(&request, rule));
	if (scratch)
		scratch->place = 0;
	return denied;
}

static __always_inline __u32 namespace_of(struct mount *mount)
{
	struct mnt_namespace *ns = NULL;
	__u32 inum = 0;

	bpf_core_read(&ns, sizeof(ns), &mount->mnt_ns);
	if (in_namespace((__u64)ns))
		bpf_core_read(&inum, sizeof(inum), &ns->ns.inum);
	return inum;
}

static __always_inline int group_of(struct mount *mount)
{
	int group = 0;

	bpf_core_read(&group, sizeof(group), &mount->mnt_group_id);
	return group;
}

/*
 * A mount namespace of one's own (systemd's services, unshare, ip netns) hides nothing from anybody else, unless `on`,
 * the mount that `mount` is put on, is shared: then the same happens in the other namespaces.
 */
static __always_inline bool concerns_others(struct mount *mount, struct mount *on)
{
	struct control *switches = get_control();
	__u32 inum = namespace_of(mount);

	return !switches || !inum || inum == switches->init_mnt_ns || group_of(on);
}

enum { TREE_PINS = 1, TREE_SHARED = 2 };

/* One step through the mounts on walk->root: down to the first, or on to the next, or up again. */
static long step_tree(__u32 i, struct walk_context *context)
{
	struct walk *walk = &context->scratch->walk;
	struct mount *mount = (void *)walk->mount, *parent;
	struct super_block *sb;
	__u32 device = 0;

	if (!walk->found) {
		bpf_core_read(&walk->sb, sizeof(walk->sb), &mount->mnt.mnt_sb);
		sb = (void *)walk->sb;
		bpf_core_read(&device, sizeof(device), &sb->s_dev);
		if (device == walk->inum)
			walk->flags |= TREE_PINS;
		if (group_of(mount))
			walk->flags |= TREE_SHARED;
		bpf_core_read(&walk->parent, sizeof(walk->parent), &mount->mnt_mounts.next);
		if (walk->parent && walk->parent != (__u64)__builtin_preserve_access_index(&mount->mnt_mounts)) {
			walk->mount = walk->parent - bpf_core_field_offset(struct mount, mnt_child);
			return 0;
		}
	}
	if (walk->mount == walk->root) {
		walk->done = 1;
		return 1;
	}
	bpf_core_read(&walk->parent, sizeof(walk->parent), &mount->mnt_parent);
	bpf_core_read(&walk->name, sizeof(walk->name), &mount->mnt_child.next);
	parent = (void *)walk->parent;
	walk->found = walk->name == (__u64)__builtin_preserve_access_index(&parent->mnt_mounts);
	walk->mount = walk->found ? walk->parent : walk->name - bpf_core_field_offset(struct mount, mnt_child);
	return 0;
}

/* Would the pins go with this tree? */
static __noinline int guard_tree(struct mount *mount)
{
	struct control *switches = get_control();
	struct walk_context context = {};
	struct mount *parent = NULL;
	struct walk *walk;
	__u32 flags;

	if (!is_armed(switches) || is_agent(switches))
		return 0;
	context.scratch = get_scratch();
	if (!context.scratch)
		return guard_denies(switches, NULL, OP_UMOUNT, 0);
	walk = &context.scratch->walk;
	__builtin_memset(walk, 0, sizeof(*walk));
	walk->root = walk->mount = (__u64)mount;
	walk->inum = switches->pins_device;
	bpf_loop(MAX_TREE, step_tree, &context, 0);
	flags = walk->flags;
	if (walk->done && !(flags & TREE_PINS))
		return 0;
	bpf_core_read(&parent, sizeof(parent), &mount->mnt_parent);
	if (walk->done && !(flags & TREE_SHARED) && !group_of(parent) && namespace_of(mount) != switches->init_mnt_ns)
		return 0;
	return guard_denies(switches, NULL, OP_UMOUNT, 0);
}

static __always_inline bool carries_mounts(struct mount *mount)
{
	return read_word(&mount->mnt_mounts.next) != (__u64)__builtin_preserve_access_index(&mount->mnt_mounts);
}

/*
 * A mount leaves its place: that is uncovered, and what is mounted on the mount goes with it. It is the place that is
 * judged: if things are known by this mount, that is their path too, and if by another one, they keep it. What is
 * mounted on it lies, as far as can be seen from here, anywhere below its root. 1: denied.
 */
static __always_inline int check_leaving(const struct vfsmount *vfsmount, __u16 operation)
{
	struct mount *mount = mount_of(vfsmount), *below = NULL;

	if (guard_tree(mount))
		return 1;
	bpf_core_read(&below, sizeof(below), &mount->mnt_parent);
	if (!concerns_others(mount, below))
		return 0;
	if (check_uncovered(mount, operation))
		return 1;
	return carries_mounts(mount) && check_mount_point(vfsmount->mnt_root, operation);
}

/* A remount, or a change of propagation (unshare, systemd and ip do that to "/"), hides nothing. As path_mount() has it. */
static __always_inline bool mounts_over(unsigned long flags)
{
	return !(flags & MS_REMOUNT) && (flags & MS_BIND || !(flags & MS_PROPAGATION));
}

SEC("lsm/sb_mount")
int BPF_PROG(sb_mount, const char *device, const struct path *path, const char *type, unsigned long flags)
{
	if (check_special(OP_MOUNT, SPECIAL_MOUNT, 0, 0, flags))
		return deny(-EPERM);
	if (!mounts_over(flags) || !concerns_others(mount_of(path->mnt), mount_of(path->mnt)))
		return 0;
	/*
	 * The old place is a string of the caller's, which it can make mean something else once we have looked. Process 1
	 * is believed: it moves a service's credentials so (systemd up to 254), with mounts shared.
	 */
	if (flags & MS_MOVE && !(flags & MS_BIND) && !is_manager() && check_everything(OP_MOVE_MOUNT))
		return deny(-EACCES);
	return answer(check_mount_point(path->dentry, OP_MOUNT), -EACCES);
}

SEC("lsm/sb_umount")
int BPF_PROG(sb_umount, struct vfsmount *mount, int flags)
{
	if (check_special(OP_UMOUNT, SPECIAL_MOUNT, 0, 0, flags))
		return deny(-EPERM);
	return answer(check_leaving(mount, OP_UMOUNT), -EACCES);
}

SEC("lsm/move_mount")
int BPF_PROG(move_mount, const struct path *from, const struct path *to)
{
	struct control *switches = get_control();

	if (check_special(OP_MOVE_MOUNT, SPECIAL_MOUNT, 0, 0, 0))
		return deny(-EPERM);
	if (switches)
		__sync_fetch_and_add(&switches->epoch, 1);
	/* A new mount, and a clone of a tree, come from nowhere. */
	if (namespace_of(mount_of(from->mnt)) && check_leaving(from->mnt, OP_MOVE_MOUNT))
		return deny(-EACCES);
	if (!concerns_others(mount_of(to->mnt), mount_of(to->mnt)))
		return 0;
	return answer(check_mount_point(to->dentry, OP_MOVE_MOUNT), -EACCES);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(sb_pivotroot, const struct path *old_path, const struct path *new_path)
{
	struct mount *mount = mount_of(new_path->mnt), *below = NULL;

	if (check_special(OP_PIVOT_ROOT, SPECIAL_MOUNT, 0, 0, 0))
		return deny(-EPERM);
	bpf_core_read(&below, sizeof(below), &mount->mnt_parent);
	if (!concerns_others(mount, below))
		return 0;
	return answer(check_everything(OP_PIVOT_ROOT), -EACCES);
}
