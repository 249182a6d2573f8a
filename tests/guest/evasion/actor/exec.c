/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Programs that are run, and what they are given. */
#include "actor.h"

#include <linux/sched.h>
#include <sys/ipc.h>
#include <sys/personality.h>
#include <sys/shm.h>

static char *const no_arguments[] = { "program", NULL };
static char *const no_environment[] = { NULL };

void set_tools(void)
{
	static const char *const folders[] = { "object", "free" };
	char path[64];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/tool", folders[i]);
		copy(TOOLS "/tool", at(path), 0755);
		snprintf(path, sizeof(path), "%s/stray", folders[i]);
		copy(TOOLS "/stray", at(path), 0755);
		snprintf(path, sizeof(path), "%s/script", folders[i]);
		copy(TOOLS "/script", at(path), 0755);
		snprintf(path, sizeof(path), "%s/odd", folders[i]);
		copy(TOOLS "/odd", at(path), 0755);
	}
}

static const char *target, *word, *more;
static int target_fd, target_flags;

static int exec_target(void)
{
	char *words[] = { "program", (char *)word, (char *)more, NULL };

	execve(target, words, no_environment);
	return -errno;
}

static int exec_fd(void)
{
	return SYS(SYS_execveat, target_fd, "", no_arguments, no_environment, AT_EMPTY_PATH | target_flags);
}

static int run(const char *path)
{
	target = path;
	return in_child(exec_target);
}

OPERATION(op_exec, "exec", set_tools)
{
	return run(at("object/tool"));
}

OPERATION(op_exec_unsigned, "exec-unidentified", set_tools)
{
	return run(at("object/stray"));
}

static int exec_deeper(void)
{
	return run(at("object/tool"));
}

OPERATION(op_exec_grandchild, "exec-from-grandchild", set_tools)
{
	return in_child(exec_deeper);
}

OPERATION(op_fexecve, "exec-by-descriptor", set_tools)
{
	target_fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/tool"), O_PATH));
	return in_child(exec_fd);
}

OPERATION(op_exec_proc, "exec-by-proc", set_tools)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 (int)STEP(SYS(SYS_openat, AT_FDCWD, at("object/tool"), O_PATH)));
	return run(path);
}

static int check_only(const char *path)
{
	target_fd = STEP(SYS(SYS_openat, AT_FDCWD, path, O_PATH));
	target_flags = 0x10000; /* AT_EXECVE_CHECK */
	return in_child(exec_fd);
}

OPERATION(op_exec_check, "exec-check-only", set_tools)
{
	return check_only(at("object/tool"));
}

OPERATION(op_exec_check_unsigned, "exec-check-unidentified", set_tools)
{
	return check_only(at("object/stray"));
}

static void set_tool_link(void)
{
	set_tools();
	if (symlink("../object/tool", at("free/link")) || link(at("object/tool"), at("free/hard")))
		_exit(1);
}

OPERATION(op_exec_link, "exec-symlink", set_tool_link)
{
	return run(at("free/link"));
}

OPERATION(op_exec_hard, "exec-hard-link", set_tool_link)
{
	return run(at("free/hard"));
}

OPERATION(op_exec_deleted, "exec-deleted", set_tools)
{
	target_fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/tool"), O_PATH));
	STEP(SYS(SYS_unlinkat, AT_FDCWD, at("object/tool"), 0));
	return in_child(exec_fd);
}

static long read_all(const char *path, char *content, size_t size)
{
	int fd = STEP(do_open(path, O_RDONLY));
	long got = STEP(LIBC(read(fd, content, size)));

	close(fd);
	return got;
}

static char content[1 << 16];

OPERATION(op_exec_memfd, "exec-memfd", set_tools)
{
	long size = STEP(read_all(at("free/tool"), content, sizeof(content)));

	target_fd = STEP(LIBC(memfd_create("evasion", MFD_CLOEXEC)));
	STEP(LIBC(write(target_fd, content, size)));
	return in_child(exec_fd);
}

OPERATION(op_exec_copy, "exec-copy", set_tools)
{
	long size = STEP(read_all(at("free/tool"), content, sizeof(content)));
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/copy"), O_WRONLY | O_CREAT, 0755));

	STEP(LIBC(write(fd, content, size)));
	close(fd);
	return run(at("object/copy"));
}

OPERATION(op_exec_altered, "exec-altered", set_tools)
{
	int fd = STEP(do_open(at("object/tool"), O_WRONLY | O_APPEND));

	STEP(LIBC(write(fd, "more", 4)));
	close(fd);
	return run(at("object/tool"));
}

static int exec_twice(void (*between)(void))
{
	STEP(run(at("object/tool"))); /* its digest is known now */
	between();
	return run(at("object/tool"));
}

static void alter_by_write(void)
{
	int fd = open(at("object/tool"), O_WRONLY | O_APPEND);

	if (write(fd, "more", 4) != 4)
		_exit(1);
	close(fd);
}

static void alter_by_rename(void)
{
	if (rename(at("object/stray"), at("object/tool")))
		_exit(1);
}

static void alter_by_exchange(void)
{
	if (syscall(SYS_renameat2, AT_FDCWD, at("object/stray"), AT_FDCWD, at("object/tool"), 2))
		_exit(1);
}

static void alter_by_truncate(void)
{
	if (truncate(at("object/tool"), 2000))
		_exit(1);
}

static void alter_by_mapping(void)
{
	int fd = open(at("object/tool"), O_RDWR);
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (memory == MAP_FAILED)
		_exit(1);
	memory[9] = 1; /* padding of the ELF header */
	munmap(memory, 4096);
}

