/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Plays the cases of a plan, each as the subject and in the variant that it is for.
 *
 *   actor lead PLAN                        reads `group VARIANT PROGRAM RING VOLUME` and `case OPERATION BASE` lines,
 *                                          plays group after group, says `played` after each and waits for a line;
 *                                          leaves the answers in PLAN.answers
 *   actor play FIRST END RING HELPER       a subject: the cases from FIRST to END
 *
 * For each group a stage is set by an unconfined child: the trees, the mounts of the variant, and a helper that hands
 * out descriptors and is the target of signals and tracers. Then the child executes the subject's program.
 */
#include "actor.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/sendfile.h>

#define MAX_CASES 8192
#define PATIENCE 20 /* seconds a case */

struct entry {
	char operation[48];
	char base[144];
	int64_t result;
	uint64_t begin, end; /* CLOCK_BOOTTIME */
	uint32_t pid, done;
};

struct group {
	char variant[16], program[80];
	int ring, volume;
	int first, end;
};

const char *base = "";
pid_t helper;
int variant_is_ring;

static struct entry *entries;

static void fail(const char *what)
{
	fprintf(stderr, "actor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void must(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static uint64_t now(void)
{
	struct timespec time;

	syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

const char *at(const char *name)
{
	static char buffers[8][4096];
	static int next;
	char *buffer = buffers[next++ % 8];

	snprintf(buffer, sizeof(buffers[0]), "%s/%s", base, name);
	return buffer;
}

void put(const char *path, const void *content, size_t size, int mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, content, size) != (ssize_t)size || fchmod(fd, mode))
		fail(path);
	close(fd);
}

void copy(const char *from, const char *to, int mode)
{
	static char content[1 << 16];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, content, sizeof(content));

	if (size < 0 || size == sizeof(content))
		fail(from);
	close(fd);
	put(to, content, size, mode);
}

int in_child(int (*what)(void))
{
	int *result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), status;
	pid_t child;

	if (result == MAP_FAILED)
		return -errno - BROKEN;
	child = fork();
	if (!child) {
		*result = what();
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -errno - BROKEN;
	if (*result)
		return *result;
	return WIFEXITED(status) ? WEXITSTATUS(status) ? -BROKEN - WEXITSTATUS(status) : 0 : -BROKEN - WTERMSIG(status);
}

/* The helper ---------------------------------------------------------------------------------------------------- */

