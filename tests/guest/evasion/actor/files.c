/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is done to files, by their own names and by others. */
#include "actor.h"

#include <linux/fs.h>

static const unsigned char acl[] = "\2\0\0\0" /* version */
				   "\1\0\6\0\xff\xff\xff\xff"
				   "\4\0\4\0\xff\xff\xff\xff"
				   "\x20\0\4\0\xff\xff\xff\xff";

static int open_it(const char *path, int flags)
{
	int fd = TRY(do_open(path, flags));

	close(fd);
	return 0;
}

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

/* Other ways to the same file ------------------------------------------------------------------------------------ */

static void set_link(void)
{
	if (symlink("../object/file", at("free/link")) || symlink("../object", at("free/way")) ||
	    symlink("../object/new", at("free/dangling")))
		_exit(1);
}

OPERATION(op_read_link, "read-symlink", set_link)
{
	return open_it(at("free/link"), O_RDONLY);
}

OPERATION(op_write_link, "write-symlink", set_link)
{
	return open_it(at("free/link"), O_WRONLY);
}

OPERATION(op_read_way, "read-symlinked-folder", set_link)
{
	return open_it(at("free/way/file"), O_RDONLY);
}

OPERATION(op_create_dangling, "create-through-symlink", set_link)
{
	return open_it(at("free/dangling"), O_WRONLY | O_CREAT);
}

OPERATION(op_truncate_link, "truncate-symlink", set_link)
{
	return TRY(SYS(SYS_truncate, at("free/link"), 0));
}

OPERATION(op_own_link, "symlink-then-read", NULL)
{
	STEP(do_symlinkat("../object/file", AT_FDCWD, at("free/mine")));
	return open_it(at("free/mine"), O_RDONLY);
}

OPERATION(op_dots, "read-dots", NULL)
{
	return open_it(at("free/dir/../../object/file"), O_RDONLY);
}

OPERATION(op_proc_root, "read-proc-root", NULL)
{
	char path[4200];

	snprintf(path, sizeof(path), "/proc/self/root%s", at("object/file"));
	return open_it(path, O_RDONLY);
}

OPERATION(op_proc_cwd, "read-proc-cwd", NULL)
{
	STEP(LIBC(chdir(at("object"))));
	return open_it("/proc/self/cwd/file", O_RDONLY);
}

OPERATION(op_relative, "read-relative", NULL)
{
	STEP(LIBC(chdir(at("object"))));
	return open_it("file", O_RDONLY);
}

OPERATION(op_dirfd, "read-at-folder", NULL)
{
	int folder = STEP(do_open(at("object"), O_PATH | O_DIRECTORY));

	TRY(do_openat(folder, "file", O_RDONLY, 0));
	return 0;
}

OPERATION(op_reopen, "write-reopened-path", NULL)
{
	char path[64];
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_PATH));

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open_it(path, O_RDWR);
}

OPERATION(op_upgrade, "write-reopened-read", NULL)
{
	char path[64];
	int fd = STEP(do_open(at("object/file"), O_RDONLY));

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open_it(path, O_WRONLY);
}

OPERATION(op_openat2, "read-openat2-in-root", NULL)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = { .flags = O_RDONLY, .resolve = 0x10 /* RESOLVE_IN_ROOT */ };
	int folder = STEP(SYS(SYS_openat, AT_FDCWD, at("object"), O_PATH | O_DIRECTORY));

	TRY(SYS(SYS_openat2, folder, "/../../file", &how, sizeof(how)));
	return 0;
}

OPERATION(op_handle, "read-by-handle", NULL)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[128];
	} handle = { .handle.handle_bytes = 128 };
	int mount, folder = STEP(SYS(SYS_openat, AT_FDCWD, base, O_RDONLY | O_DIRECTORY));

	STEP(SYS(SYS_name_to_handle_at, AT_FDCWD, at("object/file"), &handle, &mount, 0));
	TRY(SYS(SYS_open_by_handle_at, folder, &handle, O_RDONLY));
	return 0;
}

static void set_bind(void)
{
	mkdir(at("free/bind"), 0755);
	if (mount(at("object"), at("free/bind"), NULL, MS_BIND, NULL))
		_exit(1);
}

