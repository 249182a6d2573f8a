/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payments-api: the business service of the demo. It answers HTTP on a port of the loopback (nginx stands in front),
 * keeps its orders in redis, reads /etc/payments/api.conf, and writes a log that it turns over when it is large.
 *
 *   GET  /healthz         is redis there?
 *   POST /order           one more order, of 42
 *   GET  /balance         what the orders come to
 *   POST /debug/syscall   left in the release by mistake: see debug.h
 *
 * It runs as root: the worst case. What it may do is then only what its policy says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "debug.h"

#define REQUEST_MAX (512 << 10)
#define REPLY_MAX (64 << 10)

struct request {
	char method[8];
	char path[128];
	char *body;
	size_t room; /* of the reply */
};

static struct {
	struct sockaddr_in listen;
	struct sockaddr_in redis;
	char log[192];
	long log_bytes;
} settings;

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;

static void fail(const char *what)
{
	fprintf(stderr, "payments-api: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int read_address(const char *text, struct sockaddr_in *address)
{
	char host[64];
	unsigned short port;

	if (sscanf(text, "%63[0-9.]:%hu", host, &port) != 2 || inet_pton(AF_INET, host, &address->sin_addr) != 1)
		return -1;
	address->sin_family = AF_INET;
	address->sin_port = htons(port);
	return 0;
}

static void read_settings(const char *path)
{
	char line[256], value[192];
	FILE *file = fopen(path, "re");

	if (!file)
		fail(path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "listen = %191s", value) == 1 && !read_address(value, &settings.listen))
			continue;
		if (sscanf(line, "redis = %191s", value) == 1 && !read_address(value, &settings.redis))
			continue;
		if (sscanf(line, "log = %191s", settings.log) == 1 ||
		    sscanf(line, "log_bytes = %ld", &settings.log_bytes) == 1 || *line == '#' || *line == '\n')
			continue;
		fprintf(stderr, "payments-api: %s: not understood: %s", path, line);
		exit(1);
	}
	fclose(file);
}

/* The log: opened for adding only; a full one is renamed to PATH with a time before its end. */

static void open_log(void)
{
	log_file = open(settings.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log_file < 0)
		fail(settings.log);
}

static void turn_log_over(void)
{
	char old[256];
	size_t stem = strlen(settings.log) - strlen(".log");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(old, sizeof(old), "%.*s-%lld.%09ld.log", (int)stem, settings.log, (long long)now.tv_sec, now.tv_nsec);
	if (rename(settings.log, old))
		fail(old);
	close(log_file);
	open_log();
}

static void write_log(const struct request *request, int status)
{
	char line[256];
	struct stat state;
	time_t now = time(NULL);
	struct tm moment;
	int size;

	gmtime_r(&now, &moment);
	size = strftime(line, sizeof(line), "%FT%TZ ", &moment);
	size += snprintf(line + size, sizeof(line) - size, "%s %s %d\n", request->method, request->path, status);
	pthread_mutex_lock(&log_lock);
	if (!fstat(log_file, &state) && state.st_size > settings.log_bytes)
		turn_log_over();
	if (write(log_file, line, size) != size)
		fail(settings.log);
	pthread_mutex_unlock(&log_lock);
}

/* One command for redis, its answer as a number. */
static int ask_redis(const char *command, long long *number)
{
	char answer[128] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), done = -1;
	size_t size = strlen(command), got = 0;

	if (fd < 0)
		return -1;
	if (connect(fd, (void *)&settings.redis, sizeof(settings.redis)) || write(fd, command, size) != (ssize_t)size)
		goto out;
	while (!strstr(answer, "\r\n")) {
		ssize_t more = read(fd, answer + got, sizeof(answer) - 1 - got);

		if (more <= 0)
			goto out;
		got += more;
	}
	if (*answer == '$' && strtol(answer + 1, NULL, 10) > 0) /* a string: its length, then itself, in one segment */
		*number = atoll(strstr(answer, "\r\n") + 2);
	else if (*answer == ':')
		*number = atoll(answer + 1);
	else
		*number = 0;
	done = *answer == '-' ? -1 : 0;
out:
	close(fd);
	return done;
}

static int serve(const struct request *request, char *reply)
{
	long long number, balance;

	if (!strcmp(request->path, "/healthz")) {
		if (ask_redis("PING\r\n", &number))
			return 503;
		strcpy(reply, "{\"healthy\": true}\n");
		return 200;
	}
	if (!strcmp(request->path, "/order") && !strcmp(request->method, "POST")) {
		if (ask_redis("INCR orders\r\n", &number) || ask_redis("INCRBY balance 42\r\n", &balance))
			return 503;
		sprintf(reply, "{\"order\": %lld, \"balance\": %lld}\n", number, balance);
		return 200;
	}
	if (!strcmp(request->path, "/balance")) {
		if (ask_redis("GET balance\r\n", &balance))
			return 503;
		sprintf(reply, "{\"balance\": %lld}\n", balance);
		return 200;
	}
	if (!strcmp(request->path, "/debug/syscall") && !strcmp(request->method, "POST"))
		return debug_calls(request->body, reply, request->room) ? 400 : 200;
	return 404;
}

/* The head and the whole body of a request; NULL if it is none. */
static char *read_request(int fd, char *text)
{
	size_t got = 0, want = 0;
	char *body = NULL, *length;

	while (!body || got < want) {
		ssize_t more = read(fd, text + got, REQUEST_MAX - 1 - got);

		if (more <= 0)
			return NULL;
		got += more;
		text[got] = 0;
		if (body || !(body = strstr(text, "\r\n\r\n")))
			continue;
		body += 4;
		length = strcasestr(text, "\r\nContent-Length:");
		want = body - text + (length && length < body ? strtoul(length + 17, NULL, 10) : 0);
		if (want >= REQUEST_MAX)
			return NULL;
	}
	return body;
}

static void *handle(void *argument)
{
	int fd = (int)(long)argument, status, size;
	char *text = calloc(1, REQUEST_MAX), *reply = calloc(1, REPLY_MAX), head[160];
	struct request request = { .room = REPLY_MAX };

	if (text && reply && (request.body = read_request(fd, text)) &&
	    sscanf(text, "%7s %127s", request.method, request.path) == 2) {
		status = serve(&request, reply);
		write_log(&request, status);
		size = sprintf(head, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
			       status == 200 ? "OK" : "Failed", strlen(reply));
		if (send(fd, head, size, MSG_NOSIGNAL | MSG_MORE) < 0 ||
		    send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
			fprintf(stderr, "payments-api: the client is gone: %s\n", strerror(errno));
	}
	close(fd);
	free(text);
	free(reply);
	return NULL;
}

int main(int count, char **arguments)
{
	int fd, client, yes = 1;
	pthread_attr_t detached;
	pthread_t thread;

	settings.log_bytes = 1 << 20;
	read_settings(count > 1 ? arguments[1] : "/etc/payments/api.conf");
	open_log();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (void *)&settings.listen, sizeof(settings.listen)) || listen(fd, 128))
		fail("listen");
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED || errno == EINTR)
		if (client >= 0 && pthread_create(&thread, &detached, handle, (void *)(long)client))
			close(client);
	fail("accept");
}