static int give(char command, const char *path)
{
	int fd, tree;

	switch (command) {
	case 'r':
		return open(path, O_RDONLY | O_CLOEXEC);
	case 'w':
		return open(path, O_RDWR | O_CLOEXEC);
	case 'p':
		return open(path, O_PATH | O_CLOEXEC);
	case 'u': /* a tree that is unmounted while somebody is in it */
		if (mount("evasion", path, "tmpfs", 0, NULL))
			return -1;
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		tree = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		close(tree);
		umount2(path, MNT_DETACH);
		return fd;
	case 't': /* a detached copy of a tree */
		return syscall(SYS_open_tree, AT_FDCWD, path, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
	}
	errno = EINVAL;
	return -1;
}

static void help(int line)
{
	char order[4200];
	ssize_t size;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((size = recv(line, order, sizeof(order) - 1, 0)) > 0) {
		union {
			char bytes[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control = {};
		int fd, error;
		struct iovec vector = { &error, sizeof(error) };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

		order[size] = 0;
		fd = give(order[0], order + 1);
		error = fd < 0 ? -errno : 0;
		if (fd >= 0) {
			message.msg_control = &control;
			message.msg_controllen = sizeof(control);
			control.align.cmsg_level = SOL_SOCKET;
			control.align.cmsg_type = SCM_RIGHTS;
			control.align.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		}
		sendmsg(line, &message, MSG_NOSIGNAL);
		if (fd >= 0)
			close(fd);
	}
	_exit(0);
}

int ask(char command, const char *path)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	int fd, error = 0;
	struct iovec vector = { &error, sizeof(error) };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	char order[4200];

	snprintf(order, sizeof(order), "%c%s", command, path);
	if (send(GIVER, order, strlen(order), MSG_NOSIGNAL) < 0 || recvmsg(GIVER, &message, MSG_CMSG_CLOEXEC) < 0)
		return -errno - BROKEN;
	if (error)
		return error - BROKEN;
	if (!CMSG_FIRSTHDR(&message)) /* what may not be held does not arrive */
		return message.msg_flags & MSG_CTRUNC ? -EACCES : -EBADMSG - BROKEN;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* The stage ----------------------------------------------------------------------------------------------------- */

static const struct operation *find(const char *name)
{
	for (const struct operation *one = __start_operations; one < __stop_operations; one++)
		if (!strcmp(one->name, name))
			return one;
	return NULL;
}

static void make_folders(const char *path)
{
	char name[256];

	snprintf(name, sizeof(name), "%s/", path);
	for (char *slash = name + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(name, 0755) && errno != EEXIST)
			fail(name);
		*slash = '/';
	}
}

static void set_case(struct entry *entry)
{
	static const char *const folders[] = { "object", "object/dir", "object/empty", "free", "free/dir" };
	static const char *const files[] = { "object/file", "object/other", "object/dir/file",
					     "free/file",   "free/other",   "free/dir/file" };
	const struct operation *operation = find(entry->operation);
	char content[512];

	if (!operation) {
		fprintf(stderr, "actor: no operation %s\n", entry->operation);
		_exit(1);
	}
	base = entry->base;
	make_folders(base);
	memset(content, 'x', sizeof(content));
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		must(mkdir(at(folders[i]), 0755), folders[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		put(at(files[i]), content, sizeof(content), 0644);
	if (operation->set)
		operation->set();
}

static void set_cases(const struct group *group)
{
	for (int i = group->first; i < group->end; i++)
		set_case(&entries[i]);
}

static void own_mounts(void)
{
	must(unshare(CLONE_NEWNS), "unshare");
	must(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
}

#define CONTAINER "/run/evasion/container"
#define TREES "/srv/e/container"

/* By ourselves: under the image of the cases nobody else may run a program. */
static void copy_tools(const char *to)
{
	char from[512], path[512];
	struct stat status;
	struct dirent *entry;
	DIR *folder = opendir(TOOLS);
	int in, out;

	while (folder && (entry = readdir(folder))) {
		snprintf(from, sizeof(from), "%s/%.100s", TOOLS, entry->d_name);
		snprintf(path, sizeof(path), "%s/%.100s", to, entry->d_name);
		if (stat(from, &status) || !S_ISREG(status.st_mode))
			continue;
		in = open(from, O_RDONLY | O_CLOEXEC);
		out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
		if (in < 0 || out < 0 || sendfile(out, in, NULL, status.st_size) != status.st_size)
			fail(path);
		close(in);
		close(out);
	}
	closedir(folder);
}

static void enter_container(const struct group *group)
{
	static const char *const folders[] = {
		"lower",     "upper",	  "work",      "root",	    "lower/proc",
		"lower/old", "lower/tmp", "lower/srv", "lower/opt", "lower/opt/evasion"
	};
	char path[512];
	int root;

	if (group->volume)
		set_cases(group);
	own_mounts();
	make_folders(CONTAINER);
	must(mount("evasion", CONTAINER, "tmpfs", 0, NULL), "tmpfs");
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, sizeof(path), CONTAINER "/%s", folders[i]);
		must(mkdir(path, 0755), path);
	}
	copy_tools(CONTAINER "/lower" TOOLS);
	if (!group->volume) {
		root = open("/", O_PATH | O_CLOEXEC);
		must(chroot(CONTAINER "/lower"), "chroot");
		must(chdir("/"), "chdir");
		set_cases(group);
		must(fchdir(root), "fchdir");
		must(chroot("."), "chroot back");
		close(root);
	}
	must(mount("evasion", CONTAINER "/root", "overlay", 0,
		   "lowerdir=" CONTAINER "/lower,upperdir=" CONTAINER "/upper,workdir=" CONTAINER "/work"),
	     "overlay");
	if (group->volume) {
		make_folders(CONTAINER "/root" TREES);
		must(mount(TREES, CONTAINER "/root" TREES, NULL, MS_BIND | MS_REC, NULL), "volume");
	}
	must(mount("proc", CONTAINER "/root/proc", "proc", 0, NULL), "proc");
	must(syscall(SYS_pivot_root, CONTAINER "/root", CONTAINER "/root/old"), "pivot_root");
	must(chdir("/"), "chdir");
	must(umount2("/old", MNT_DETACH), "umount");
}

static void enter(const struct group *group)
{
	if (!strcmp(group->variant, "container")) {
		enter_container(group);
		return;
	}
	set_cases(group);
	if (!strcmp(group->variant, "chroot")) {
		own_mounts();
		make_folders("/run/evasion/jail");
		must(mount("/", "/run/evasion/jail", NULL, MS_BIND | MS_REC, NULL), "bind");
		must(chroot("/run/evasion/jail"), "chroot");
		must(chdir("/"), "chdir");
	}
}

static void play_group(const struct group *group)
{
	char first[16], end[16], ring[16], target[16];
	int line[2], status;
	pid_t stage = fork(), giver;

	must(stage, "fork");
	if (stage) {
		if (waitpid(stage, &status, 0) != stage || status) {
			fprintf(stderr, "actor: %s in %s ended with %#x\n", group->program, group->variant, status);
			_exit(1);
		}
		return;
	}
	must(dup2(2, 1), "dup2"); /* what programs say is not for the runner */
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line), "socketpair");
	enter(group);
	giver = fork();
	if (!giver) {
		close(line[0]);
		help(line[1]);
	}
	must(dup2(line[0], GIVER), "dup2");
	snprintf(first, sizeof(first), "%d", group->first);
	snprintf(end, sizeof(end), "%d", group->end);
	snprintf(ring, sizeof(ring), "%d", group->ring);
	snprintf(target, sizeof(target), "%d", giver);
	execl(group->program, group->program, "play", first, end, ring, target, NULL);
	fail(group->program);
}

/* A subject ----------------------------------------------------------------------------------------------------- */

static void play_case(struct entry *entry)
{
	const struct operation *operation = find(entry->operation);
	int status;
	pid_t child;

	fprintf(stderr, "%s %s\n", entry->operation, entry->base);
	child = fork();

	if (!child) {
		setpgid(0, 0);
		alarm(PATIENCE);
		base = entry->base;
		entry->pid = getpid();
		entry->begin = now();
		entry->result = operation->run();
		entry->end = now();
		entry->done = 1;
		_exit(0);
	}
	if (waitpid(child, &status, 0) == child && !entry->done) {
		entry->pid = child;
		entry->result = -BROKEN - (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		entry->end = now();
		entry->done = 1;
	}
	kill(-child, SIGKILL); /* what it left behind; fails where nothing is left */
}

static int play(char **arguments)
{
	int first = atoi(arguments[0]), end = atoi(arguments[1]);

	fcntl(MEMORY, F_SETFD, FD_CLOEXEC);
	fcntl(GIVER, F_SETFD, FD_CLOEXEC);
	variant_is_ring = atoi(arguments[2]);
	helper = atoi(arguments[3]);
	signal(SIGPIPE, SIG_IGN);
	for (int i = first; i < end; i++)
		play_case(&entries[i]);
	return 0;
}

/* The lead ------------------------------------------------------------------------------------------------------ */

static void serve(int port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&address, sizeof(address)) || listen(fd, 4096))
		fail("listen");
}

