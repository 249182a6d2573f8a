/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Descriptors that an exec would hand to another subject: those from 3 on that are not close-on-exec. Pipes, sockets
 * and other things without a path pass; a file has to be one that the new subject may hold.
 *
 * | hook                   | what it is for                                                                |
 * |------------------------|-------------------------------------------------------------------------------|
 * | bprm_creds_from_file   | the last moment at which an exec can be refused: who it will be is known      |
 * | bprm_committed_creds   | asks again where the table was shared until now: others could add to it       |
 */
#include "access.h"

#define MAX_WORDS (1 << 14) /* of 64 descriptors; sysctl fs.nr_open is 1 << 20 */
#define SIGKILL 9

/* What the callbacks share; on the stack, as bpf_loop wants it. */
struct carried {
	struct scratch *scratch;
	const struct image_header *image;
	struct control *switches;
	struct fdtable *table;
	struct subject subject;
	__u32 word;
	__u64 held;
	__u64 target;
	__u32 slot;
	__u32 denied;
};

/* By its address only: the path of what some descriptor refers to. As resolve() without the caches. */
static __always_inline void resolve_address(__u64 dentry, struct carried *carried)
{
	struct walk_context context = { .scratch = carried->scratch, .image = carried->image };
	struct walk *walk = &carried->scratch->walk;

	__builtin_memset(walk, 0, sizeof(*walk));
	walk->root_depth = NO_ROOT;
	walk->init_mnt_ns = carried->switches->init_mnt_ns;
	walk->dentry = dentry;
	bpf_loop(MAX_DEPTH + MAX_DEPTH, climb_mounts, &context, 0);
	if (!walk->done && !(walk->flags & OBJECT_NO_PATH))
		walk->flags |= OBJECT_UNRESOLVED;
	if (walk->flags & (OBJECT_UNRESOLVED | OBJECT_NO_PATH))
		return;
	walk->state = carried->image->start;
	walk->left = walk->depth;
	bpf_loop(MAX_DEPTH * (256 / STRIDE), descend, &context, 0);
}

/* What a protected name of the same file denies: judge_alias() for an address. */
static __always_inline __u64 judge_carried_alias(struct carried *carried, struct inode *inode, __u32 flags, __u32 want)
{
	struct alias_key key = {};
	struct super_block *sb = NULL;
	struct alias *alias;
	unsigned long magic = 0;
	__u32 class;

	bpf_core_read(&key.inode, sizeof(key.inode), &inode->i_ino);
	bpf_core_read(&key.generation, sizeof(key.generation), &inode->i_generation);
	bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
	bpf_core_read(&key.device, sizeof(key.device), &sb->s_dev);
	bpf_core_read(&magic, sizeof(magic), &sb->s_magic);
	if (magic == TMPFS_MAGIC)
		key.generation = 0;
	alias = bpf_map_lookup_elem(&aliases, &key);
	class = alias ? alias->class[carried->slot & 1] : 0;
	if (!class)
		return 0;
	return judge_denials(carried->image, &carried->subject, class, flags, want);
}

/* After resolve_address(). On its own: the walk before it needs the stack. */
static __noinline int judge_carried(struct carried *carried, struct inode *inode, __u32 want, __u32 file_flags)
{
	struct attempt attempt = {
		.operation = OP_INHERIT, .target = carried->target, .detail = file_flags, .is_walked = true
	};
	struct walk *walk = &carried->scratch->walk;
	__u32 flags = walk->flags;
	__u64 verdict;

	if (flags & OBJECT_NO_PATH)
		return 0;
	if (flags & OBJECT_UNRESOLVED) {
		verdict = judge_builtin(&carried->subject, RULE_UNRESOLVED_PATH, lowest_bit(want));
	} else {
		verdict = judge_class(carried->image, &carried->subject, own_class(carried->image, walk->state), flags,
				      want);
		verdict = stricter(verdict, judge_carried_alias(carried, inode, flags, want), carried->switches);
	}
	if (!verdict)
		return 0;
	report(&attempt, NULL, carried->image, carried->switches, verdict);
	if (verdict >> 24 & 1)
		carried->denied = 1;
	return 0;
}

