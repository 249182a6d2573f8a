/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * May a subject hold what is open or mapped already? The judgement of access.h for a file that is known by its address
 * only: the same walk, class and other names, without the caches, which want a pointer that the verifier trusts.
 *
 * Everything lies in scratch memory: the callbacks have 512 bytes of stack between them.
 */
#ifndef MENSHEN_HELD_H
#define MENSHEN_HELD_H

#include "access.h"

#define HOLDABLE (BIT(RIGHT_READ) | BIT(RIGHT_LIST) | BIT(RIGHT_WRITE) | BIT(RIGHT_APPEND) | BIT(RIGHT_MAP_EXEC))

/* Begins to look at what `identity` holds, or would. False: everything of `wanted` is allowed to it. */
static __always_inline bool begin_held(struct scratch *scratch, const struct image_header *image, __u32 slot,
				       __u64 identity, __u32 wanted)
{
	struct held *held = &scratch->held;
	const struct image_row *row;

	held->identity = identity;
	held->slot = slot;
	held->row = find_row(image, identity);
	row = image_row(image, held->row);
	held->row_flags = row->flags;
	held->watch = row->flags & ROW_CONFINED ? ~0u : row->watch;
	return held->watch & wanted;
}

/* Whose /proc/self it is. */
static __always_inline void note_holder(struct held *held, struct task_struct *task)
{
	struct signal_struct *signal = NULL;

	bpf_core_read(&held->pids[0], sizeof(__u64), &task->thread_pid);
	bpf_core_read(&signal, sizeof(signal), &task->signal);
	bpf_core_read(&held->pids[1], sizeof(__u64), &signal->pids[1 /* PIDTYPE_TGID */]);
}

/* The file at this address is what is looked at. Which rights opening it so takes, of those that are not a plain yes. */
static __always_inline __u32 note_file(struct held *held, __u64 address)
{
	struct file *file = (void *)address;
	struct inode *inode;
	unsigned int flags = 0;
	fmode_t mode = 0;
	umode_t type = 0;
	__u32 want = 0;

	bpf_core_read(&held->dentry, sizeof(held->dentry), &file->f_path.dentry);
	bpf_core_read(&held->inode, sizeof(held->inode), &file->f_inode);
	bpf_core_read(&mode, sizeof(mode), &file->f_mode);
	bpf_core_read(&flags, sizeof(flags), &file->f_flags);
	inode = (void *)held->inode;
	bpf_core_read(&type, sizeof(type), &inode->i_mode);
	if ((type & S_IFMT) == S_IFSOCK)
		return 0;
	if (mode & FMODE_READ)
		want |= S_ISDIR(type) ? BIT(RIGHT_LIST) : BIT(RIGHT_READ);
	if (mode & FMODE_WRITE)
		want |= flags & O_APPEND ? BIT(RIGHT_APPEND) : BIT(RIGHT_WRITE);
	return want & held->watch;
}

/* Is this /proc/PID of the holder's own? */
static __always_inline bool is_holders_directory(struct held *held, struct dentry *dentry)
{
	struct dentry *parent = NULL, *above = NULL;
	const struct proc_inode *proc;
	struct inode *inode = NULL;
	__u64 pid = 0;

	bpf_core_read(&parent, sizeof(parent), &dentry->d_parent);
	bpf_core_read(&above, sizeof(above), &parent->d_parent);
	if (parent != above || parent == dentry)
		return false;
	bpf_core_read(&inode, sizeof(inode), &dentry->d_inode);
	if (!inode)
		return false;
	proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	bpf_core_read(&pid, sizeof(pid), &proc->pid);
	return pid && (pid == held->pids[0] || pid == held->pids[1]);
}

/* As climb_mounts(), and knows /proc/self. */
static long climb_address(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	struct walk *walk = &scratch->walk;
	__u32 depth = walk->depth;
	__u64 dentry = walk->dentry;
	bool is_self = walk->is_proc && is_holders_directory(&scratch->held, (void *)dentry);
	long over = climb_mounts(i, context);

	if (is_self && depth < MAX_DEPTH)
		note_self(scratch, depth);
	if (walk->parent == dentry) /* it was the root of its file system */
		walk->is_proc = 0;
	return over;
}

/* The state of the path of held->dentry, as resolve(). */
static __always_inline void resolve_held(struct walk_context *context, struct control *switches)
{
	struct walk *walk = &context->scratch->walk;
	struct super_block *sb = NULL;
	unsigned long magic = 0;
	struct dentry *dentry;

	__builtin_memset(walk, 0, sizeof(*walk));
	walk->root_depth = NO_ROOT;
	walk->init_mnt_ns = switches->init_mnt_ns;
	walk->dentry = context->scratch->held.dentry;
	dentry = (void *)walk->dentry;
	bpf_core_read(&sb, sizeof(sb), &dentry->d_sb);
	bpf_core_read(&magic, sizeof(magic), &sb->s_magic);
	walk->is_proc = magic == PROC_SUPER_MAGIC;
	bpf_loop(MAX_DEPTH + MAX_DEPTH, climb_address, context, 0);
	if (!walk->done && !(walk->flags & OBJECT_NO_PATH))
		walk->flags |= OBJECT_UNRESOLVED;
	if (walk->flags & (OBJECT_UNRESOLVED | OBJECT_NO_PATH))
		return;
	walk->state = context->image->start;
	descend_all(context);
}