static void serve_abstract(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path + 1, name, strlen(name));
	if (bind(fd, (void *)&address, 3 + strlen(name)) || (type == SOCK_STREAM && listen(fd, 4096)))
		fail(name);
}

static int lead(const char *name)
{
	static struct group groups[256];
	struct group *group = NULL;
	int count = 0, cases = 0, fd;
	char path[512], line[512];
	FILE *plan = fopen(name, "re");

	if (!plan)
		fail(name);
	while (fgets(line, sizeof(line), plan)) {
		if (!strncmp(line, "group ", 6)) {
			if (count == 256)
				fail("too many groups");
			group = &groups[count++];
			group->first = group->end = cases;
			if (sscanf(line, "group %15s %79s %d %d", group->variant, group->program, &group->ring,
				   &group->volume) != 4)
				fail(line);
			continue;
		}
		if (!group || cases == MAX_CASES ||
		    sscanf(line, "case %47s %143s", entries[cases].operation, entries[cases].base) != 2)
			fail(line);
		group->end = ++cases;
	}
	fclose(plan);
	serve(PORT);
	serve(FREE_PORT);
	serve_abstract("evasion", SOCK_STREAM);
	serve_abstract("evasion-datagram", SOCK_DGRAM);
	for (int i = 0; i < count; i++) {
		play_group(&groups[i]);
		puts("played");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 1;
	}
	snprintf(path, sizeof(path), "%s.answers", name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, entries, cases * sizeof(*entries)) != (ssize_t)(cases * sizeof(*entries)))
		fail(path);
	return 0;
}

int main(int count, char **arguments)
{
	size_t size = MAX_CASES * sizeof(*entries);
	int fd, leads = count == 3 && !strcmp(arguments[1], "lead");

	if (leads) {
		fd = memfd_create("evasion", 0);
		if (fd < 0 || ftruncate(fd, size) || dup2(fd, MEMORY) < 0)
			fail("memfd");
		close(fd);
	}
	entries = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, MEMORY, 0);
	if (entries == MAP_FAILED)
		fail("mmap");
	if (leads)
		return lead(arguments[2]);
	return count == 6 ? play(arguments + 2) : 1;
}
