/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Files: which names a subject may read, change, make, remove and rename.
 *
 * | hook              | what it is for                                                              |
 * |-------------------|-----------------------------------------------------------------------------|
 * | file_open         | read, write, append; a write also voids the file's digest                   |
 * | file_fcntl        | append only: O_APPEND cannot be cleared                                     |
 * | file_ioctl        | ioctl on devices; inode flags are attributes                                |
 * | path_mknod        | create, also for open with O_CREAT                                          |
 * | path_mkdir        | create                                                                      |
 * | path_symlink      | create                                                                      |
 * | path_unlink       | delete                                                                      |
 * | path_rmdir        | delete                                                                      |
 * | path_rename       | rename of the old name, create of the new, delete of what it replaces       |
 * | path_link         | link of the old name, create of the new; protected names are remembered     |
 * | path_truncate     | write                                                                       |
 * | path_chmod        | attributes                                                                  |
 * | path_chown        | attributes                                                                  |
 * | inode_setattr     | attributes: times; voids the digest                                         |
 * | inode_setxattr    | attributes                                                                  |
 * | inode_removexattr | attributes                                                                  |
 * | vfs_rename        | (fentry, fexit) a directory moves: nothing is cached meanwhile              |
 * | path_mount        | (fexit) the mount tree changed: what was cached is void                     |
 * | path_umount       | (fexit) the same                                                            |
 */
#include "access.h"
#include "content.h"

#define F_SETFL 4
#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC_FSSETXATTR 0x401c5820
#define RENAME_EXCHANGE 2
#define ATTR_ATIME_SET (1 << 7)
#define ATTR_MTIME_SET (1 << 8)
#define ATTR_TOUCH (1 << 17)
#define ATTR_SIZE (1 << 3)

/* Rights that moving a tree or linking a file could gain; compared between the old and the new place. */
#define GAINABLE                                                                                                     \
	(BIT(RIGHT_READ) | BIT(RIGHT_LIST) | BIT(RIGHT_WRITE) | BIT(RIGHT_APPEND) | BIT(RIGHT_ATTRIBUTES) |          \
	 BIT(RIGHT_EXECUTE) | BIT(RIGHT_MAP_EXEC))

static __always_inline __u32 open_rights(struct file *file, __u32 mode, __u32 flags, bool is_directory)
{
	__u32 want = 0;

	if (mode & FMODE_READ)
		want |= is_directory ? BIT(RIGHT_LIST) : BIT(RIGHT_READ);
	if (mode & FMODE_WRITE)
		want |= (flags & O_APPEND) ? BIT(RIGHT_APPEND) : BIT(RIGHT_WRITE);
	if (flags & O_TRUNC)
		want |= BIT(RIGHT_WRITE);
	if (flags & O_TMPFILE_BIT)
		want |= BIT(RIGHT_CREATE);
	return want;
}

SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file)
{
	struct request request;
	struct inode *inode = file->f_inode;
	__u32 mode = file->f_mode, flags = file->f_flags;
	__u32 want = open_rights(file, mode, flags, S_ISDIR(inode->i_mode));

	if (mode & FMODE_WRITE)
		content_changes(inode);
	/* exec is judged by bprm_check_security; the backing file of an overlay was judged as the overlay's. */
	if (flags & FMODE_EXEC_FLAG || mode & FMODE_NOACCOUNT)
		return 0;
	if (!begin(&request, OP_OPEN, want, -EACCES))
		return 0;
	request.attempt.detail = flags;
	request.is_new = mode & FMODE_CREATED;
	return check_name(&request, file->f_path.dentry);
}

SEC("lsm/file_fcntl")
int BPF_PROG(file_fcntl, struct file *file, unsigned int cmd, unsigned long arg)
{
	struct request request;

	if (cmd != F_SETFL || arg & O_APPEND || !(file->f_flags & O_APPEND) || !(file->f_mode & FMODE_WRITE))
		return 0;
	if (!begin(&request, OP_FCNTL, BIT(RIGHT_WRITE), -EACCES))
		return 0;
	return check_name(&request, file->f_path.dentry);
}

static __always_inline int check_ioctl(struct file *file, unsigned int cmd)
{
	struct request request;
	umode_t type = file->f_inode->i_mode & S_IFMT;
	__u32 want;

	if (cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR)
		want = BIT(RIGHT_ATTRIBUTES);
	else if (type == S_IFCHR || type == S_IFBLK)
		want = BIT(RIGHT_IOCTL);
	else
		return 0;
	if (!begin(&request, OP_IOCTL, want, -EACCES))
		return 0;
	request.attempt.detail = cmd;
	return check_name(&request, file->f_path.dentry);
}

SEC("lsm/file_ioctl")
int BPF_PROG(file_ioctl, struct file *file, unsigned int cmd)
{
	return check_ioctl(file, cmd);
}

