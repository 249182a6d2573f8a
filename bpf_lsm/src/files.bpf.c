/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Files: which names a subject may read, change, make, remove and rename.
 *
 * | hook              | what it is for                                                              |
 * |-------------------|-----------------------------------------------------------------------------|
 * | file_open         | read, write, append; a write also voids the file's digest; the special rights |
 * |                   | raw-device, cgroup, usb; what the guard keeps under /proc                   |
 * | file_receive      | read, write, append of a descriptor that somebody sends                     |
 * | file_fcntl        | append only: O_APPEND cannot be cleared                                     |
 * | file_ioctl        | ioctl on devices; inode flags are attributes                                |
 * | path_mknod        | create, also for open with O_CREAT; the special right mknod                 |
 * | path_mkdir        | create; the special right cgroup                                            |
 * | path_symlink      | create                                                                      |
 * | path_unlink       | delete; pins                                                                |
 * | path_rmdir        | delete; the special right cgroup                                            |
 * | path_rename       | rename of the old name, create of the new, delete of what it replaces       |
 * | path_link         | link of the old name, create of the new; protected names are remembered     |
 * | path_truncate     | write                                                                       |
 * | path_chmod        | attributes                                                                  |
 * | path_chown        | attributes                                                                  |
 * | inode_setattr     | attributes: times; voids the digest                                         |
 * | inode_setxattr    | attributes                                                                  |
 * | inode_removexattr | attributes                                                                  |
 * | inode_set_acl     | (6.2) attributes: ACLs, which until then were extended attributes           |
 * | inode_remove_acl  | (6.2) attributes                                                            |
 * | inode_file_setattr | (6.17) attributes: inode flags by file_setattr(2)                          |
 * | file_truncate     | (6.2) write: ftruncate, which until then came to path_truncate              |
 * | file_ioctl_compat | (6.8) as file_ioctl, for 32-bit callers                                     |
 * | vfs_rename        | (fentry, fexit) a directory moves: nothing is cached meanwhile              |
 * | path_mount        | (fexit) the mount tree changed: what was cached is void                     |
 * | path_umount       | (fexit) the same                                                            |
 */
#include "content.h"
#include "guard.h"
#include "kernel_files.h"
#include "overlay.h"

#define F_SETFL 4
#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC32_SETFLAGS 0x40046602 /* the hook sees what a 32-bit caller gave */
#define FS_IOC_FSSETXATTR 0x401c5820
#define FS_IOC_SETVERSION 0x40087602
#define FS_IOC32_SETVERSION 0x40047602
#define EXT4_IOC_SETVERSION 0x40086604
#define EXT4_IOC32_SETVERSION 0x40046604
#define FS_IOC_ENABLE_VERITY 0x40806685
#define FS_IOC_SET_ENCRYPTION_POLICY 0x800c6613
#define RENAME_EXCHANGE 2
#define ATTR_ATIME_SET (1 << 7)
#define ATTR_MTIME_SET (1 << 8)
#define ATTR_TOUCH (1 << 17)
#define ATTR_SIZE (1 << 3)

/* Rights that moving a tree or linking a file could gain; compared between the old and the new place. */
#define GAINABLE                                                                                                       \
	(BIT(RIGHT_READ) | BIT(RIGHT_LIST) | BIT(RIGHT_WRITE) | BIT(RIGHT_APPEND) | BIT(RIGHT_ATTRIBUTES) |            \
	 BIT(RIGHT_EXECUTE) | BIT(RIGHT_MAP_EXEC))

static __always_inline __u32 open_rights(__u32 mode, __u32 flags, bool is_directory)
{
	__u32 want = 0;

	if (mode & FMODE_READ)
		want |= is_directory ? BIT(RIGHT_LIST) : BIT(RIGHT_READ);
	if (mode & FMODE_WRITE)
		want |= flags & O_APPEND ? BIT(RIGHT_APPEND) : BIT(RIGHT_WRITE);
	if (flags & (O_TRUNC | O_TMPFILE_BIT)) {
		want |= flags & O_TRUNC ? BIT(RIGHT_WRITE) : 0;
		want |= flags & O_TMPFILE_BIT ? BIT(RIGHT_CREATE) : 0;
	}
	return want;
}

/* Not settled: the table, or the whole way. A function of its own, so that most opens need no memory for it. */
static __noinline int judge_open(struct file *file, const struct asker *asker, struct object *object, __u64 epoch,
				 __u32 want)
{
	struct request request = {
		.asker = *asker,
		.attempt = { .operation = OP_OPEN, .detail = file->f_flags },
		.want = want,
		.is_fleeting = file->f_mode & FMODE_CREATED,
	};

	if (is_layer(file))
		return 0;
	request.memory = recall(&request, object, epoch);
	return check_opened(&request, file);
}

SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file)
{
	struct asker asker;
	struct object *object;
	struct inode *inode = file->f_inode;
	struct dentry *dentry = file->f_path.dentry;
	__u32 mode = file->f_mode, flags = file->f_flags, want;
	__u64 epoch;

	if (mode & FMODE_WRITE) {
		content_changes(inode);
		if (guard_proc(inode, dentry) || check_kernel_tree(inode->i_sb, dentry))
			return deny(-EPERM);
	}
	if (is_device(inode->i_mode) && check_device(inode))
		return deny(-EPERM);
	/* exec is judged by bprm_check_security; the backing file of an overlay was judged as the overlay's. */
	if (flags & FMODE_EXEC_FLAG || mode & FMODE_NOACCOUNT)
		return 0;
	want = open_rights(mode, flags, S_ISDIR(inode->i_mode));
	if (!find_asker(&asker) || !(want & asker.subject.watch))
		return 0;
	epoch = current_epoch(asker.image, asker.switches);
	object = find_object(inode, dentry, epoch);
	if (is_settled(object, &asker.subject, want, epoch))
		return 0;
	return answer(judge_open(file, &asker, object, epoch, want), -EACCES);
}

/* Sent over a socket, or taken by pidfd_getfd: what the receiver may not hold does not arrive. */
SEC("lsm/file_receive")
int BPF_PROG(file_receive, struct file *file)
{
	struct request request;
	__u32 mode = file->f_mode, flags = file->f_flags;
	__u32 want = open_rights(mode, flags & O_APPEND, S_ISDIR(file->f_inode->i_mode));

	if (!want || !begin(&request, OP_RECEIVE, want))
		return 0;
	request.attempt.detail = flags;
	return answer(check_file(&request, file), -EACCES);
}

SEC("lsm/file_fcntl")
int BPF_PROG(file_fcntl, struct file *file, unsigned int cmd, unsigned long arg)
{
	struct request request;

	if (cmd != F_SETFL || arg & O_APPEND || !(file->f_flags & O_APPEND) || !(file->f_mode & FMODE_WRITE))
		return 0;
	if (!begin(&request, OP_FCNTL, BIT(RIGHT_WRITE)))
		return 0;
	return answer(check_file(&request, file), -EACCES);
}

static __always_inline bool is_attribute(unsigned int cmd)
{
	switch (cmd) {
	case FS_IOC_SETFLAGS:
	case FS_IOC32_SETFLAGS:
	case FS_IOC_FSSETXATTR:
	case FS_IOC_SETVERSION:
	case FS_IOC32_SETVERSION:
	case EXT4_IOC_SETVERSION:
	case EXT4_IOC32_SETVERSION:
	case FS_IOC_ENABLE_VERITY:
	case FS_IOC_SET_ENCRYPTION_POLICY:
		return true;
	}
	return false;
}

static __always_inline int check_ioctl(struct file *file, unsigned int cmd)
{
	struct request request;
	umode_t type = file->f_inode->i_mode & S_IFMT;
	__u32 want;

	if (is_attribute(cmd))
		want = BIT(RIGHT_ATTRIBUTES);
	else if (type == S_IFCHR || type == S_IFBLK)
		want = BIT(RIGHT_IOCTL);
	else
		return 0;
	if (!begin(&request, OP_IOCTL, want))
		return 0;
	request.attempt.detail = cmd;
	return answer(check_file(&request, file), -EACCES);
}

SEC("lsm/file_ioctl")
int BPF_PROG(file_ioctl, struct file *file, unsigned int cmd)
{
	return check_ioctl(file, cmd);
}

static __always_inline int check_simple(struct dentry *dentry, __u16 operation, __u32 right, __u32 detail)
{
	struct request request;

	if (!begin(&request, operation, BIT(right)))
		return 0;
	request.attempt.detail = detail;
	request.is_fleeting = right == RIGHT_DELETE;
	return answer(check_name(&request, dentry), -EACCES);
}

/* The hooks on an inode, which no mount comes with: what is done there may be the overlay's own doing. */
static __always_inline int check_attributes(struct dentry *dentry, __u16 operation, __u32 detail)
{
	content_changes(dentry->d_inode);
	if (kernel_stands_in())
		return 0;
	return check_simple(dentry, operation, RIGHT_ATTRIBUTES, detail);
}

