/* SPDX-License-Identifier: Apache-2.0 */
/* See debug.h. */
#include "debug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 32
#define CALLS 64

struct slot {
	void *data;
	size_t size;
	int out;
};

struct state {
	struct slot slots[SLOTS];
	int n_slots;
	long results[CALLS];
	int n_calls;
	char *reply;
	size_t room;
};

static void say(struct state *state, const char *word, int number, long result, int error)
{
	int size = snprintf(state->reply, state->room, "%s %d %ld %d\n", word, number, result, error);

	state->reply += size;
	state->room -= size;
}

static void say_bytes(struct state *state, const char *word, const unsigned char *data, size_t size)
{
	if (state->room < 2 * size + 64)
		size = 0;
	state->reply += sprintf(state->reply, "%s ", word);
	for (size_t i = 0; i < size; i++)
		state->reply += sprintf(state->reply, "%02x", data[i]);
	state->reply += sprintf(state->reply, "\n");
	state->room -= 2 * size + 64;
}

static long word_value(const struct state *state, const char *word)
{
	int number = atoi(word + 1);

	if (*word == 'b')
		return number < state->n_slots ? (long)state->slots[number].data : 0;
	if (*word == 'r')
		return number < state->n_calls ? state->results[number] : -1;
	return strtol(word, NULL, 0);
}

static int words(const struct state *state, char *text, long *values, int most)
{
	int count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(text, " ", &rest); word && count < most; word = strtok_r(NULL, " ", &rest))
		values[count++] = word_value(state, word);
	return count;
}

static int add_slot(struct state *state, char *line)
{
	struct slot *slot = &state->slots[state->n_slots];
	long values[16] = { 0 };
	char digits[3] = "";

	if (state->n_slots == SLOTS)
		return -1;
	if (!strncmp(line, "vec ", 4)) {
		slot->size = words(state, line + 4, values, 16) * sizeof(long);
		slot->data = calloc(1, sizeof(values));
		memcpy(slot->data, values, sizeof(values));
	} else if (!strncmp(line, "out ", 4)) {
		slot->size = strtoul(line + 4, NULL, 10);
		slot->data = calloc(1, slot->size + 1);
		slot->out = 1;
	} else {
		slot->size = strlen(line + 4) / 2;
		slot->data = calloc(1, slot->size + 1);
		for (size_t i = 0; slot->data && i < slot->size; i++) {
			memcpy(digits, line + 4 + 2 * i, 2);
			((unsigned char *)slot->data)[i] = strtoul(digits, NULL, 16);
		}
	}
	state->n_slots++;
	return slot->data ? 0 : -1;
}

/* The rest of the body, in this process. In a child what is said goes into the pipe `told`. */
static int run(struct state *state, char *rest, int told)
{
	for (char *line = strtok_r(NULL, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		long v[7] = { 0 };
		char *begin = state->reply;

		if (strncmp(line, "call ", 5))
			return -1;
		if (state->n_calls == CALLS || !words(state, line + 5, v, 7))
			return -1;
		state->results[state->n_calls] = syscall(v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
		say(state, "call", state->n_calls, state->results[state->n_calls],
		    state->results[state->n_calls] == -1 ? errno : 0);
		state->n_calls++;
		if (told >= 0 && write(told, begin, state->reply - begin) < 0)
			return -1;
	}
	return 0;
}

static size_t read_all(int fd, char *into, size_t room)
{
	size_t got = 0;
	ssize_t more;

	while (got < room && (more = read(fd, into + got, room - got)) > 0)
		got += more;
	close(fd);
	return got;
}

static int run_in_child(struct state *state, char *rest)
{
	int told[2], said[2];
	char output[4096];
	size_t size;
	pid_t child;

	if (pipe2(told, O_CLOEXEC) || pipe2(said, O_CLOEXEC))
		return -1;
	child = fork();
	if (!child) {
		dup2(said[1], STDOUT_FILENO);
		dup2(said[1], STDERR_FILENO);
		run(state, rest, told[1]);
		_exit(0);
	}
	close(told[1]);
	close(said[1]);
	size = read_all(told[0], state->reply, state->room);
	state->reply += size;
	state->room -= size;
	size = read_all(said[0], output, sizeof(output));
	say_bytes(state, "said", (unsigned char *)output, size);
	return waitpid(child, NULL, 0) == child ? 0 : -1;
}

int debug_calls(char *body, char *reply, size_t room)
{
	struct state state = { .reply = reply, .room = room };
	int error = 0, done = 0;
	char *rest = NULL, word[16];

	for (char *line = strtok_r(body, "\n", &rest); line && !error; line = strtok_r(NULL, "\n", &rest)) {
		done = !strcmp(line, "here") || !strcmp(line, "child");
		if (!done)
			error = add_slot(&state, line);
		else if (*line == 'h')
			error = run(&state, rest, -1);
		else
			error = run_in_child(&state, rest);
		if (done)
			break; /* run() has read the rest */
	}
	for (int i = 0; i < state.n_slots; i++) {
		if (state.slots[i].out) {
			sprintf(word, "out %d", i);
			say_bytes(&state, word, state.slots[i].data, state.slots[i].size);
		}
		free(state.slots[i].data);
	}
	*state.reply = 0;
	return error;
}
