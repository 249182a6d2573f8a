/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is done to files by other ways than their own names: links, mounts, overlays, deep and odd names. */
#include "actor.h"

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
