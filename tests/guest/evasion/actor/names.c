/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Names that are made, taken and changed. */
#include "actor.h"

#include <linux/fs.h>

/* Making names --------------------------------------------------------------------------------------------------- */

OPERATION(op_mkfifo, "mkfifo", NULL)
{
	return TRY(SYS(SYS_mknodat, AT_FDCWD, at("object/new"), S_IFIFO | 0644, 0));
}

OPERATION(op_mknod, "mknod-file", NULL)
{
	return TRY(SYS(SYS_mknodat, AT_FDCWD, at("object/new"), S_IFREG | 0644, 0));
}

OPERATION(op_mknod_char, "mknod-char-device", NULL)
{
	return TRY(SYS(SYS_mknodat, AT_FDCWD, at("free/new"), S_IFCHR | 0644, makedev(1, 3)));
}

OPERATION(op_mknod_block, "mknod-block-device", NULL)
{
	return TRY(SYS(SYS_mknodat, AT_FDCWD, at("free/new"), S_IFBLK | 0644, makedev(7, 0)));
}

OPERATION(op_mkdir, "mkdir", NULL)
{
	return TRY(do_mkdirat(AT_FDCWD, at("object/new"), 0755));
}

OPERATION(op_symlink, "symlink", NULL)
{
	return TRY(do_symlinkat("/", AT_FDCWD, at("object/new")));
}

OPERATION(op_link_tmpfile, "link-tmpfile", NULL)
{
	int fd = STEP(do_open(at("free"), O_RDWR | O_TMPFILE));
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return TRY(do_linkat(AT_FDCWD, path, AT_FDCWD, at("object/new"), AT_SYMLINK_FOLLOW));
}

OPERATION(op_link_from, "link-from", NULL)
{
	return TRY(do_linkat(AT_FDCWD, at("object/file"), AT_FDCWD, at("free/new"), 0));
}

OPERATION(op_link_fd, "link-from-descriptor", NULL)
{
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_PATH));

	return TRY(do_linkat(fd, "", AT_FDCWD, at("free/new"), AT_EMPTY_PATH));
}

OPERATION(op_link_proc, "link-from-proc", NULL)
{
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_PATH));
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return TRY(do_linkat(AT_FDCWD, path, AT_FDCWD, at("free/new"), AT_SYMLINK_FOLLOW));
}

OPERATION(op_link_to, "link-to", NULL)
{
	return TRY(do_linkat(AT_FDCWD, at("free/file"), AT_FDCWD, at("object/new"), 0));
}

OPERATION(op_link_gain, "link-gain", NULL)
{
	return TRY(do_linkat(AT_FDCWD, at("object/file"), AT_FDCWD, at("free/new"), 0));
}

/* Taking and changing names -------------------------------------------------------------------------------------- */

OPERATION(op_unlink, "unlink", NULL)
{
	return TRY(do_unlinkat(AT_FDCWD, at("object/file"), 0));
}

OPERATION(op_rmdir, "rmdir", NULL)
{
	return TRY(do_unlinkat(AT_FDCWD, at("object/empty"), AT_REMOVEDIR));
}

OPERATION(op_rename_from, "rename-from", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("object/file"), AT_FDCWD, at("free/new"), 0));
}

OPERATION(op_rename_to, "rename-to", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("free/file"), AT_FDCWD, at("object/new"), 0));
}

OPERATION(op_rename_over, "rename-over", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("free/file"), AT_FDCWD, at("object/file"), 0));
}

OPERATION(op_noreplace, "rename-noreplace", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("object/file"), AT_FDCWD, at("free/new"), RENAME_NOREPLACE));
}

OPERATION(op_whiteout, "rename-whiteout", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("object/file"), AT_FDCWD, at("free/new"), RENAME_WHITEOUT));
}

OPERATION(op_exchange, "exchange", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("free/file"), AT_FDCWD, at("object/file"), RENAME_EXCHANGE));
}

OPERATION(op_exchange_folders, "exchange-folders", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("free/dir"), AT_FDCWD, at("object/dir"), RENAME_EXCHANGE));
}

OPERATION(op_exchange_kinds, "exchange-file-with-folder", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("free/file"), AT_FDCWD, at("object/dir"), RENAME_EXCHANGE));
}

OPERATION(op_rename_folder, "rename-folder-from", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("object/dir"), AT_FDCWD, at("free/new"), 0));
}

OPERATION(op_rename_above, "rename-folder-above", NULL)
{
	return TRY(do_renameat2(AT_FDCWD, at("object"), AT_FDCWD, at("free/new"), 0));
}

OPERATION(op_rename_gain, "rename-gain", NULL)
{
	TRY(do_renameat2(AT_FDCWD, at("object/dir"), AT_FDCWD, at("free/new"), 0));
	return open_it(at("free/new/file"), O_WRONLY);
}

OPERATION(op_rename_then, "read-in-renamed-folder", NULL)
{
	/* Allowed where it was; what matters is the name that it has now. */
	STEP(open_it(at("free/dir/file"), O_RDONLY));
	STEP(do_renameat2(AT_FDCWD, at("free/dir"), AT_FDCWD, at("object/arrived"), 0));
	return open_it(at("object/arrived/file"), O_RDONLY);
}

OPERATION(op_exchange_then, "read-in-exchanged-folder", NULL)
{
	STEP(open_it(at("free/dir/file"), O_RDONLY));
	STEP(do_renameat2(AT_FDCWD, at("free/dir"), AT_FDCWD, at("object/dir"), RENAME_EXCHANGE));
	return open_it(at("object/dir/file"), O_RDONLY);
}

OPERATION(op_exchange_kinds_then, "read-in-folder-exchanged-with-file", NULL)
{
	STEP(open_it(at("free/dir/file"), O_RDONLY));
	STEP(do_renameat2(AT_FDCWD, at("object/other"), AT_FDCWD, at("free/dir"), RENAME_EXCHANGE));
	return open_it(at("object/other/file"), O_RDONLY);
}