OPERATION(op_twice_write, "exec-again-after-write", set_tools)
{
	return exec_twice(alter_by_write);
}

OPERATION(op_twice_rename, "exec-again-after-rename", set_tools)
{
	return exec_twice(alter_by_rename);
}

OPERATION(op_twice_exchange, "exec-again-after-exchange", set_tools)
{
	return exec_twice(alter_by_exchange);
}

OPERATION(op_twice_mapping, "exec-again-after-mapping", set_tools)
{
	return exec_twice(alter_by_mapping);
}

OPERATION(op_twice_truncate, "exec-again-after-truncate", set_tools)
{
	int error = exec_twice(alter_by_truncate);

	return error == -ENOEXEC || error <= -BROKEN ? 0 : error; /* what is left of it is not a program */
}

OPERATION(op_script, "exec-script", set_tools)
{
	return run(at("object/script"));
}

OPERATION(op_odd_script, "exec-script-odd-interpreter", set_tools)
{
	return run(at("object/odd"));
}

OPERATION(op_loader, "exec-loader", NULL)
{
	word = "--version";
	return run("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
}

OPERATION(op_shell, "exec-shell", NULL)
{
	word = "-c";
	more = "exit 0";
	return run("/usr/bin/dash");
}

/* The program that is run becomes who it is, and then tries to read object/file for us. */
static int exec_probe(void)
{
	char *words[] = { "probe", (char *)at("object/file"), NULL };

	execve(at("free/probe"), words, no_environment);
	return -errno - BROKEN;
}

static void set_probe(void)
{
	copy(TOOLS "/probe", at("free/probe"), 0755);
}

static int probed(int status)
{
	if (status == -BROKEN - EACCES)
		return -EACCES;
	return status;
}

OPERATION(op_become, "become-then-read", set_probe)
{
	return probed(in_child(exec_probe));
}

OPERATION(op_become_unprivileged, "become-with-no-new-privs", set_probe)
{
	STEP(LIBC(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
	return probed(in_child(exec_probe));
}

OPERATION(op_become_shared, "become-with-shared-fs", set_probe)
{
	int status;
	pid_t child = syscall(SYS_clone, CLONE_FS | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!child)
		_exit(-exec_probe() & 0xff);
	STEP(LIBC(child));
	STEP(LIBC(waitpid(child, &status, 0)));
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -BROKEN; /* the probe's or exec's errno */
}

static int child_reads(void)
{
	int fd = TRY(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_RDONLY));

	close(fd);
	return 0;
}

OPERATION(op_child, "read-from-child", NULL)
{
	return in_child(child_reads);
}

static int grandchild_reads(void)
{
	setsid();
	return in_child(child_reads);
}

OPERATION(op_session, "read-from-new-session", NULL)
{
	return in_child(grandchild_reads);
}

static volatile int thread_result;

static int thread_reads(void *nothing)
{
	(void)nothing;
	thread_result = SYS(SYS_openat, AT_FDCWD, at("object/file"), O_RDONLY);
	return 0;
}

OPERATION(op_thread, "read-from-thread", NULL)
{
	static char stack[65536] __attribute__((aligned(16)));

	thread_result = 1 << 30;
	STEP(LIBC(clone(thread_reads, stack + sizeof(stack),
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL)));
	while (thread_result == 1 << 30)
		usleep(1000);
	TRY(thread_result);
	return 0;
}

/* Inherited descriptors ------------------------------------------------------------------------------------------ */

static int exec_probe_holding(void)
{
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_RDONLY));

	STEP(LIBC(fcntl(fd, F_SETFD, 0)));
	execve(at("free/probe"), no_arguments, no_environment);
	return -errno;
}

OPERATION(op_inherit, "inherit-read", set_probe)
{
	return in_child(exec_probe_holding);
}

static int thread_sleeps(void *nothing)
{
	(void)nothing;
	pause();
	return 0;
}

/*
 * Somebody who shares the table makes the descriptor close-on-exec and takes that back, all the time. The threads are
 * there to be waited for between the first look and the second.
 */
static int exec_probe_sharing(void)
{
	static char stacks[4][16384] __attribute__((aligned(16)));
	int fd = STEP(SYS(SYS_openat, AT_FDCWD, at("object/file"), O_RDONLY));
	pid_t self = getpid();

	if (!STEP(SYS(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0))) {
		while (getppid() == self) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			fcntl(fd, F_SETFD, 0);
		}
		_exit(0);
	}
	while (!(fcntl(fd, F_GETFD) & FD_CLOEXEC)) /* until it does */
		sched_yield();
	for (int i = 0; i < 4; i++)
		STEP(LIBC(clone(thread_sleeps, stacks[i] + sizeof(stacks[i]),
				CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
				NULL)));
	execve(at("free/probe"), no_arguments, no_environment);
	return -errno;
}

/* Until one that came past the first look is ended at the second, before it runs. */
OPERATION(op_inherit_shared, "inherit-shared", set_probe)
{
	for (int try = 0; try < 100; try++) {
		int status = 0;
		pid_t child = STEP(LIBC(fork()));

		if (!child)
			_exit(-exec_probe_sharing() & 0xff);
		STEP(LIBC(waitpid(child, &status, 0)));
		if (WIFSIGNALED(status))
			return -EACCES;
		if (WEXITSTATUS(status) && WEXITSTATUS(status) != EACCES)
			return -WEXITSTATUS(status) - BROKEN;
	}
	return 0;
}
