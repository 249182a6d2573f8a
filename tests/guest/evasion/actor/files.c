/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is done to files by their own names: opening, descriptors, content, attributes. */
#include "actor.h"

#include <linux/fs.h>

static const unsigned char acl[] = "\2\0\0\0" /* version */
				   "\1\0\6\0\xff\xff\xff\xff"
				   "\4\0\4\0\xff\xff\xff\xff"
				   "\x20\0\4\0\xff\xff\xff\xff";

/* Opening ------------------------------------------------------------------------------------------------------- */

OPERATION(op_read, "read", NULL)
{
	return open_it(at("object/file"), O_RDONLY);
}

OPERATION(op_write, "write", NULL)
{
	return open_it(at("object/file"), O_WRONLY);
}

OPERATION(op_read_write, "read-write", NULL)
{
	return open_it(at("object/file"), O_RDWR);
}

OPERATION(op_append, "append", NULL)
{
	return open_it(at("object/file"), O_WRONLY | O_APPEND);
}

OPERATION(op_open_truncate, "open-truncate", NULL)
{
	return open_it(at("object/file"), O_RDONLY | O_TRUNC);
}

OPERATION(op_creat, "creat-over", NULL)
{
	return open_it(at("object/file"), O_WRONLY | O_CREAT | O_TRUNC);
}

OPERATION(op_list, "list", NULL)
{
	char entries[4096];
	int fd = TRY(do_open(at("object/dir"), O_RDONLY | O_DIRECTORY));

	TRY(SYS(SYS_getdents64, fd, entries, sizeof(entries)));
	return 0;
}

OPERATION(op_create, "create", NULL)
{
	return open_it(at("object/new"), O_WRONLY | O_CREAT | O_EXCL);
}

OPERATION(op_tmpfile, "tmpfile", NULL)
{
	return open_it(at("object"), O_RDWR | O_TMPFILE);
}

static void set_fifo(void)
{
	mkfifo(at("object/fifo"), 0644);
}

OPERATION(op_read_fifo, "read-fifo", set_fifo)
{
	return open_it(at("object/fifo"), O_RDONLY | O_NONBLOCK);
}

/* Another process's descriptors ---------------------------------------------------------------------------------- */

OPERATION(op_receive_read, "receive-read", NULL)
{
	TRY(ask('r', at("object/file")));
	return 0;
}

OPERATION(op_receive_write, "receive-write", NULL)
{
	TRY(ask('w', at("object/file")));
	return 0;
}

/* Content -------------------------------------------------------------------------------------------------------- */

OPERATION(op_truncate, "truncate", NULL)
{
	return TRY(SYS(SYS_truncate, at("object/file"), 0));
}

OPERATION(op_ftruncate, "ftruncate-append", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_WRONLY | O_APPEND));

	return TRY(do_ftruncate(fd, 0));
}

OPERATION(op_clear_append, "clear-append", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_WRONLY | O_APPEND));

	return TRY(LIBC(fcntl(fd, F_SETFL, 0)));
}

OPERATION(op_no_append, "write-noappend", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_WRONLY | O_APPEND));

	TRY(do_write(fd, "y", 1, 0x20 /* RWF_NOAPPEND */));
	return 0;
}

OPERATION(op_punch, "punch-append", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_WRONLY | O_APPEND));

	return TRY(do_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 512));
}

OPERATION(op_map_append, "map-append", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_RDWR | O_APPEND));
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? -errno : 0;
}

OPERATION(op_protect_append, "mprotect-append", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_RDWR | O_APPEND));
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_WRITE)));
}

OPERATION(op_fallocate, "fallocate", NULL)
{
	int fd = TRY(do_open(at("object/file"), O_WRONLY));

	return TRY(do_fallocate(fd, 0, 0, 8192));
}

OPERATION(op_splice, "splice-to", NULL)
{
	int pipes[2], fd;

	STEP(LIBC(pipe(pipes)));
	STEP(LIBC(write(pipes[1], "y", 1)));
	fd = TRY(do_open(at("object/file"), O_WRONLY));
	TRY(do_splice(pipes[0], fd, 1));
	return 0;
}

OPERATION(op_copy_range, "copy-file-range-to", NULL)
{
	int from = STEP(do_open(at("free/file"), O_RDONLY)), to = TRY(do_open(at("object/file"), O_WRONLY));

	TRY(SYS(SYS_copy_file_range, from, NULL, to, NULL, 16, 0));
	return 0;
}

OPERATION(op_copy_range_from, "copy-file-range-from", NULL)
{
	int from = TRY(do_open(at("object/file"), O_RDONLY)), to = STEP(do_open(at("free/file"), O_WRONLY));

	TRY(SYS(SYS_copy_file_range, from, NULL, to, NULL, 16, 0));
	return 0;
}

OPERATION(op_sendfile, "sendfile-from", NULL)
{
	int from = TRY(do_open(at("object/file"), O_RDONLY)), to = STEP(do_open(at("free/file"), O_WRONLY));

	TRY(SYS(SYS_sendfile, to, from, NULL, 16));
	return 0;
}

OPERATION(op_clone, "reflink-to", NULL)
{
	int from = STEP(do_open(at("free/file"), O_RDONLY)), to = TRY(do_open(at("object/file"), O_WRONLY));

	return TRY(LIBC(ioctl(to, FICLONE, from)));
}

/* Attributes ----------------------------------------------------------------------------------------------------- */

OPERATION(op_chmod, "chmod", NULL)
{
	return TRY(SYS(SYS_fchmodat, AT_FDCWD, at("object/file"), 0600));
}

