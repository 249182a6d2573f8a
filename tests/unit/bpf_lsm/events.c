/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Makes events of one kind, exactly as many as asked, for the tests of the watch: events KIND COUNT FOLDER
 * What has to be made ready comes first and ends with a line on standard output; then it waits for a byte.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char name[256], other[256];
static const char *folder;

static void check(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static void ready(void)
{
	char byte;

	if (write(1, "ready\n", 6) != 6 || read(0, &byte, 1) != 1)
		exit(1);
}

static const char *file(int i)
{
	snprintf(name, sizeof(name), "%s/file-%d", folder, i);
	return name;
}

static const char *second(int i)
{
	snprintf(other, sizeof(other), "%s/other-%d", folder, i);
	return other;
}

static void make_files(int count)
{
	for (int i = 0; i < count; i++) {
		int fd = open(file(i), O_CREAT | O_WRONLY, 0644);

		check(fd, "open");
		close(fd);
	}
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(0x7f000001) };
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(fd, "socket");
	return fd;
}

static void *idle(void *nothing)
{
	return nothing;
}

/* A child that is there, asleep, until we end. Who waits for the end of what we print would wait for it too. */
static pid_t sleeper(int flags)
{
	pid_t child;
	int ends[2];
	char none;

	if (flags)
		check(unshare(flags), "unshare");
	check(pipe(ends), "pipe");
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* from the kernel: no event */
		close(ends[0]);
		close(ends[1]);
		for (;;)
			pause();
	}
	check(child, "fork");
	close(ends[1]);
	check(read(ends[0], &none, 1), "read"); /* ends as the child closes it: it dies with us from then on */
	close(ends[0]);
	return child;
}