OPERATION(op_bind_read, "read-bind-mount", set_bind)
{
	return open_it(at("free/bind/file"), O_RDONLY);
}

OPERATION(op_bind_write, "write-bind-mount", set_bind)
{
	return open_it(at("free/bind/file"), O_WRONLY);
}

OPERATION(op_bind_create, "create-bind-mount", set_bind)
{
	return open_it(at("free/bind/new"), O_WRONLY | O_CREAT);
}

OPERATION(op_bind_unlink, "unlink-bind-mount", set_bind)
{
	return TRY(do_unlinkat(AT_FDCWD, at("free/bind/file"), 0));
}

OPERATION(op_own_bind, "bind-then-read", NULL)
{
	STEP(LIBC(mkdir(at("free/mine"), 0755)));
	STEP(LIBC(mount(at("object"), at("free/mine"), NULL, MS_BIND, NULL)));
	return open_it(at("free/mine/file"), O_RDONLY);
}

OPERATION(op_own_namespace, "namespace-then-write", NULL)
{
	STEP(LIBC(unshare(CLONE_NEWNS)));
	STEP(LIBC(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL)));
	STEP(LIBC(mkdir(at("free/mine"), 0755)));
	STEP(LIBC(mount(at("object"), at("free/mine"), NULL, MS_BIND, NULL)));
	return open_it(at("free/mine/file"), O_WRONLY);
}

OPERATION(op_own_chroot, "chroot-then-write", NULL)
{
	STEP(LIBC(chroot(at("object"))));
	STEP(LIBC(chdir("/")));
	return open_it("/file", O_WRONLY);
}

OPERATION(op_own_pivot, "pivot-then-read", NULL)
{
	const char *root = at("free/mine");

	STEP(LIBC(unshare(CLONE_NEWNS)));
	STEP(LIBC(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL)));
	STEP(LIBC(mkdir(root, 0755)));
	STEP(LIBC(mount(at("object"), root, NULL, MS_BIND, NULL)));
	STEP(LIBC(chdir(root)));
	STEP(SYS(SYS_pivot_root, ".", "."));
	return open_it("/file", O_RDONLY);
}

OPERATION(op_tree, "read-detached-tree", NULL)
{
	int tree = STEP(SYS(SYS_open_tree, AT_FDCWD, at("object"), 1 /* OPEN_TREE_CLONE */));

	TRY(do_openat(tree, "file", O_RDONLY, 0));
	return 0;
}

OPERATION(op_given_tree, "read-given-detached-tree", NULL)
{
	int tree = TRY(ask('t', at("object")));

	TRY(do_openat(tree, "file", O_RDONLY, 0));
	return 0;
}

OPERATION(op_lazy, "read-unmounted-tree", NULL)
{
	int folder = TRY(ask('u', at("object/empty")));

	TRY(do_openat(folder, "file", O_RDONLY, 0));
	return 0;
}

/* A tmpfs that can be moved: what it is mounted on is not shared. */
void mount_apart(void)
{
	mkdir(at("free/mounted"), 0755);
	if (mount(at("free"), at("free"), NULL, MS_BIND, NULL) || mount("", at("free"), NULL, MS_PRIVATE, NULL) ||
	    mount("evasion", at("free/mounted"), "tmpfs", 0, NULL) ||
	    mount("", at("free/mounted"), NULL, MS_PRIVATE, NULL))
		_exit(1);
	put(at("free/mounted/file"), "x", 1, 0644);
}

OPERATION(op_after_move, "read-after-mount-moved", mount_apart)
{
	STEP(open_it(at("free/mounted/file"), O_RDONLY)); /* remembered under the name that it has there */
	STEP(LIBC(mount(at("free/mounted"), at("object/empty"), NULL, MS_MOVE, NULL)));
	return open_it(at("object/empty/file"), O_RDONLY);
}

static void set_twice(void)
{
	mount_apart();
	if (mount(at("free/mounted"), at("object/empty"), NULL, MS_BIND, NULL))
		_exit(1);
}

OPERATION(op_after_umount, "read-after-older-mount-gone", set_twice)
{
	STEP(open_it(at("object/empty/file"), O_RDONLY)); /* known by its older mount */
	STEP(LIBC(umount(at("free/mounted"))));
	return open_it(at("object/empty/file"), O_RDONLY);
}

