/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Files that are more than files: devices that hold the machine, control groups, USB authorisation. */
#ifndef MENSHEN_KERNEL_FILES_H
#define MENSHEN_KERNEL_FILES_H

#include "special.h"

#define MAJOR_MEMORY 1
#define MAJOR_SCSI_GENERIC 21
#define MAJOR_MSR 202

static __always_inline bool is_device(umode_t mode)
{
	return (mode & (S_IFMT & ~0040000)) == S_IFCHR; /* S_IFCHR or S_IFBLK, which differ in that bit */
}

/* Opening a disk, or memory, ports, SCSI commands, registers as a file. */
static __always_inline int check_device(struct inode *inode)
{
	__u32 major = inode->i_rdev >> 20, minor = inode->i_rdev & 0xfffff;

	if ((inode->i_mode & S_IFMT) == S_IFCHR) {
		if (major == MAJOR_MEMORY && minor != 1 && minor != 2 && minor != 4) /* mem, kmem, port */
			return 0;
		if (major != MAJOR_MEMORY && major != MAJOR_SCSI_GENERIC && major != MAJOR_MSR)
			return 0;
	}
	return check_special(OP_RAW_DEVICE, SPECIAL_RAW_DEVICE, 0, 0, inode->i_rdev);
}

/* Which USB devices, and which of their interfaces, come into use. */
static __always_inline bool is_authorisation(struct dentry *dentry)
{
	char name[32] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), dentry->d_name.name);
	if (*(__u64 *)name == *(__u64 *)"authoriz" && *(__u16 *)(name + 8) == *(__u16 *)"ed")
		return true; /* authorized, authorized_default */
	return *(__u64 *)name == *(__u64 *)"interfac" && *(__u64 *)(name + 8) == *(__u64 *)"e_author";
}

/* Opening for writing, making and removing: 0, or -EPERM. */
static __always_inline int check_kernel_tree(struct super_block *sb, struct dentry *dentry)
{
	switch (sb->s_magic) {
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
		return check_special(OP_CGROUP, SPECIAL_CGROUP, 0, 0, 0);
	case SYSFS_MAGIC:
		if (is_authorisation(dentry))
			return check_special(OP_USB, SPECIAL_USB, 0, 0, 0);
	}
	return 0;
}

#endif