static __always_inline int check_simple(struct dentry *dentry, __u16 operation, __u32 right, __u32 detail)
{
	struct request request;

	if (!begin(&request, operation, BIT(right), -EACCES))
		return 0;
	request.attempt.detail = detail;
	return check_name(&request, dentry);
}

SEC("lsm/path_mknod")
int BPF_PROG(path_mknod, const struct path *dir, struct dentry *dentry, umode_t mode, unsigned int dev)
{
	umode_t type = mode & S_IFMT;

	return check_simple(dentry, type == S_IFREG || !type ? OP_CREATE : OP_MKNOD, RIGHT_CREATE, mode);
}

SEC("lsm/path_mkdir")
int BPF_PROG(path_mkdir, const struct path *dir, struct dentry *dentry, umode_t mode)
{
	return check_simple(dentry, OP_MKDIR, RIGHT_CREATE, mode);
}

SEC("lsm/path_symlink")
int BPF_PROG(path_symlink, const struct path *dir, struct dentry *dentry)
{
	return check_simple(dentry, OP_SYMLINK, RIGHT_CREATE, 0);
}

SEC("lsm/path_unlink")
int BPF_PROG(path_unlink, const struct path *dir, struct dentry *dentry)
{
	content_changes(dentry->d_inode);
	return check_simple(dentry, OP_UNLINK, RIGHT_DELETE, 0);
}

SEC("lsm/path_rmdir")
int BPF_PROG(path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return check_simple(dentry, OP_RMDIR, RIGHT_DELETE, 0);
}

/* A directory moves to a place where other rules hold below: everything below must be free to go and to come. */
static __always_inline int check_move(struct request *request, struct dentry *from, struct dentry *to,
				      __u32 old_state, __u32 old_flags, __u32 new_state, __u32 new_flags)
{
	const struct image_header *image = request->image;
	const struct image_cell *old_cell, *new_cell;
	__u32 old_class, new_class;
	int error;

	if (old_state == new_state && old_flags == new_flags)
		return 0;
	old_class = state_subtree(image, old_state);
	new_class = state_subtree(image, new_state);
	request->attempt.operation = OP_RENAME;
	error = judge_class(image, request->switches, &request->subject, &request->attempt, from, old_class,
			    old_flags, BIT(RIGHT_RENAME), request->error);
	if (error)
		return error;
	request->attempt.operation = OP_RENAME_TO;
	error = judge_class(image, request->switches, &request->subject, &request->attempt, to, new_class, new_flags,
			    BIT(RIGHT_CREATE), request->error);
	if (error)
		return error;
	old_cell = find_cell(image, request->subject.row, old_class, old_flags);
	new_cell = find_cell(image, request->subject.row, new_class, new_flags);
	if (new_cell->any & ~old_cell->allow & GAINABLE)
		return judge_builtin(image, request->switches, &request->subject, &request->attempt, to, RULE_GAIN,
				     RIGHT_RENAME, request->error);
	return 0;
}

static __noinline int check_rename(struct request *request, struct dentry *from, struct dentry *to, bool replaces)
{
	struct inode *inode = from->d_inode;
	__u32 old_state, old_flags;
	int error;

	request->attempt.operation = OP_RENAME;
	request->want = BIT(RIGHT_RENAME);
	error = check_name(request, from);
	if (error)
		return error;
	old_state = request->state;
	old_flags = request->flags;

	request->attempt.operation = OP_RENAME_TO;
	request->want = BIT(RIGHT_CREATE) | (replaces ? BIT(RIGHT_DELETE) : 0);
	error = check_name(request, to);
	if (error)
		return error;
	if (!inode || !S_ISDIR(inode->i_mode))
		return 0;
	return check_move(request, from, to, old_state, old_flags & OBJECT_FOREIGN, request->state,
			  request->flags & OBJECT_FOREIGN);
}

SEC("lsm/path_rename")
int BPF_PROG(path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	struct request request;
	int error;

	content_changes(old_dentry->d_inode);
	content_changes(new_dentry->d_inode);
	if (!begin(&request, OP_RENAME, BIT(RIGHT_RENAME) | BIT(RIGHT_CREATE) | BIT(RIGHT_DELETE), -EACCES))
		return 0;
	request.attempt.detail = flags;
	error = check_rename(&request, old_dentry, new_dentry, new_dentry->d_inode && !(flags & RENAME_EXCHANGE));
	if (error)
		return error;
	if (flags & RENAME_EXCHANGE)
		return check_rename(&request, new_dentry, old_dentry, false);
	return 0;
}

