/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Files, at the functions that know what became of the call; whoever asked for it, io_uring too. Paths are canonical.
 *
 * | program                                 | what it is for                                                      |
 * |-----------------------------------------|---------------------------------------------------------------------|
 * | do_filp_open, do_file_open (7.x)        | opens: created, for writing, for reading if listed; failed writes   |
 * | vfs_unlink, vfs_rmdir, vfs_rename,      | at their beginning the names, which are others at the end; the      |
 * | vfs_mkdir                               | record at their end                                                 |
 * | vfs_mknod, vfs_create                   | mknod; open has its own way                                         |
 * | vfs_symlink, vfs_link                   | links                                                               |
 * | chmod_common                            | chmod, fchmod                                                       |
 * | sys_memfd_create                        | memfd                                                               |
 *
 * A call that fails before its object is found reaches none of these but the open.
 */
#include "functions.h"

#define O_LARGEFILE 00100000

struct filename {
	const char *name;
} KERNEL_TYPE;

struct open_flags {
	int open_flag;
} KERNEL_TYPE;

static __always_inline int opened(int folder, struct filename *filename, struct open_flags *op, struct file *file,
				  __s64 result)
{
	struct watch_control *control = get_watch_control();
	struct watch_scratch *scratch;
	__u32 flags;

	if (!is_error(result)) {
		/* Most opens end here. */
		if (!control || (!(file->f_mode & (FMODE_WRITE | FMODE_CREATED)) && !control->reads))
			return 0;
		return record_open(result, op->open_flag & ~O_LARGEFILE);
	}
	flags = op->open_flag & ~O_LARGEFILE; /* the kernel's own addition */
	if (!wants_write(flags) || is_restarted(result))
		return 0;
	scratch = begin(WATCH_FILE_WRITE);
	if (!scratch)
		return 0;
	scratch->record.path = given_path(scratch, folder, as_number(scratch, filename->name), 1);
	scratch->record.detail = flags;
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

SEC("?fexit/do_filp_open")
int BPF_PROG(full_filp_open, int folder, struct filename *name, struct open_flags *op, struct file *file)
{
	return opened(folder, name, op, file, returned(ctx));
}

SEC("?fexit/do_file_open")
int BPF_PROG(full_file_open, int folder, struct filename *name, struct open_flags *op, struct file *file)
{
	return opened(folder, name, op, file, returned(ctx));
}

/* A call on one or two names begins: keep what will not be there, or not the same, at its end. */
static __noinline int remember(__u32 type, struct dentry *dentry, struct dentry *second)
{
	struct watch_control *control = get_watch_control();
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_scratch *scratch;
	struct watch_task *me;
	__u32 slot;

	if (!control || !has_type(control->types, type) || task->flags & PF_KTHREAD || is_internal())
		return 0;
	me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	slot = take_slot();
	if (slot >= scratch_slots)
		return 0;
	scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!scratch)
		return 0;
	if (me) {
		scratch->cut = 0;
		describe_inode(&scratch->record, as_number(scratch, dentry->d_inode));
		me->inode = scratch->record.inode;
		me->device = scratch->record.device;
		me->path2 = STRING_NONE;
		me->path = path_number(scratch, as_number(scratch, dentry));
		me->path_flags = scratch->walk.flags & PATH_FLAGS;
		if (second) {
			me->path2 = path_number(scratch, as_number(scratch, second));
			me->path_flags |= scratch->walk.flags & PATH_FLAGS;
		}
		me->object = type;
	}
	give_back(scratch);
	return 0;
}

/* It ends. What began before us, or found no memory, has no names: STRING_LOST. */
static __noinline int recall(__u32 type, __u32 detail, __s64 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_scratch *scratch;
	struct observation *record;
	struct watch_task *me;

	if (is_internal())
		return 0;
	scratch = begin(type);
	if (!scratch)
		return 0;
	record = &scratch->record;
	me = bpf_task_storage_get(&watched, task, 0, 0);
	record->path = STRING_LOST;
	if (me && me->object == type) {
		me->object = 0;
		record->path = me->path;
		record->path2 = me->path2;
		record->flags |= me->path_flags;
		record->inode = me->inode;
		record->device = me->device;
	}
	if (record->path == STRING_LOST || record->path2 == STRING_LOST)
		scratch->cut = 1;
	record->detail = detail;
	record->result = result;
	finish(scratch);
	return 0;
}

SEC("?fentry/vfs_unlink")
int BPF_PROG(full_unlink_begins, void *idmap, struct inode *folder, struct dentry *dentry)
{
	return remember(WATCH_FILE_DELETE, dentry, NULL);
}

SEC("?fexit/vfs_unlink")
int BPF_PROG(full_unlink)
{
	return recall(WATCH_FILE_DELETE, 0, outcome(returned(ctx), false));
}

SEC("?fentry/vfs_rmdir")
int BPF_PROG(full_rmdir_begins, void *idmap, struct inode *folder, struct dentry *dentry)
{
	return remember(WATCH_FILE_DELETE, dentry, NULL);
}

