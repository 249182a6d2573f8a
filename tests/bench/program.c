/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is measured: one operation many times, in batches, each batch timed by the time stamp counter. Under -icount
 * that counter counts instructions.
 *
 *     program BATCHES UNITS ALLOWED DENIED allowed|denied OPERATION...
 *
 * First it proves under whom it runs: ALLOWED can be opened, DENIED can or cannot. Then it prints, for each operation,
 * its name, the iterations of a batch and what each batch took. UNITS is about what one batch should take.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "paths.h"

#define MAX_BATCHES 64
#define PAGE 4096
#define PORT 18080

static char page[PAGE];
static int file = -1, pipes[2], listener = -1, receiver = -1, sender = -1, unix_listener = -1;
static pid_t companion;
static struct sockaddr_in tcp_address, udp_address, bind_address;
static struct sockaddr_un unix_address;

static void fail(const char *what)
{
	fprintf(stderr, "program: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int must(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

static void open_close(const char *path)
{
	close(must(open(path, O_RDONLY | O_CLOEXEC), path));
}

static void open_3(void)
{
	open_close(DEPTH_3);
}

static void open_8(void)
{
	open_close(DEPTH_8);
}

static void open_15(void)
{
	open_close(DEPTH_15);
}

static void create_unlink(void)
{
	close(must(open(NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "create"));
	must(unlink(NEW_FILE), "unlink");
}

static void do_stat(void)
{
	struct stat status;

	must(stat(DEPTH_3, &status), "stat");
}

static void read_page(void)
{
	if (pread(file, page, PAGE, 0) != PAGE)
		fail("read");
}

static void fork_exec(void)
{
	static char *const arguments[] = { CHILD, NULL }, *const variables[] = { NULL };
	int status;
	pid_t child = must(fork(), "fork");

	if (!child) {
		execve(CHILD, arguments, variables);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || status)
		fail("the child did not do its work");
}

/* The end that connects resets: nothing stays behind in TIME_WAIT that the next connect would have to pass over. */
static void tcp_connect(void)
{
	static const struct linger reset = { .l_onoff = 1 };
	int client = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"), server;

	must(connect(client, (void *)&tcp_address, sizeof(tcp_address)), "connect");
	server = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	must(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "linger");
	close(client);
	close(server);
}

static void udp_sendto(void)
{
	if (sendto(sender, page, 64, 0, (void *)&udp_address, sizeof(udp_address)) != 64)
		fail("sendto");
	if (recv(receiver, page, PAGE, 0) != 64)
		fail("recv");
}

static void do_bind(void)
{
	int sock = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");

	must(bind(sock, (void *)&bind_address, sizeof(bind_address)), "bind");
	close(sock);
}

static void unix_connect(void)
{
	int client = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"), server;

	must(connect(client, (void *)&unix_address, sizeof(unix_address)), "connect to " UNIX_SOCKET);
	server = must(accept4(unix_listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	close(client);
	close(server);
}

static void do_kill(void)
{
	must(kill(companion, 0), "kill");
}

static void kill_self(void)
{
	static pid_t self;

	if (!self)
		self = getpid();
	must(kill(self, 0), "kill");
}

static void pipe_word(void)
{
	if (write(pipes[1], page, 8) != 8 || read(pipes[0], page, 8) != 8)
		fail("pipe");
}

static const struct operation {
	const char *name;
	void (*run)(void);
} operations[] = {
	{ "open-d3", open_3 },
	{ "open-d8", open_8 },
	{ "open-d15", open_15 },
	{ "create-unlink", create_unlink },
	{ "stat", do_stat },
	{ "read", read_page },
	{ "fork-exec", fork_exec },
	{ "tcp-connect", tcp_connect },
	{ "udp-sendto", udp_sendto },
	{ "bind", do_bind },
	{ "unix-connect", unix_connect },
	{ "kill", do_kill },
	{ "kill-self", kill_self },
	{ "pipe", pipe_word },
	{ 0 },
};

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void prepare(void)
{
	file = must(open(DEPTH_3, O_RDONLY | O_CLOEXEC), DEPTH_3);
	must(pipe2(pipes, O_CLOEXEC), "pipe");

	tcp_address = loopback(PORT);
	udp_address = loopback(PORT);
	bind_address = loopback(PORT + 1);
	listener = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	must(bind(listener, (void *)&tcp_address, sizeof(tcp_address)), "bind");
	must(listen(listener, 16), "listen");
	receiver = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	must(bind(receiver, (void *)&udp_address, sizeof(udp_address)), "bind");
	sender = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");

	unix_address.sun_family = AF_UNIX;
	strcpy(unix_address.sun_path, UNIX_SOCKET);
	unlink(UNIX_SOCKET);
	unix_listener = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	must(bind(unix_listener, (void *)&unix_address, sizeof(unix_address)), "bind " UNIX_SOCKET);
	must(listen(unix_listener, 16), "listen");

	companion = must(fork(), "fork");
	if (!companion) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static void prove(const char *allowed, const char *denied, const char *expected)
{
	int can_open = open(denied, O_RDONLY | O_CLOEXEC) >= 0;

	if (!can_open && errno != EACCES)
		fail(denied);
	if (can_open != !strcmp(expected, "allowed")) {
		fprintf(stderr, "program: %s was %s\n", denied, can_open ? "allowed" : "denied");
		exit(3);
	}
	open_close(allowed);
	printf("proof %s allowed %s %s\n", allowed, denied, can_open ? "allowed" : "denied");
}

/* A loop of a known number of instructions, two each; the least of some, as the timer may fall into it. */
static void check_counter(void)
{
	unsigned long long count, start, took, least = ~0ull;

	for (int round = 0; round < 8; round++) {
		count = 1000000;
		start = __rdtsc();
		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(count));
		took = __rdtsc() - start;
		if (took < least)
			least = took;
	}
	printf("counter %llu\n", least);
}

static void measure(const struct operation *operation, int batches, unsigned long long units)
{
	unsigned long long times[MAX_BATCHES], start, least = ~0ull, took;
	long iterations, done;

	/* Warm up, and so learn how many iterations a batch has: by the least, something else may run in between. */
	for (int round = 0; round < 64; round++) {
		start = __rdtsc();
		for (done = 0; done < 8; done++)
			operation->run();
		took = __rdtsc() - start;
		if (took < least)
			least = took;
	}
	iterations = 8 * units / least + 1;
	for (int batch = 0; batch < batches; batch++) {
		start = __rdtsc();
		for (done = 0; done < iterations; done++)
			operation->run();
		times[batch] = __rdtsc() - start;
	}
	printf("%s %ld", operation->name, iterations);
	for (int batch = 0; batch < batches; batch++)
		printf(" %llu", times[batch]);
	printf("\n");
}

int main(int argc, char **argv)
{
	const struct operation *operation;
	unsigned long long units;
	int batches;

	if (argc < 6)
		return 2;
	batches = atoi(argv[1]);
	units = strtoull(argv[2], NULL, 10);
	if (batches < 1 || batches > MAX_BATCHES)
		return 2;
	prove(argv[3], argv[4], argv[5]);
	check_counter();
	prepare();
	for (argv += 6; *argv; argv++) {
		for (operation = operations; operation->name && strcmp(operation->name, *argv); operation++)
			;
		if (!operation->name) {
			fprintf(stderr, "program: no operation %s\n", *argv);
			return 2;
		}
		measure(operation, batches, units);
	}
	kill(companion, SIGKILL);
	return 0;
}