SEC("lsm/path_link")
int BPF_PROG(path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	struct request request;
	struct inode *inode = old_dentry->d_inode;
	const struct image_cell *old_cell, *new_cell;
	__u32 old_class, old_flags;
	int error;

	content_changes(inode);
	if (!begin(&request, OP_LINK, ~0u, -EACCES))
		return 0;
	request.want = BIT(RIGHT_LINK);
	error = check_name(&request, old_dentry);
	if (error)
		return error;
	old_class = request.class;
	old_flags = request.flags;
	request.attempt.operation = OP_LINK_TO;
	request.want = BIT(RIGHT_CREATE);
	error = check_name(&request, new_dentry);
	if (error)
		return error;

	old_cell = find_cell(request.image, request.subject.row, old_class, old_flags);
	new_cell = find_cell(request.image, request.subject.row, request.class, request.flags);
	if (new_cell->allow & ~old_cell->allow & GAINABLE) {
		error = judge_builtin(request.image, request.switches, &request.subject, &request.attempt, new_dentry,
				      RULE_GAIN, RIGHT_LINK, request.error);
		if (error)
			return error;
	}
	/* The new name must not shed what the old one carries, for whoever uses it later. */
	if (inode && old_class && old_class != request.class) {
		__u32 slot = *(volatile __u32 *)&request.switches->active & 1;
		struct alias_key key = {};
		struct alias alias = {};

		key.inode = inode->i_ino;
		key.device = inode->i_sb->s_dev;
		key.generation = inode->i_generation;
		alias.class[0] = slot ? 0 : old_class;
		alias.class[1] = slot ? old_class : 0;
		if (bpf_map_update_elem(&aliases, &key, &alias, BPF_NOEXIST) == -7 /* E2BIG: full */) {
			count(COUNT_ALIASES_FULL);
			return deny(-EACCES);
		}
	}
	return 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(path_truncate, const struct path *path)
{
	content_changes(path->dentry->d_inode);
	return check_simple(path->dentry, OP_TRUNCATE, RIGHT_WRITE, 0);
}

SEC("lsm/path_chmod")
int BPF_PROG(path_chmod, const struct path *path, umode_t mode)
{
	return check_simple(path->dentry, OP_CHMOD, RIGHT_ATTRIBUTES, mode);
}

SEC("lsm/path_chown")
int BPF_PROG(path_chown, const struct path *path)
{
	return check_simple(path->dentry, OP_CHOWN, RIGHT_ATTRIBUTES, 0);
}

/* 6.2 introduced struct mnt_idmap; with it these hooks got a first argument more (inode_setattr in 6.9). */
struct mnt_idmap;

static __always_inline int first_dentry(void)
{
	return bpf_core_type_exists(struct mnt_idmap) ? 1 : 0;
}

SEC("lsm/inode_setattr")
int inode_setattr(unsigned long long *ctx)
{
	struct dentry *dentry;
	struct iattr *attributes;
	__u32 valid;

	if (first_dentry()) {
		dentry = (void *)ctx[1];
		attributes = (void *)ctx[2];
	} else {
		dentry = (void *)ctx[0];
		attributes = (void *)ctx[1];
	}
	content_changes(dentry->d_inode);
	valid = attributes->ia_valid;
	/* Mode, owner and size have hooks of their own; times that a write sets in passing are not asked for. */
	if (!(valid & (ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TOUCH)))
		return 0;
	return check_simple(dentry, OP_UTIMES, RIGHT_ATTRIBUTES, valid);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(inode_setxattr, void *idmap, struct dentry *dentry)
{
	content_changes(dentry->d_inode);
	return check_simple(dentry, OP_SETXATTR, RIGHT_ATTRIBUTES, 0);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(inode_removexattr, void *idmap, struct dentry *dentry)
{
	content_changes(dentry->d_inode);
	return check_simple(dentry, OP_SETXATTR, RIGHT_ATTRIBUTES, 0);
}

static __always_inline void tree_changed(void)
{
	struct control *switches = get_control();

	if (switches)
		__sync_fetch_and_add(&switches->epoch, 1);
}

SEC("fentry/vfs_rename")
int BPF_PROG(rename_begins, struct renamedata *rename)
{
	struct inode *inode = rename->old_dentry->d_inode;
	struct control *switches;

	if (!inode || !S_ISDIR(inode->i_mode))
		return 0;
	switches = get_control();
	if (switches)
		__sync_fetch_and_add(&switches->moving, 1);
	tree_changed();
	return 0;
}

SEC("fexit/vfs_rename")
int BPF_PROG(rename_ends, struct renamedata *rename)
{
	struct inode *inode = rename->old_dentry->d_inode;
	struct control *switches;

	if (!inode || !S_ISDIR(inode->i_mode))
		return 0;
	tree_changed();
	switches = get_control();
	if (switches)
		__sync_fetch_and_add(&switches->moving, -1);
	return 0;
}

SEC("fexit/path_mount")
int BPF_PROG(mount_ends)
{
	tree_changed();
	return 0;
}

SEC("fexit/path_umount")
int BPF_PROG(umount_ends)
{
	tree_changed();
	return 0;
}