SEC("lsm/path_mknod")
int BPF_PROG(path_mknod, const struct path *dir, struct dentry *dentry, umode_t mode, unsigned int dev)
{
	umode_t type = mode & S_IFMT;

	if (is_device(mode) && check_special(OP_MKNOD, SPECIAL_MKNOD, 0, 0, mode))
		return deny(-EPERM);
	return check_simple(dentry, type == S_IFREG || !type ? OP_CREATE : OP_MKNOD, RIGHT_CREATE, mode);
}

SEC("lsm/path_mkdir")
int BPF_PROG(path_mkdir, const struct path *dir, struct dentry *dentry, umode_t mode)
{
	if (check_kernel_tree(dentry->d_sb, dentry))
		return deny(-EPERM);
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
	if (guard_pin(dentry))
		return deny(-EPERM);
	return check_simple(dentry, OP_UNLINK, RIGHT_DELETE, 0);
}

SEC("lsm/path_rmdir")
int BPF_PROG(path_rmdir, const struct path *dir, struct dentry *dentry)
{
	if (check_kernel_tree(dentry->d_sb, dentry))
		return deny(-EPERM);
	return check_simple(dentry, OP_RMDIR, RIGHT_DELETE, 0);
}

/* One of the two names of a rename, as classified. */
struct place {
	__u32 state;
	__u32 flags;
};

/* A directory moves to where other rules hold below: everything below must be free to go, to come, and gain nothing. */
static __always_inline __u64 judge_move(struct request *request, const struct place *from, const struct place *to)
{
	const struct image_header *image = request->asker.image;
	const struct image_cell *old_cell, *new_cell;
	__u32 old_class, new_class, mask = image_mask();
	__u64 verdict;

	if (automaton_byte(image, mask, from->state, '/') == automaton_byte(image, mask, to->state, '/') &&
	    from->flags == to->flags)
		return 0;
	old_class = state_subtree(image, from->state);
	new_class = state_subtree(image, to->state);
	verdict = stricter(judge_class(image, &request->asker.subject, old_class, from->flags, BIT(RIGHT_RENAME)),
			   judge_class(image, &request->asker.subject, new_class, to->flags, BIT(RIGHT_CREATE)),
			   request->asker.switches);
	old_cell = find_cell(image, request->asker.subject.row, old_class, from->flags);
	new_cell = find_cell(image, request->asker.subject.row, new_class, to->flags);
	if (new_cell->any & ~old_cell->allow & GAINABLE)
		verdict = stricter(verdict, judge_builtin(&request->asker.subject, RULE_GAIN, RIGHT_RENAME),
				   request->asker.switches);
	return verdict;
}

static __always_inline int check_place(struct request *request, struct dentry *dentry, __u32 want, struct place *place)
{
	request->want = want;
	if (check_name(request, dentry))
		return 1;
	place->state = request->state;
	place->flags = request->flags & OBJECT_FOREIGN;
	return 0;
}

static __always_inline bool is_directory(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode && S_ISDIR(inode->i_mode);
}

SEC("lsm/path_rename")
int BPF_PROG(path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	struct request request;
	struct place from, to;
	__u32 leave = BIT(RIGHT_RENAME), arrive = BIT(RIGHT_CREATE);
	__u64 verdict = 0;

	content_changes(old_dentry->d_inode);
	content_changes(new_dentry->d_inode);
	if (guard_pin(old_dentry) || guard_pin(new_dentry))
		return deny(-EPERM);
	if (!begin(&request, OP_RENAME, BIT(RIGHT_RENAME) | BIT(RIGHT_CREATE) | BIT(RIGHT_DELETE)))
		return 0;
	request.attempt.detail = flags;
	if (flags & RENAME_EXCHANGE)
		leave = arrive = BIT(RIGHT_RENAME) | BIT(RIGHT_CREATE);
	else if (new_dentry->d_inode)
		arrive |= BIT(RIGHT_DELETE);
	if (check_place(&request, old_dentry, leave, &from))
		return deny(-EACCES);
	request.attempt.operation = OP_RENAME_TO;
	if (check_place(&request, new_dentry, arrive, &to))
		return deny(-EACCES);

	if (is_directory(old_dentry))
		verdict = judge_move(&request, &from, &to);
	if (flags & RENAME_EXCHANGE && is_directory(new_dentry))
		verdict = stricter(verdict, judge_move(&request, &to, &from), request.asker.switches);
	return answer(conclude(&request, new_dentry, verdict), -EACCES);
}

