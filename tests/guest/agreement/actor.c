/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Does the system calls that it is told to, as whoever its digest says.
 *
 *   actor COPY...     the lead: starts every copy as an actor and plays rounds; it is actor 0, the copies 1, 2, ...
 *   actor             one of them
 *
 * A round is a file of steps (script.py writes it): a step is a system call of one actor, with arguments that are
 * numbers, places in the round's memory or results of earlier steps. All actors map that memory at the same address.
 * Strictly one step after the other; the answers say what the call returned, when, and in which process.
 *
 * The lead reads names of round files from its standard input, writes the answers to NAME.answers, and says `done`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLACE ((void *)0x600000000000)
#define SIZE (64 << 20)
#define MEMORY 200 /* descriptors of an actor: the memory, its orders, where it reports */
#define ORDERS 201
#define REPORT 202
#define MAX_ACTORS 32
#define PATIENCE 30000

enum { NUMBER, POINTER, RESULT };
enum { FORKED = 1, UNLESS = 2 };

/* Calls of ours, beside the kernel's. */
enum {
	EXEC = -1, /* execve in a child: its errno, or its exit status (-1000 - signal) */
	POKE = -2, /* store eight bytes */
	FORMAT = -3, /* snprintf(place, 256, format, number) */
	EXECAT = -4, /* execveat in a child */
	PEEK = -5, /* load four bytes */
	FILL = -6, /* memset(place, byte, size) */
};

struct step {
	int64_t call;
	uint64_t argument[6];
	uint8_t kind[6];
	uint8_t actor;
	uint8_t flags;
	int32_t only_if; /* only if that step succeeded (UNLESS: failed); -1: always */
	uint32_t reserved;
};

struct answer {
	int64_t result;
	uint64_t begin, end; /* CLOCK_BOOTTIME */
	uint32_t pid;
	uint32_t done;
};

struct round {
	uint32_t magic, steps, memory, reserved;
};

struct order {
	uint32_t first, end;
};

static struct actor {
	pid_t pid;
	int orders, report;
} actors[MAX_ACTORS];

static struct round *played = PLACE;
static struct step *steps;
static struct answer *answers;
static char *memory;