/* judge_alias() for an address: the class of a protected name of the same file; 0: there is none. */
static __always_inline __u32 held_alias(struct held *held)
{
	struct inode *inode = (void *)held->inode;
	struct super_block *sb = NULL;
	struct alias_key key = {};
	unsigned long magic = 0;
	unsigned int links = 0;
	struct alias *alias;

	bpf_core_read(&links, sizeof(links), &inode->i_nlink);
	if (links <= 1)
		return 0;
	bpf_core_read(&key.inode, sizeof(key.inode), &inode->i_ino);
	bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
	bpf_core_read(&key.device, sizeof(key.device), &sb->s_dev);
	bpf_core_read(&magic, sizeof(magic), &sb->s_magic);
	if (magic != TMPFS_MAGIC)
		bpf_core_read(&key.generation, sizeof(key.generation), &inode->i_generation);
	alias = bpf_map_lookup_elem(&aliases, &key);
	return alias ? alias->class[held->slot & 1] : 0;
}

/* The verdict on held->want of what note_file() noted. 0: it may be held. */
static __noinline __u64 judge_held(struct scratch *scratch, const struct image_header *image, struct control *switches)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct held *held = &scratch->held;
	struct subject subject = { .row = held->row, .row_flags = held->row_flags, .watch = held->watch };
	__u32 want = opaque(held->want, switches), flags, alias;
	__u64 verdict;

	resolve_held(&context, switches);
	flags = opaque(scratch->walk.flags, switches);
	if (flags & OBJECT_NO_PATH)
		return want & BIT(RIGHT_MAP_EXEC) ? judge_builtin(&subject, RULE_NO_PATH, RIGHT_MAP_EXEC) : 0;
	if (flags & OBJECT_UNRESOLVED)
		return judge_builtin(&subject, RULE_UNRESOLVED_PATH, lowest_bit(want));
	verdict = judge_class(image, &subject, own_class(image, scratch->walk.state), flags, want);
	alias = held_alias(held);
	if (alias)
		verdict = stricter(verdict, judge_denials(image, &subject, alias, flags, want), switches);
	return verdict;
}

/* The record's header, about `task` as who it is, or will be. */
static __always_inline struct event *describe_holder(struct scratch *scratch, const struct image_header *image,
						     struct task_struct *task, __u64 verdict, __u32 operation)
{
	struct event *event = &scratch->event;
	struct held *held = &scratch->held;
	struct label *label = label_of(task);
	const struct cred *cred = NULL;

	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_boot_ns();
	event->generation = image->generation;
	event->subject = held->identity;
	event->session = label ? label->session : 0;
	event->pid = task->tgid;
	event->tid = task->pid;
	event->ppid = task->real_parent->tgid;
	bpf_core_read(&cred, sizeof(cred), &task->cred);
	bpf_core_read(&event->uid, sizeof(event->uid), &cred->uid.val);
	event->login_uid = task->loginuid.val;
	event->rule = verdict & 0xffff;
	event->row = held->row;
	event->class = verdict >> 32;
	event->detail = held->descriptor;
	event->operation = operation;
	event->kind = verdict >> 24 & 1 ? EVENT_DENIAL : EVENT_WOULD_DENY;
	event->right = verdict >> 16 & 0xff;
	bpf_core_read(event->comm, sizeof(event->comm), &task->comm);
	return event;
}

/* After judge_held(), which left the names: the path, and which file it is. */
static __always_inline void describe_held(struct scratch *scratch, const struct image_header *image)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct inode *inode = (void *)scratch->held.inode;
	struct super_block *sb = NULL;
	struct event *event = &scratch->event;
	__u32 flags = scratch->walk.flags;

	bpf_core_read(&event->inode, sizeof(event->inode), &inode->i_ino);
	bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
	bpf_core_read(&event->device, sizeof(event->device), &sb->s_dev);
	if (flags & (OBJECT_UNRESOLVED | OBJECT_NO_PATH))
		event->flags |= EVENT_PATH_UNRESOLVED;
	if (flags & OBJECT_FOREIGN)
		event->flags |= EVENT_FOREIGN;
	bpf_loop(scratch->walk.depth, write_component, &context, 0);
	if (!scratch->walk.depth) {
		scratch->path[0] = '/';
		event->path_size = 1;
	}
}

/* Bytes of the record with its path. */
static __always_inline __u32 record_size(const struct event *event)
{
	__u32 size = event->path_size;

	if (size > EVENT_PATH_MAX)
		size = EVENT_PATH_MAX;
	return sizeof(*event) + size;
}

#endif