/* The first protected name stays. False: no room. */
static __always_inline bool label_inode(struct inode *inode, __u32 class, __u32 slot)
{
	struct alias_key key = {};
	struct alias alias = {}, *known;

	slot &= 1;
	name_inode(&key, inode);
	alias.class[0] = slot ? 0 : class;
	alias.class[1] = slot ? class : 0;
	if (!bpf_map_update_elem(&aliases, &key, &alias, BPF_NOEXIST))
		return true;
	known = bpf_map_lookup_elem(&aliases, &key);
	if (!known)
		return false;
	/* Perhaps it was labelled under the image before only. */
	__sync_val_compare_and_swap(&known->class[slot], 0, class);
	return true;
}

SEC("lsm/path_link")
int BPF_PROG(path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	struct request request;
	struct inode *inode = old_dentry->d_inode;
	const struct image_cell *old_cell, *new_cell;
	__u32 old_class, old_flags;

	content_changes(inode);
	if (!begin(&request, OP_LINK, 0))
		return 0;
	request.want = BIT(RIGHT_LINK);
	if (check_name(&request, old_dentry))
		return deny(-EACCES);
	old_class = request.class;
	old_flags = request.flags;
	request.attempt.operation = OP_LINK_TO;
	request.want = BIT(RIGHT_CREATE);
	if (check_name(&request, new_dentry))
		return deny(-EACCES);

	old_cell = find_cell(request.asker.image, request.asker.subject.row, old_class, old_flags);
	new_cell = find_cell(request.asker.image, request.asker.subject.row, request.class, request.flags);
	if (new_cell->allow & ~old_cell->allow & GAINABLE &&
	    conclude(&request, new_dentry, judge_builtin(&request.asker.subject, RULE_GAIN, RIGHT_LINK)))
		return deny(-EACCES);
	/* The new name must not shed what the old one carries, for whoever uses it later. */
	if (inode && old_class && old_class != request.class && !label_inode(inode, old_class, request.asker.slot)) {
		count(COUNT_ALIASES_FULL);
		return deny(-EACCES);
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
struct mnt_idmap {};

static __always_inline int check_setattr(struct dentry *dentry, struct iattr *attributes)
{
	__u32 valid = attributes->ia_valid;

	/* Mode, owner and size have hooks of their own; times that a write sets in passing are not asked for. */
	if (valid & (ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TOUCH))
		return check_attributes(dentry, OP_UTIMES, valid);
	content_changes(dentry->d_inode);
	return 0;
}

SEC("lsm/inode_setattr")
int inode_setattr(unsigned long long *ctx)
{
	if (bpf_core_type_exists(struct mnt_idmap))
		return check_setattr((void *)ctx[1], (void *)ctx[2]);
	return check_setattr((void *)ctx[0], (void *)ctx[1]);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(inode_setxattr, void *idmap, struct dentry *dentry)
{
	return check_attributes(dentry, OP_SETXATTR, 0);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(inode_removexattr, void *idmap, struct dentry *dentry)
{
	return check_attributes(dentry, OP_SETXATTR, 0);
}

/* A `?` program is for a hook that some kernels lack, where another hook of the table covers the same. */

SEC("?lsm/inode_set_acl")
int BPF_PROG(inode_set_acl, void *idmap, struct dentry *dentry)
{
	return check_attributes(dentry, OP_SETXATTR, 0);
}

SEC("?lsm/inode_remove_acl")
int BPF_PROG(inode_remove_acl, void *idmap, struct dentry *dentry)
{
	return check_attributes(dentry, OP_SETXATTR, 0);
}

SEC("?lsm/inode_file_setattr")
int BPF_PROG(inode_file_setattr, struct dentry *dentry)
{
	return check_attributes(dentry, OP_SETXATTR, 0);
}

SEC("?lsm/file_truncate")
int BPF_PROG(file_truncate, struct file *file)
{
	struct request request;

	content_changes(file->f_inode);
	if (!begin(&request, OP_TRUNCATE, BIT(RIGHT_WRITE)))
		return 0;
	return answer(check_file(&request, file), -EACCES);
}

SEC("?lsm/file_ioctl_compat")
int BPF_PROG(file_ioctl_compat, struct file *file, unsigned int cmd)
{
	return check_ioctl(file, cmd);
}

static __always_inline void tree_changed(void)
{
	struct control *switches = get_control();

	if (switches)
		__sync_fetch_and_add(&switches->epoch, 1);
}

/* Of either name: RENAME_EXCHANGE can swap a file with a directory. */
static __always_inline bool moves_directory(struct renamedata *rename)
{
	return is_directory(rename->old_dentry) || is_directory(rename->new_dentry);
}

SEC("fentry/vfs_rename")
int BPF_PROG(rename_begins, struct renamedata *rename)
{
	struct control *switches;

	if (!moves_directory(rename))
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
	struct control *switches;

	if (!moves_directory(rename))
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