static __always_inline int check_carried(struct carried *carried, __u64 address)
{
	struct file *file = (void *)address;
	struct inode *inode = NULL;
	__u64 dentry = 0;
	unsigned int flags = 0;
	fmode_t mode = 0;
	umode_t type = 0;
	__u32 want = 0;

	bpf_core_read(&mode, sizeof(mode), &file->f_mode);
	bpf_core_read(&flags, sizeof(flags), &file->f_flags);
	bpf_core_read(&inode, sizeof(inode), &file->f_inode);
	bpf_core_read(&type, sizeof(type), &inode->i_mode);
	bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry);
	if (mode & FMODE_READ)
		want |= S_ISDIR(type) ? BIT(RIGHT_LIST) : BIT(RIGHT_READ);
	if (mode & FMODE_WRITE)
		want |= flags & O_APPEND ? BIT(RIGHT_APPEND) : BIT(RIGHT_WRITE);
	want = opaque(want & carried->subject.watch, carried->switches);
	if (!want)
		return 0;
	resolve_address(dentry, carried);
	return judge_carried(carried, inode, want, flags);
}

static long look_at_descriptor(__u32 bit, struct carried *carried)
{
	struct fdtable *table = carried->table;
	struct file **files = NULL;
	__u64 file = 0;

	if (!(carried->held >> (bit & 63) & 1))
		return 0;
	bpf_core_read(&files, sizeof(files), &table->fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + carried->word * 64 + bit);
	if (file)
		check_carried(carried, file);
	return carried->denied & 1;
}

static long look_at_word(__u32 word, struct carried *carried)
{
	struct fdtable *table = carried->table;
	unsigned long *bits = NULL;
	__u64 open = 0, closing = 0;
	__u32 size = 0;

	bpf_core_read(&size, sizeof(size), &table->max_fds);
	if (word * 64 >= size)
		return 1;
	bpf_core_read(&bits, sizeof(bits), &table->open_fds);
	bpf_probe_read_kernel(&open, sizeof(open), bits + word);
	bpf_core_read(&bits, sizeof(bits), &table->close_on_exec);
	bpf_probe_read_kernel(&closing, sizeof(closing), bits + word);
	open &= ~closing;
	if (!word)
		open &= ~7ull;
	if (!open)
		return 0;
	carried->word = word;
	carried->held = open;
	bpf_loop(64, look_at_descriptor, carried, 0);
	return carried->denied & 1;
}

/* Would the current task's descriptors go to a subject that may not hold one of them? */
static __always_inline int carries_too_much(__u64 identity)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *switches = get_control();
	struct files_struct *files = NULL;
	const struct image_row *row;
	struct carried carried = {};

	if (!switches)
		return 0;
	carried.switches = switches;
	carried.slot = active_slot(switches);
	carried.image = image_of(carried.slot);
	if (!carried.image)
		return 0;
	carried.target = identity;
	carried.subject.row = find_row(carried.image, identity);
	row = image_row(carried.image, carried.subject.row);
	carried.subject.row_flags = row->flags;
	carried.subject.watch = row->flags & ROW_CONFINED ? ~0u : row->watch;
	if (!(carried.subject.watch & (BIT(RIGHT_READ) | BIT(RIGHT_LIST) | BIT(RIGHT_WRITE) | BIT(RIGHT_APPEND))))
		return 0;
	carried.scratch = get_scratch();
	if (!carried.scratch)
		return row->flags & ROW_CONFINED && row->flags & ROW_UNRESOLVED_ENFORCE;
	bpf_core_read(&files, sizeof(files), &task->files);
	bpf_core_read(&carried.table, sizeof(carried.table), &files->fdt);
	bpf_loop(MAX_WORDS, look_at_word, &carried, 0);
	return carried.denied;
}

SEC("lsm/bprm_creds_from_file")
int BPF_PROG(descriptors_check, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);
	struct files_struct *files = NULL;
	int users = 0;

	if (!label || label->flags & LABEL_SELF || label->pending == label->identity)
		return 0;
	bpf_core_read(&files, sizeof(files), &task->files);
	bpf_core_read(&users, sizeof(users), &files->count.counter);
	if (users > 1)
		label->flags |= LABEL_SHARED_FILES;
	return answer(carries_too_much(label->pending), -EACCES);
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(descriptors_recheck, struct linux_binprm *bprm)
{
	struct label *label = label_of(bpf_get_current_task_btf());

	if (!label || !(label->flags & LABEL_SHARED_FILES))
		return 0;
	label->flags &= ~LABEL_SHARED_FILES;
	if (carries_too_much(label->identity))
		bpf_send_signal(SIGKILL); /* it cannot be refused any more, and has not run yet */
	return 0;
}