SEC("?fexit/vfs_rmdir")
int BPF_PROG(full_rmdir)
{
	return recall(WATCH_FILE_DELETE, 1, outcome(returned(ctx), false));
}

SEC("?fentry/vfs_rename")
int BPF_PROG(full_rename_begins, struct renamedata *data)
{
	return remember(WATCH_FILE_RENAME, data->old_dentry, data->new_dentry);
}

SEC("?fexit/vfs_rename")
int BPF_PROG(full_rename, struct renamedata *data)
{
	return recall(WATCH_FILE_RENAME, data->flags, outcome(returned(ctx), false));
}

SEC("?fentry/vfs_mkdir")
int BPF_PROG(full_mkdir_begins, void *idmap, struct inode *folder, struct dentry *dentry)
{
	return remember(WATCH_FILE_CREATE, dentry, NULL);
}

/* It gives a dentry since 6.15, a number before; a dentry that is not an error has all its upper bits. */
SEC("?fexit/vfs_mkdir")
int BPF_PROG(full_mkdir, void *idmap, struct inode *folder, struct dentry *dentry, umode_t mode)
{
	__s64 value = returned(ctx);

	return recall(WATCH_FILE_CREATE, S_IFDIR | (mode & 07777), outcome(value, value >> 32));
}

static __always_inline int made(struct dentry *dentry, umode_t mode, __s64 result)
{
	struct watch_scratch *scratch;

	if (is_internal())
		return 0;
	scratch = begin(WATCH_FILE_CREATE);
	if (!scratch)
		return 0;
	describe_dentry(scratch, dentry);
	scratch->record.detail = mode;
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

SEC("?fexit/vfs_mknod")
int BPF_PROG(full_mknod, void *idmap, struct inode *folder, struct dentry *dentry, umode_t mode)
{
	return made(dentry, mode, outcome(returned(ctx), false));
}

SEC("?fexit/vfs_create")
int BPF_PROG(full_create, void *idmap, struct inode *folder, struct dentry *dentry, umode_t mode)
{
	return made(dentry, mode | S_IFREG, outcome(returned(ctx), false));
}

/* 7.0 took the folder from its arguments; on an older kernel this is refused: the second is no dentry there. */
SEC("?fexit/vfs_create")
int BPF_PROG(full_create_dentry, void *idmap, struct dentry *dentry, umode_t mode)
{
	return made(dentry, mode | S_IFREG, outcome(returned(ctx), false));
}

SEC("?fexit/vfs_symlink")
int BPF_PROG(full_symlink, void *idmap, struct inode *folder, struct dentry *dentry, const char *target)
{
	struct watch_scratch *scratch;
	long size;

	if (is_internal())
		return 0;
	scratch = begin(WATCH_FILE_LINK);
	if (!scratch)
		return 0;
	describe_dentry(scratch, dentry);
	scratch->record.path2 = scratch->record.path;
	scratch->record.path = STRING_NONE;
	size = bpf_probe_read_kernel_str(&scratch->text[TEXT_HEAD], NAME_SIZE, target);
	if (size > 1)
		scratch->record.path = intern(scratch, TEXT_HEAD, size - 1);
	scratch->record.detail = 1;
	scratch->record.result = outcome(returned(ctx), false);
	finish(scratch);
	return 0;
}

SEC("?fexit/vfs_link")
int BPF_PROG(full_link, struct dentry *dentry, void *idmap, struct inode *folder, struct dentry *fresh)
{
	struct watch_scratch *scratch;

	if (is_internal())
		return 0;
	scratch = begin(WATCH_FILE_LINK);
	if (!scratch)
		return 0;
	scratch->record.path2 = path_number(scratch, as_number(scratch, fresh));
	scratch->record.flags |= scratch->walk.flags & PATH_FLAGS;
	describe_dentry(scratch, dentry);
	scratch->record.result = outcome(returned(ctx), false);
	finish(scratch);
	return 0;
}

SEC("?fexit/chmod_common")
int BPF_PROG(full_chmod, struct path *path, umode_t mode)
{
	struct watch_scratch *scratch = begin(WATCH_FILE_CHMOD);

	if (!scratch)
		return 0;
	describe_dentry(scratch, path->dentry);
	scratch->record.detail = mode & 07777;
	scratch->record.result = outcome(returned(ctx), false);
	finish(scratch);
	return 0;
}

SEC("?fexit/__x64_sys_memfd_create")
int BPF_PROG(full_memfd, struct pt_regs *regs)
{
	__s64 result = returned(ctx);

	return record_file(WATCH_MEMFD, is_error(result) ? 0 : file_of(result), regs->si, result);
}

SEC("?fexit/__ia32_sys_memfd_create")
int BPF_PROG(full_memfd_ia32, struct pt_regs *regs)
{
	__s64 result = returned(ctx);

	return record_file(WATCH_MEMFD, is_error(result) ? 0 : file_of(result), regs->cx, result);
}
