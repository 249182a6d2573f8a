/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a record says of its object: files, names that callers give, sockets and addresses. */
#ifndef MENSHEN_WATCH_OBJECTS_H
#define MENSHEN_WATCH_OBJECTS_H

#include "record.h"

#define AT_FDCWD -100
#define NAME_AT 2048 /* where a caller's name is read to; the folder that it is in is written before it */
#define NAME_SIZE 2040
#define S_IFSOCK 0140000
#define SOCKFS_MAGIC 0x534f434b
#define ADDRESS_SIZE 128

/* What the current task has open under that number; 0: nothing. */
__noinline __u64 file_of(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = task->files;
	struct fdtable *table = NULL;
	struct file **slots = NULL, *file = NULL;
	__u32 count = 0;

	bpf_core_read(&table, sizeof(table), &files->fdt);
	bpf_core_read(&count, sizeof(count), &table->max_fds);
	if (fd >= count)
		return 0;
	bpf_core_read(&slots, sizeof(slots), &table->fd);
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	return (__u64)file;
}

static __always_inline void describe_inode(struct observation *record, __u64 address)
{
	struct inode *inode = (void *)address;
	struct super_block *sb = NULL;

	if (!inode)
		return;
	bpf_core_read(&record->inode, sizeof(record->inode), &inode->i_ino);
	bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
	bpf_core_read(&record->device, sizeof(record->device), &sb->s_dev);
}

#define PATH_FLAGS (WATCH_FOREIGN | WATCH_PATH_CUT | WATCH_PATH_UNRESOLVED)

/* A file that is open: its canonical path, inode and device. */
__noinline int describe_file(struct watch_scratch *scratch, __u64 address)
{
	struct file *file = (void *)address;
	struct dentry *dentry = NULL;
	struct inode *inode = NULL;

	if (!scratch || !file)
		return 0;
	bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry);
	bpf_core_read(&inode, sizeof(inode), &file->f_inode);
	scratch->record.path = path_number(scratch, (__u64)dentry);
	scratch->record.flags |= scratch->walk.flags & PATH_FLAGS;
	describe_inode(&scratch->record, (__u64)inode);
	return 0;
}

/*
 * The number of a name that the caller gave, in its own memory or (is_kernel) copied in already; a relative one joined
 * to the folder that it is relative to. Neither symbolic links nor dots are followed.
 */
__noinline int given_path(struct watch_scratch *scratch, __s32 folder, __u64 name, __u32 is_kernel)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *dentry = NULL;
	__u32 at = NAME_AT + 1;
	long size;

	if (!scratch)
		return STRING_NONE;
	if (is_kernel)
		size = bpf_probe_read_kernel_str(&scratch->text[NAME_AT + 1], NAME_SIZE, (void *)name);
	else
		size = bpf_probe_read_user_str(&scratch->text[NAME_AT + 1], NAME_SIZE, (void *)name);
	if (size < 1) {
		meter(METER_UNREADABLE);
		scratch->cut = 1;
		return STRING_LOST;
	}
	scratch->record.flags |= WATCH_GIVEN;
	if (size == NAME_SIZE)
		scratch->record.flags |= WATCH_PATH_CUT;
	if (scratch->text[NAME_AT + 1] != '/') {
		if (folder == AT_FDCWD) {
			dentry = BPF_CORE_READ(task, fs, pwd.dentry);
		} else {
			struct file *file = (void *)file_of(folder);

			bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry);
		}
		at = write_path(scratch, (__u64)dentry, NAME_AT);
		scratch->record.flags |= scratch->walk.flags & PATH_FLAGS;
		scratch->text[NAME_AT] = '/';
		if (at == NAME_AT - 1) /* the folder is the root */
			at = NAME_AT;
	}
	if (at > NAME_AT + 1)
		return STRING_LOST;
	return intern(scratch, at, NAME_AT + size - at);
}

/* The socket of a file; 0: it is none. */
__noinline __u64 socket_of(__u64 address)
{
	struct file *file = (void *)address;
	struct super_block *sb = NULL;
	struct inode *inode = NULL;
	unsigned long magic = 0;
	void *socket = NULL;

	if (!file)
		return 0;
	bpf_core_read(&inode, sizeof(inode), &file->f_inode);
	bpf_core_read(&sb, sizeof(sb), &inode->i_sb);
	bpf_core_read(&magic, sizeof(magic), &sb->s_magic);
	if (magic != SOCKFS_MAGIC)
		return 0;
	bpf_core_read(&socket, sizeof(socket), &file->private_data);
	return (__u64)socket;
}