static long mount_overlay(const char *lower, const char *upper)
{
	char layers[1024];

	mkdir(at("free/merged"), 0755);
	mkdir(at("free/work"), 0755);
	snprintf(layers, sizeof(layers), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, at("free/work"));
	return LIBC(mount("evasion", at("free/merged"), "overlay", 0, layers));
}

static void set_layers(void)
{
	if (mount_overlay(at("free/dir"), at("object/dir")))
		_exit(1);
}

OPERATION(op_list_layer, "list-layer", set_layers)
{
	return open_it(at("object/dir"), O_RDONLY | O_DIRECTORY);
}

OPERATION(op_touch_layer, "touch-layer", set_layers)
{
	return TRY(LIBC(utimensat(AT_FDCWD, at("object/dir/file"), NULL, 0)));
}

OPERATION(op_setxattr_layer, "setxattr-layer", set_layers)
{
	return TRY(do_setxattr(at("object/dir/file"), "user.evasion", "x", 1));
}

OPERATION(op_overlay_read, "read-through-overlay", NULL)
{
	STEP(mount_overlay(at("object"), at("free/dir")));
	return open_it(at("free/merged/file"), O_RDONLY);
}

OPERATION(op_overlay_write, "write-through-overlay", NULL)
{
	STEP(mount_overlay(at("free/dir"), at("object")));
	return open_it(at("free/merged/file"), O_WRONLY);
}

static void set_hard(void)
{
	if (link(at("object/file"), at("free/hard")))
		_exit(1);
}

OPERATION(op_hard_read, "read-hard-link", set_hard)
{
	return open_it(at("free/hard"), O_RDONLY);
}

OPERATION(op_hard_write, "write-hard-link", set_hard)
{
	return open_it(at("free/hard"), O_WRONLY);
}

OPERATION(op_hard_truncate, "truncate-hard-link", set_hard)
{
	return TRY(SYS(SYS_truncate, at("free/hard"), 0));
}

OPERATION(op_hard_chmod, "chmod-hard-link", set_hard)
{
	return TRY(SYS(SYS_fchmodat, AT_FDCWD, at("free/hard"), 0600));
}

OPERATION(op_deleted, "write-deleted", NULL)
{
	char path[64];
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_PATH));

	STEP(SYS(SYS_unlinkat, AT_FDCWD, at("object/file"), 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open_it(path, O_WRONLY);
}

#define DEEP 24

static int go_deep(int make)
{
	char name[201];

	memset(name, 'd', 200);
	name[200] = 0;
	TRY(LIBC(chdir(at("object"))));
	for (int i = 0; i < DEEP; i++) {
		if (make)
			mkdir(name, 0755);
		TRY(LIBC(chdir(name)));
	}
	return 0;
}

static void set_deep(void)
{
	int here = open(".", O_PATH | O_CLOEXEC);

	if (here < 0 || go_deep(1))
		_exit(1);
	put("file", "x", 1, 0644);
	if (fchdir(here))
		_exit(1);
	close(here);
}

OPERATION(op_deep, "read-beyond-path-max", set_deep)
{
	STEP(go_deep(0));
	return open_it("file", O_RDONLY);
}

OPERATION(op_deep_create, "create-beyond-path-max", set_deep)
{
	STEP(go_deep(0));
	return open_it("new", O_WRONLY | O_CREAT);
}

static const char *const odd[] = { "object/new\nline", "object/\xff\xfe\x80", "object/\x1b[31mred",
				   "object/sp ace \t" };

static void set_odd(void)
{
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		put(at(odd[i]), "x", 1, 0644);
}

OPERATION(op_newline, "read-newline-name", set_odd)
{
	return open_it(at(odd[0]), O_RDONLY);
}

OPERATION(op_bytes, "read-non-utf8-name", set_odd)
{
	return open_it(at(odd[1]), O_RDONLY);
}

OPERATION(op_escape, "read-escape-name", set_odd)
{
	return open_it(at(odd[2]), O_RDONLY);
}

OPERATION(op_space, "read-blank-name", set_odd)
{
	return open_it(at(odd[3]), O_RDONLY);
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