/* One request through a ring of its own; what it gave. */
static int through_uring(struct io_uring_sqe request)
{
	struct io_uring_params params = {};
	int fd = syscall(SYS_io_uring_setup, 1, &params), result;
	char *queue, *answers;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *answer;

	check(fd, "io_uring_setup");
	queue = mmap(NULL, params.sq_off.array + 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	entries = mmap(NULL, sizeof(request), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	answers = mmap(NULL, params.cq_off.cqes + 2 * sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       IORING_OFF_CQ_RING);
	entries[0] = request;
	*(unsigned *)(queue + params.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(queue + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	check(syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), "io_uring_enter");
	answer = (void *)(answers + params.cq_off.cqes);
	result = answer->res;
	munmap(queue, params.sq_off.array + 4);
	munmap(entries, sizeof(request));
	munmap(answers, params.cq_off.cqes + 2 * sizeof(*answer));
	close(fd);
	return result;
}

int main(int argc, char **argv)
{
	const char *kind = argv[1];
	struct sockaddr_in address = loopback(9);
	socklen_t size = sizeof(address);
	int count, fd = -1, listener;
	pid_t child;

	if (argc == 2) /* executed by "exec" */
		return 0;
	count = atoi(argv[2]);
	folder = argv[3];
#define KIND(word) if (!strcmp(kind, word))
#define TIMES for (int i = 0; i < count; i++)
	KIND("exec")
	{
		ready();
		TIMES
		{
			child = vfork();
			if (!child) {
				execl("/proc/self/exe", argv[0], "again", NULL);
				_exit(1);
			}
			waitpid(child, NULL, 0);
		}
	}
	KIND("exec-failed")
	{
		ready();
		TIMES execl("/nowhere/at/all", "all", NULL);
	}
	KIND("fork")
	{
		ready();
		TIMES
		{
			child = fork();
			if (!child)
				_exit(3);
			waitpid(child, NULL, 0);
		}
	}
	KIND("fork-user")
	{
		ready();
		TIMES
		{
			child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
			if (!child)
				_exit(3);
			check(child, "clone");
			waitpid(child, NULL, 0);
		}
	}
	KIND("thread")
	{
		ready();
		TIMES
		{
			pthread_t thread;

			check(-pthread_create(&thread, NULL, idle, NULL), "pthread_create");
			pthread_join(thread, NULL);
		}
	}
	KIND("credentials")
	{
		ready();
		TIMES check(syscall(SYS_setresuid, -1, i % 2 ? 0 : 1234, -1), "setresuid");
	}
	KIND("login")
	{
		ready();
		TIMES
		{
			fd = open("/proc/self/loginuid", O_WRONLY);
			check(fd, "open");
			snprintf(name, sizeof(name), "%d", 1000 + i);
			check(write(fd, name, strlen(name)), "loginuid");
			close(fd);
		}
	}
	KIND("file-create")
	{
		ready();
		TIMES close(open(file(i), O_CREAT | O_RDONLY, 0640));
	}
	KIND("mkdir")
	{
		ready();
		TIMES check(mkdir(file(i), 0700), "mkdir");
	}
	KIND("mknod")
	{
		ready();
		TIMES check(mknod(file(i), S_IFIFO | 0600, 0), "mknod");
	}
	KIND("mknod-plain")
	{
		ready();
		TIMES check(mknod(file(i), S_IFREG | 0600, 0), "mknod");
	}
	KIND("file-write")
	{
		make_files(1);
		ready();
		TIMES close(open(file(0), O_WRONLY | O_TRUNC));
	}
	KIND("file-write-failed")
	{
		ready();
		TIMES open("/nowhere/at/all", O_WRONLY);
	}
	KIND("file-open")
	{
		make_files(1);
		ready();
		TIMES close(open(file(0), O_RDONLY));
	}
	KIND("file-delete")
	{
		make_files(count);
		ready();
		TIMES check(unlink(file(i)), "unlink");
	}
	KIND("rmdir")
	{
		TIMES check(mkdir(file(i), 0700), "mkdir");
		ready();
		TIMES check(rmdir(file(i)), "rmdir");
	}
	KIND("file-rename")
	{
		make_files(count);
		ready();
		TIMES check(rename(file(i), second(i)), "rename");
	}
	KIND("file-link")
	{
		make_files(1);
		ready();
		TIMES check(link(file(0), second(i)), "link");
	}
	KIND("symlink")
	{
		ready();
		TIMES check(symlink("a/target", second(i)), "symlink");
	}
	KIND("file-chmod")
	{
		make_files(1);
		ready();
		TIMES check(chmod(file(0), 0600 + i % 8), "chmod");
	}
	KIND("fchmod")
	{
		make_files(1);
		fd = open(file(0), O_RDONLY);
		ready();
		TIMES check(fchmod(fd, 0600 + i % 8), "fchmod");
	}
	KIND("memfd")
	{
		ready();
		TIMES close(memfd_create("a-name", MFD_CLOEXEC));
	}
	KIND("uring-delete")
	{
		make_files(count);
		ready();
		TIMES check(through_uring((struct io_uring_sqe){
				    .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (unsigned long)file(i) }),
			    "unlinkat");
	}
	KIND("uring-write")
	{
		make_files(1);
		ready();
		TIMES close(through_uring((struct io_uring_sqe){ .opcode = IORING_OP_OPENAT,
								 .fd = AT_FDCWD,
								 .addr = (unsigned long)file(0),
								 .open_flags = O_WRONLY }));
	}
	KIND("uring-connect")
	{
		ready();
		TIMES
		{
			fd = tcp();
			through_uring((struct io_uring_sqe){
				.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (unsigned long)&address, .off = size });
			close(fd);
		}
	}
	KIND("connect")
	{
		ready();
		TIMES
		{
			fd = tcp();
			connect(fd, (struct sockaddr *)&address, size);
			close(fd);
		}
	}
	KIND("connect6")
	{
		struct sockaddr_in6 six = { .sin6_family = AF_INET6,
					    .sin6_port = htons(9),
					    .sin6_addr = IN6ADDR_LOOPBACK_INIT };

		ready();
		TIMES
		{
			fd = socket(AF_INET6, SOCK_STREAM, 0);
			check(fd, "socket");
			connect(fd, (struct sockaddr *)&six, sizeof(six));
			close(fd);
		}
	}
	KIND("connect-unix")
	{
		struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/nowhere/socket" };

		ready();
		TIMES
		{
			fd = socket(AF_UNIX, SOCK_STREAM, 0);
			connect(fd, (struct sockaddr *)&path, sizeof(path));
			close(fd);
		}
	}
	KIND("accept")
	{
		listener = tcp();
		address = loopback(0);
		check(bind(listener, (struct sockaddr *)&address, size), "bind");
		check(listen(listener, 8), "listen");
		check(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
		ready();
		TIMES
		{
			int accepted;

			fd = tcp();
			check(connect(fd, (struct sockaddr *)&address, size), "connect");
			accepted = accept(listener, NULL, NULL);
			check(accepted, "accept");
			close(accepted);
			close(fd);
		}
	}
	KIND("bind")
	{
		ready();
		TIMES
		{
			fd = tcp();
			address = loopback(0);
			check(bind(fd, (struct sockaddr *)&address, size), "bind");
			close(fd);
		}
	}
	KIND("listen")
	{
		fd = tcp();
		ready();
		TIMES check(listen(fd, 7), "listen");
	}
	KIND("sendto")
	{
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		ready();
		TIMES sendto(fd, "x", 1, 0, (struct sockaddr *)&address, size);
	}
	KIND("sendmsg")
	{
		struct iovec piece = { "x", 1 };
		struct msghdr message = {
			.msg_name = &address, .msg_namelen = size, .msg_iov = &piece, .msg_iovlen = 1
		};

		fd = socket(AF_INET, SOCK_DGRAM, 0);
		ready();
		TIMES sendmsg(fd, &message, 0);
	}
	KIND("send-connected")
	{ /* no event */
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		connect(fd, (struct sockaddr *)&address, size);
		ready();
		TIMES send(fd, "x", 1, 0);
	}
	KIND("raw-socket")
	{
		ready();
		TIMES
		{
			fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
			check(fd, "socket");
			close(fd);
		}
	}
	KIND("ptrace")
	{
		child = sleeper(0);
		ready();
		TIMES
		{
			check(ptrace(PTRACE_ATTACH, child, 0, 0), "ptrace");
			waitpid(child, NULL, 0);
			check(ptrace(PTRACE_DETACH, child, 0, 0), "ptrace");
		}
	}
	KIND("bpf")
	{
		union bpf_attr attributes = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER };

		ready();
		TIMES syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
	}
	KIND("kill")
	{
		child = sleeper(CLONE_NEWPID);
		ready();
		TIMES check(kill(child, SIGURG), "kill");
	}
	KIND("mount")
	{
		check(unshare(CLONE_NEWNS), "unshare");
		check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
		ready();
		TIMES
		{
			check(mount("none", folder, "tmpfs", MS_NOSUID, NULL), "mount");
			check(umount(folder), "umount");
		}
	}
	return 0;
}