static void fail(const char *what)
{
	fprintf(stderr, "actor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void lay_out(void)
{
	steps = (void *)(played + 1);
	answers = (void *)(steps + played->steps);
	memory = (void *)(answers + played->steps);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int64_t perform_exec(struct answer *answer, int64_t call, const uint64_t *argument)
{
	static char *const nothing[] = { NULL };
	char *const program[] = { "program", NULL };
	int status;
	pid_t child;

	answer->result = 1;
	child = fork();
	if (!child) {
		if (call == EXEC)
			execve((char *)argument[0], argument[1] ? (char **)argument[1] : program, nothing);
		else
			syscall(SYS_execveat, argument[0], argument[1], program, nothing, argument[2]);
		answer->result = -errno;
		_exit(0);
	}
	answer->pid = child;
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -errno;
	if (answer->result < 0)
		return answer->result;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1000 - WTERMSIG(status);
}

static int64_t perform(struct answer *answer, int64_t call, const uint64_t *a)
{
	switch (call) {
	case EXEC:
	case EXECAT:
		return perform_exec(answer, call, a);
	case POKE:
		*(uint64_t *)a[0] = a[1];
		return 0;
	case PEEK:
		return *(uint32_t *)a[0];
	case FORMAT:
		return snprintf((char *)a[0], 256, (char *)a[1], (int)a[2]);
	case FILL:
		memset((char *)a[0], a[1], a[2]);
		return 0;
	}
	call = syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
	return call == -1 ? -errno : call;
}

static void play_one(uint32_t at)
{
	struct step *step = &steps[at];
	struct answer *answer = &answers[at];
	uint64_t argument[6];

	if (step->only_if >= 0) {
		struct answer *before = &answers[step->only_if];
		int failed = !before->done || before->result < 0;

		if (failed != !!(step->flags & UNLESS))
			return;
	}
	for (int i = 0; i < 6; i++) {
		argument[i] = step->argument[i];
		if (step->kind[i] == POINTER)
			argument[i] += (uint64_t)memory;
		else if (step->kind[i] == RESULT)
			argument[i] = answers[argument[i]].result;
	}
	answer->pid = getpid();
	answer->begin = now();
	answer->result = perform(answer, step->call, argument);
	answer->end = now();
	answer->done = 1;
}

static void play(struct order order)
{
	int forked = steps[order.first].flags & FORKED;
	pid_t child = 0;

	if (forked) {
		child = fork();
		if (child < 0)
			fail("fork");
		if (child) {
			waitpid(child, NULL, 0);
			return;
		}
	}
	for (uint32_t at = order.first; at < order.end; at++)
		play_one(at);
	if (forked)
		_exit(0);
}

static void map_memory(int fd)
{
	if (mmap(PLACE, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != PLACE)
		fail("mmap");
}

static int act(void)
{
	struct order order;

	for (int fd = MEMORY; fd <= REPORT; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	map_memory(MEMORY);
	while (read(ORDERS, &order, sizeof(order)) == sizeof(order)) {
		lay_out();
		play(order);
		if (write(REPORT, "", 1) != 1)
			break;
	}
	return 0;
}

static void hire(struct actor *actor, const char *program, int fd)
{
	int orders[2], report[2];

	if (pipe2(orders, O_CLOEXEC) || pipe2(report, O_CLOEXEC))
		fail("pipe");
	actor->pid = fork();
	if (!actor->pid) {
		dup2(fd, MEMORY);
		dup2(orders[0], ORDERS);
		dup2(report[1], REPORT);
		execl(program, program, NULL);
		fail(program);
	}
	close(orders[0]);
	close(report[1]);
	actor->orders = orders[1];
	actor->report = report[0];
}

static void direct(uint32_t who, struct order order)
{
	struct pollfd reply = { .fd = actors[who].report, .events = POLLIN };
	char byte;

	if (!who) {
		play(order);
		return;
	}
	if (write(actors[who].orders, &order, sizeof(order)) != sizeof(order))
		fail("an actor is gone");
	if (poll(&reply, 1, PATIENCE) != 1 || read(reply.fd, &byte, 1) != 1) {
		uint32_t at = order.first;

		while (at + 1 < order.end && answers[at].done)
			at++;
		fprintf(stderr, "actor %u is stuck or gone at step %u, call %ld\n", who, at, (long)steps[at].call);
		_exit(2);
	}
}

static void load(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	size_t have = 0, want;
	ssize_t got;

	if (fd < 0)
		fail(name);
	if (read(fd, played, sizeof(*played)) != sizeof(*played) || played->magic != 0x444e5552)
		fail("not a round");
	lay_out();
	want = (char *)answers - (char *)steps;
	if (memory + played->memory > (char *)PLACE + SIZE)
		fail("the round is too large");
	for (have = 0; have < want && (got = read(fd, (char *)steps + have, want - have)) > 0; have += got)
		;
	memset(answers, 0, memory - (char *)answers);
	for (have = 0; have < played->memory && (got = read(fd, memory + have, played->memory - have)) > 0; have += got)
		;
	close(fd);
}

static void save(const char *name)
{
	size_t size = memory - (char *)answers + played->memory, done = 0;
	char path[4096 + 8];
	ssize_t wrote;
	int fd;

	snprintf(path, sizeof(path), "%s.answers", name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		fail(path);
	for (; done < size && (wrote = write(fd, (char *)answers + done, size - done)) > 0; done += wrote)
		;
	close(fd);
}

/* Whether a step is part of the order that began with `first`. */
static int goes_with(const struct step *first, const struct step *step)
{
	return step->actor == first->actor && !((step->flags | first->flags) & FORKED);
}

int main(int count, char **arguments)
{
	char name[4096];
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (count < 2)
		return act();
	fd = memfd_create("round", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, SIZE))
		fail("memfd");
	map_memory(fd);
	if (count > MAX_ACTORS)
		fail("too many actors");
	for (int who = 1; who < count; who++)
		hire(&actors[who], arguments[who], fd);
	puts("ready");
	fflush(stdout);
	while (fgets(name, sizeof(name), stdin)) {
		name[strcspn(name, "\n")] = 0;
		load(name);
		for (uint32_t at = 0; at < played->steps;) {
			struct order order = { .first = at };
			struct step *first = &steps[at];

			for (; at < played->steps && at - order.first < 4096; at++)
				if (at > order.first && !goes_with(first, &steps[at]))
					break;
			order.end = at;
			direct(first->actor, order);
		}
		save(name);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