static __always_inline __u32 family_of(__u64 socket_address)
{
	struct socket *socket = (void *)socket_address;
	__u16 family = 0;
	struct sock *sk = NULL;

	bpf_core_read(&sk, sizeof(sk), &socket->sk);
	bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family);
	return family;
}

static __always_inline bool is_watched_family(__u32 family)
{
	return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

enum socket_side {
	SIDE_NONE,
	SIDE_PEER,
	SIDE_OWN,
};

/* Type, protocol, family and, of the side that is asked for, address and port. */
__noinline int describe_socket(struct watch_scratch *scratch, __u64 address, __u32 side)
{
	struct socket *socket = (void *)address;
	struct observation *record;
	struct sock *sk = NULL;
	__u16 family = 0, port = 0;
	short type = 0;

	if (!scratch || !socket)
		return 0;
	record = &scratch->record;
	bpf_core_read(&type, sizeof(type), &socket->type);
	bpf_core_read(&sk, sizeof(sk), &socket->sk);
	record->detail = type;
	record->protocol = BPF_CORE_READ(sk, sk_protocol);
	bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family);
	record->family = family == AF_INET ? 4 : family == AF_INET6 ? 6 : family == AF_UNIX ? 1 : 0;
	if (side == SIDE_NONE || family == AF_UNIX)
		return 0;
	if (side == SIDE_OWN) {
		bpf_core_read(&record->port, sizeof(port), &sk->__sk_common.skc_num);
	} else {
		bpf_core_read(&port, sizeof(port), &sk->__sk_common.skc_dport);
		record->port = bpf_ntohs(port);
	}
	if (family == AF_INET && side == SIDE_OWN)
		bpf_core_read(record->address, 4, &sk->__sk_common.skc_rcv_saddr);
	else if (family == AF_INET)
		bpf_core_read(record->address, 4, &sk->__sk_common.skc_daddr);
	else if (family == AF_INET6 && side == SIDE_OWN)
		bpf_core_read(record->address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else if (family == AF_INET6)
		bpf_core_read(record->address, 16, &sk->__sk_common.skc_v6_daddr);
	return 0;
}

/* A socket address in the caller's memory or (is_kernel) in the kernel's. */
__noinline int describe_address(struct watch_scratch *scratch, __u64 from, __u32 size, __u32 is_kernel)
{
	struct observation *record;
	__u32 length = 0;
	long failed;
	char *text;

	if (!scratch || !from)
		return 0;
	record = &scratch->record;
	text = &scratch->text[TEXT_HEAD];
	__builtin_memset(text, 0, ADDRESS_SIZE);
	if (size > ADDRESS_SIZE)
		size = ADDRESS_SIZE;
	if (is_kernel)
		failed = bpf_probe_read_kernel(text, size, (void *)from);
	else
		failed = bpf_probe_read_user(text, size, (void *)from);
	if (failed) {
		meter(METER_UNREADABLE);
		scratch->cut = 1;
		return 0;
	}
	switch (*(__u16 *)text) {
	case AF_INET:
		record->family = 4;
		record->port = bpf_ntohs(*(__u16 *)(text + 2));
		__builtin_memcpy(record->address, text + 4, 4);
		break;
	case AF_INET6:
		record->family = 6;
		record->port = bpf_ntohs(*(__u16 *)(text + 2));
		__builtin_memcpy(record->address, text + 8, 16);
		break;
	case AF_UNIX:
		record->family = 1;
		if (size < 3)
			break;
		length = size - 2;
		if (text[2]) { /* a path ends with a NUL, an abstract name with the address */
			for (length = 0; length < 108; length++)
				if (!text[2 + length])
					break;
		} else {
			text[2] = '@';
		}
		record->path = intern(scratch, TEXT_HEAD + 2, length);
		break;
	}
	return 0;
}

/* An event that has a number and no object. */
static __noinline int record_number(__u32 type, __u32 detail, __s64 result)
{
	struct watch_scratch *scratch = begin(type);

	if (!scratch)
		return 0;
	scratch->record.detail = detail;
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

/* The effective user of the task is another than when we last looked. */
static __always_inline int record_credentials(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_task *me = bpf_task_storage_get(&watched, task, 0, 0);
	__u32 now = task->cred->euid.val, before;

	if (!me || !me->known || me->uid == now)
		return 0;
	before = me->uid;
	me->uid = now;
	return record_number(WATCH_CREDENTIALS, before, 0);
}

/* Commands of bpf() that bring code into the kernel or put it in its place. */
static __always_inline bool is_load(__u32 command)
{
	return command == 5 /* PROG_LOAD */ || command == 8 /* PROG_ATTACH */ ||
	       command == 17 /* RAW_TRACEPOINT_OPEN */ || command == 28 /* LINK_CREATE */ ||
	       command == 29 /* LINK_UPDATE */;
}

#endif
