/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The operations of the catalogue. Each is one function that does it on its case's own tree and returns 0 or a
 * negative errno; it is the same function for the allowed and the denied side, in every variant.
 *
 *   BASE/object/...   what the case is about
 *   BASE/free/...     what its subject may do everything with
 */
#ifndef ACTOR_H
#define ACTOR_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY 200 /* descriptors: the plan and the answers */
#define GIVER 201 /* the unconfined helper */
#define BROKEN 1000 /* added to the errno of a step that the case is not about */
#define PORT 4100 /* TCP, where the lead listens; the subjects may not address it */
#define FREE_PORT 4101 /* and where they may */

#define TOOLS "/opt/evasion"

struct operation {
	const char *name;
	int (*run)(void);
	void (*set)(void); /* done by the lead beforehand; may be NULL */
} __attribute__((aligned(32)));

#define OPERATION(function, text, prepare)                                                                             \
	static int function(void);                                                                                     \
	static const struct operation operation_##function                                                             \
		__attribute__((section("operations"), used)) = { text, function, prepare };                            \
	static int function(void)

extern const struct operation __start_operations[], __stop_operations[];

/* A path below BASE; one of a few buffers in turn. */
const char *at(const char *name);
extern const char *base;
extern pid_t helper; /* the giver: another process, of another subject */
extern int variant_is_ring;

/* Returns negative errno, as the kernel does. */
#define SYS(...)                                                                                                       \
	({                                                                                                             \
		long result_ = syscall(__VA_ARGS__);                                                                   \
		result_ == -1 ? -errno : result_;                                                                      \
	})
#define LIBC(call)                                                                                                     \
	({                                                                                                             \
		long result_ = (long)(call);                                                                           \
		result_ == -1 ? -errno : result_;                                                                      \
	})
/* The step that the case is about, and a step on the way there. */
#define TRY(call)                                                                                                      \
	({                                                                                                             \
		long tried_ = (call);                                                                                  \
		if (tried_ < 0)                                                                                        \
			return tried_;                                                                                 \
		tried_;                                                                                                \
	})
#define STEP(call)                                                                                                     \
	({                                                                                                             \
		long tried_ = (call);                                                                                  \
		if (tried_ < 0)                                                                                        \
			return tried_ - BROKEN;                                                                        \
		tried_;                                                                                                \
	})

/* Calls that io_uring has too: in its variant they go through a ring. */
/* Programs, identified and not, in "object" and in "free". */
void set_tools(void);
long do_openat(int folder, const char *path, int flags, int mode);
long do_renameat2(int from, const char *old, int to, const char *new, unsigned int flags);
long do_unlinkat(int folder, const char *path, int flags);
long do_mkdirat(int folder, const char *path, int mode);
long do_symlinkat(const char *target, int folder, const char *path);
long do_linkat(int from, const char *old, int to, const char *new, int flags);
long do_fallocate(int fd, int mode, off_t offset, off_t size);
long do_setxattr(const char *path, const char *name, const void *value, size_t size);
/* Through a ring only, with the credentials that the task had before it changed them. */
long do_setxattr_as_before(const char *path, const char *name, const void *value, size_t size);
long do_ftruncate(int fd, off_t size);
long do_write(int fd, const void *data, size_t size, int flags);
long do_splice(int from, int to, size_t size);
long do_connect(int fd, const void *address, socklen_t size);
long do_sendmsg(int fd, const struct msghdr *message, int flags);
long do_bind(int fd, const void *address, socklen_t size);
long do_listen(int fd, int backlog);

static inline long do_open(const char *path, int flags)
{
	return do_openat(AT_FDCWD, path, flags, 0644);
}

/* Runs it in a child that may be replaced by another program: 0 if that ended with 0, or a negative errno. */
int in_child(int (*what)(void));

/* Asks the unconfined helper: a command and a path; a descriptor or a negative errno. */
int ask(char command, const char *path);

void put(const char *path, const void *content, size_t size, int mode);
/* Mounts a tmpfs at free/mounted that can be moved. */
void mount_apart(void);
void copy(const char *from, const char *to, int mode);

/* Open, try, close. */
static inline int open_it(const char *path, int flags)
{
	int fd = TRY(do_open(path, flags));

	close(fd);
	return 0;
}

#endif