OPERATION(op_fchmod, "fchmod", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_RDONLY));

	return TRY(LIBC(fchmod(fd, 0600)));
}

OPERATION(op_fchmodat2, "fchmodat2", NULL)
{
	return TRY(SYS(452, AT_FDCWD, at("object/file"), 0600, 0));
}

OPERATION(op_chown, "chown", NULL)
{
	return TRY(SYS(SYS_fchownat, AT_FDCWD, at("object/file"), 1, 1, 0));
}

OPERATION(op_fchown, "fchown", NULL)
{
	int fd = STEP(do_open(at("object/file"), O_RDONLY));

	return TRY(LIBC(fchown(fd, 1, 1)));
}

OPERATION(op_utimes, "utimes", NULL)
{
	struct timespec times[2] = { { 1, 0 }, { 1, 0 } };

	return TRY(LIBC(utimensat(AT_FDCWD, at("object/file"), times, 0)));
}

OPERATION(op_touch, "touch", NULL)
{
	return TRY(LIBC(utimensat(AT_FDCWD, at("object/file"), NULL, 0)));
}

OPERATION(op_setxattr, "setxattr", NULL)
{
	return TRY(do_setxattr(at("object/file"), "user.evasion", "x", 1));
}

OPERATION(op_personality, "setxattr-by-personality", NULL)
{
	return TRY(do_setxattr_as_before(at("object/file"), "user.evasion", "x", 1));
}

static void set_xattr(void)
{
	if (syscall(SYS_setxattr, at("object/file"), "user.evasion", "x", 1, 0))
		_exit(1);
}

OPERATION(op_removexattr, "removexattr", set_xattr)
{
	return TRY(SYS(SYS_removexattr, at("object/file"), "user.evasion"));
}

OPERATION(op_security_xattr, "set-security-xattr", NULL)
{
	return TRY(do_setxattr(at("object/file"), "security.evasion", "x", 1));
}

OPERATION(op_setacl, "set-acl", NULL)
{
	return TRY(SYS(SYS_setxattr, at("object/file"), "system.posix_acl_access", acl, sizeof(acl) - 1, 0));
}

static void set_acl(void)
{
	if (syscall(SYS_setxattr, at("object/file"), "system.posix_acl_access", acl, sizeof(acl) - 1, 0))
		_exit(1);
}

OPERATION(op_removeacl, "remove-acl", set_acl)
{
	return TRY(SYS(SYS_removexattr, at("object/file"), "system.posix_acl_access"));
}

static int set_flags(void)
{
	int fd = STEP(do_open(at("object/file"), O_RDONLY)), flags = 0;

	STEP(LIBC(ioctl(fd, FS_IOC_GETFLAGS, &flags)));
	flags |= FS_NODUMP_FL;
	return TRY(LIBC(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
}

static int set_attributes(void)
{
	int fd = STEP(do_open(at("object/file"), O_RDONLY));
	struct fsxattr attributes;

	STEP(LIBC(ioctl(fd, FS_IOC_FSGETXATTR, &attributes)));
	attributes.fsx_xflags |= FS_XFLAG_NODUMP;
	return TRY(LIBC(ioctl(fd, FS_IOC_FSSETXATTR, &attributes)));
}

static int set_version(void)
{
	int fd = STEP(do_open(at("object/file"), O_RDONLY)), version = 7;

	return TRY(LIBC(ioctl(fd, FS_IOC_SETVERSION, &version)));
}

/* The second name of each is for 32-bit callers, which another hook answers. */
OPERATION(op_setflags, "set-inode-flags", NULL)
{
	return set_flags();
}

OPERATION(op_setflags_compat, "set-inode-flags-compat", NULL)
{
	return set_flags();
}

OPERATION(op_fssetxattr, "set-inode-attributes", NULL)
{
	return set_attributes();
}

OPERATION(op_fssetxattr_compat, "set-inode-attributes-compat", NULL)
{
	return set_attributes();
}

OPERATION(op_setversion, "set-inode-version", NULL)
{
	return set_version();
}

OPERATION(op_setversion_compat, "set-inode-version-compat", NULL)
{
	return set_version();
}

OPERATION(op_file_setattr, "file-setattr", NULL)
{
	struct {
		uint64_t xflags;
		uint32_t extsize, nextents, projid, cowextsize;
	} attributes = {};

	STEP(SYS(468, AT_FDCWD, at("object/file"), &attributes, sizeof(attributes), 0)); /* file_getattr */
	attributes.xflags |= FS_XFLAG_NODUMP;
	return TRY(SYS(469, AT_FDCWD, at("object/file"), &attributes, sizeof(attributes), 0));
}

static void set_device(void)
{
	if (mknod(at("object/device"), S_IFCHR | 0666, makedev(1, 3)) || /* null */
	    mknod(at("object/block"), S_IFBLK | 0666, makedev(254, 0)) ||
	    mknod(at("object/memory"), S_IFCHR | 0666, makedev(1, 1)))
		_exit(1);
}

OPERATION(op_ioctl, "device-ioctl", set_device)
{
	char terminal[64];
	int fd = STEP(do_open(at("object/device"), O_RDWR | O_NOCTTY));

	return TRY(LIBC(ioctl(fd, 0x5401 /* TCGETS */, terminal)));
}

OPERATION(op_block, "open-block-device", set_device)
{
	return open_it(at("object/block"), O_RDONLY);
}

OPERATION(op_memory, "open-memory-device", set_device)
{
	return open_it(at("object/memory"), O_RDONLY);
}

OPERATION(op_cgroup, "write-cgroup", NULL)
{
	return open_it("/sys/fs/cgroup/cgroup.procs", O_WRONLY);
}
