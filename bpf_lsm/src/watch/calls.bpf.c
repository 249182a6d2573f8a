/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The sources of hosts where no program can be attached to a function or an LSM hook: system calls, seen at their end.
 * Any program on this tracepoint sends every system call of the host through the kernel's slow way in and out.
 *
 * | program           | what it is for                                                          |
 * |-------------------|-------------------------------------------------------------------------|
 * | ?tp_btf/sys_exit  | all types but those of process.bpf.c; a failed exec; credentials        |
 *
 * Paths of files that were opened are canonical. Other paths are as the caller wrote them (WATCH_GIVEN), read after the
 * call, so another thread may have changed them. What goes through io_uring has no system call of its own.
 */
#include "files.h"
#include "syscalls.h"

#define AT_REMOVEDIR 0x200

struct arguments {
	__u64 a[6];
	__s64 result;
	__u32 is_ia32;
};

struct opened {
	__u64 flags;
	__u64 name;
	__s32 folder;
};

static __always_inline int call_open(struct arguments *call, struct opened *opened)
{
	struct watch_scratch *scratch;

	if (call->result >= 0)
		return record_open(file_of(call->result), opened->flags);
	if (!wants_write(opened->flags))
		return 0;
	scratch = begin(WATCH_FILE_WRITE);
	if (!scratch)
		return 0;
	scratch->record.path = given_path(scratch, opened->folder, opened->name, 0);
	scratch->record.detail = opened->flags;
	scratch->record.result = call->result;
	finish(scratch);
	return 0;
}

/* A call that names one or two files. */
struct named {
	__u32 type;
	__u32 detail;
	__s32 folder;
	__s32 folder2;
	__u64 name;
	__u64 name2; /* 0: it names one */
	__u32 is_verbatim; /* the first is no path: the target of a symbolic link */
};

static __noinline int call_named(struct arguments *call, struct named *named)
{
	struct watch_scratch *scratch = begin(named->type);
	long size;

	if (!scratch)
		return 0;
	if (named->is_verbatim) {
		size = bpf_probe_read_user_str(&scratch->text[TEXT_HEAD], NAME_SIZE, (void *)named->name);
		if (size > 1)
			scratch->record.path = intern(scratch, TEXT_HEAD, size - 1);
	} else {
		scratch->record.path = given_path(scratch, named->folder, named->name, 0);
	}
	if (named->name2)
		scratch->record.path2 = given_path(scratch, named->folder2, named->name2, 0);
	scratch->record.detail = named->detail;
	scratch->record.result = call->result;
	finish(scratch);
	return 0;
}

struct given_address {
	__u64 from;
	__u32 size;
	__u32 flags; /* of a send */
};

static __noinline int call_address(struct arguments *call, __u32 type, struct given_address *given)
{
	__u64 socket = socket_of(file_of(call->a[0]));
	struct socket *typed = (void *)socket;
	struct watch_scratch *scratch;
	short kind = 0;

	if (!socket || !is_watched_family(family_of(socket)))
		return 0;
	if (type == WATCH_SENDTO) {
		if (!given->from || !given->size)
			return 0;
		bpf_core_read(&kind, sizeof(kind), &typed->type);
		if (kind == SOCK_STREAM) {
			if (!(given->flags & MSG_FASTOPEN))
				return 0;
			type = WATCH_CONNECT;
		}
	}
	scratch = begin(type);
	if (!scratch)
		return 0;
	describe_socket(scratch, socket, SIDE_NONE);
	describe_address(scratch, given->from, given->size, 0);
	if (type == WATCH_BIND && call->result == 0 && scratch->record.family != 1)
		describe_socket(scratch, socket, SIDE_OWN); /* the port that port 0 became */
	scratch->record.result = type == WATCH_SENDTO && call->result > 0 ? 0 : call->result;
	finish(scratch);
	return 0;
}

static __noinline int call_accept(struct arguments *call)
{
	__u64 socket = socket_of(file_of(call->result < 0 ? call->a[0] : call->result));
	struct watch_scratch *scratch;

	/* nobody was there yet: servers ask again and again */
	if (!socket || !is_watched_family(family_of(socket)) || call->result == -11 /* EAGAIN */)
		return 0;
	scratch = begin(WATCH_ACCEPT);
	if (!scratch)
		return 0;
	describe_socket(scratch, socket, call->result < 0 ? SIDE_NONE : SIDE_PEER);
	scratch->record.result = call->result;
	finish(scratch);
	return 0;
}

static __noinline int call_listen(struct arguments *call)
{
	__u64 socket = socket_of(file_of(call->a[0]));
	struct watch_scratch *scratch;

	if (!socket || !is_watched_family(family_of(socket)))
		return 0;
	scratch = begin(WATCH_LISTEN);
	if (!scratch)
		return 0;
	describe_socket(scratch, socket, SIDE_OWN);
	scratch->record.detail = call->a[1];
	scratch->record.result = call->result;
	finish(scratch);
	return 0;
}

static __noinline int call_socket(struct arguments *call)
{
	struct watch_scratch *scratch;

	if ((call->a[1] & 0xf) != SOCK_RAW && call->a[0] != AF_PACKET)
		return 0;
	scratch = begin(WATCH_RAW_SOCKET);
	if (!scratch)
		return 0;
	scratch->record.detail = call->a[0] << 16 | (call->a[1] & 0xf);
	scratch->record.protocol = call->a[2];
	scratch->record.result = call->result;
	finish(scratch);
	return 0;
}

#define PTRACE_TRACEME 0
#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206

/* target 0: the parent, by PTRACE_TRACEME */
static __noinline int call_trace(struct arguments *call, __u32 target, __u32 mode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_scratch *scratch = begin(WATCH_PTRACE);

	if (!scratch)
		return 0;
	scratch->record.target_pid = target ? target : task->real_parent->tgid;
	scratch->record.detail = mode;
	scratch->record.result = call->result > 0 ? 0 : call->result;
	finish(scratch);
	return 0;
}

/* A file type, where mknod was given none. */
static __always_inline __u32 file_type(__u32 mode)
{
	return mode & S_IFMT ? mode : mode | S_IFREG;
}

/* What a call names; false if it names nothing that is recorded. */
static __noinline int name_files(struct arguments *call, __u32 which, struct named *named)
{
	__u64 *a = call->a;

	named->folder = named->folder2 = AT_FDCWD;
	named->name = a[0];
	switch (which) {
	case CALL_MKDIR:
		named->type = WATCH_FILE_CREATE;
		named->detail = S_IFDIR | (a[1] & 07777);
		return true;
	case CALL_MKNOD:
		named->type = WATCH_FILE_CREATE;
		named->detail = file_type(a[1]);
		return true;
	case CALL_UNLINK:
	case CALL_RMDIR:
		named->type = WATCH_FILE_DELETE;
		named->detail = which == CALL_RMDIR;
		return true;
	case CALL_CHMOD:
		named->type = WATCH_FILE_CHMOD;
		named->detail = a[1] & 07777;
		return true;
	case CALL_RENAME:
	case CALL_LINK:
	case CALL_SYMLINK:
		named->type = which == CALL_RENAME ? WATCH_FILE_RENAME : WATCH_FILE_LINK;
		named->name2 = a[1];
		named->is_verbatim = named->detail = which == CALL_SYMLINK;
		return true;
	case CALL_SYMLINKAT:
		named->type = WATCH_FILE_LINK;
		named->folder2 = a[1];
		named->name2 = a[2];
		named->is_verbatim = named->detail = 1;
		return true;
	case CALL_EXECVE:
		named->type = WATCH_EXEC;
		return call->result < 0;
	case CALL_MOUNT:
		named->type = WATCH_MOUNT;
		named->name = a[1];
		named->detail = a[3];
		return true;
	case CALL_MOVE_MOUNT:
		named->type = WATCH_MOUNT;
		named->folder = a[2];
		named->name = a[3];
		return true;
	}
	named->folder = a[0];
	named->name = a[1];
	switch (which) {
	case CALL_MKDIRAT:
		named->type = WATCH_FILE_CREATE;
		named->detail = S_IFDIR | (a[2] & 07777);
		return true;
	case CALL_MKNODAT:
		named->type = WATCH_FILE_CREATE;
		named->detail = file_type(a[2]);
		return true;
	case CALL_UNLINKAT:
		named->type = WATCH_FILE_DELETE;
		named->detail = a[2] & AT_REMOVEDIR ? 1 : 0;
		return true;
	case CALL_FCHMODAT:
		named->type = WATCH_FILE_CHMOD;
		named->detail = a[2] & 07777;
		return true;
	case CALL_LINKAT:
	case CALL_RENAMEAT:
	case CALL_RENAMEAT2:
		named->type = which == CALL_LINKAT ? WATCH_FILE_LINK : WATCH_FILE_RENAME;
		named->folder2 = a[2];
		named->name2 = a[3];
		named->detail = which == CALL_RENAMEAT2 ? a[4] : 0;
		return true;
	case CALL_EXECVEAT:
		named->type = WATCH_EXEC;
		return call->result < 0;
	}
	return false;
}

/* All that is left: numbers, and files by their descriptors. */
static __always_inline int call_others(struct arguments *call, __u32 which)
{
	__u64 *a = call->a;

	switch (which) {
	case CALL_FCHMOD:
		return record_file(WATCH_FILE_CHMOD, file_of(a[0]), a[1] & 07777, call->result);
	case CALL_MEMFD:
		return record_file(WATCH_MEMFD, file_of(call->result), a[1], call->result);
	case CALL_PTRACE:
		if (a[0] == PTRACE_TRACEME || a[0] == PTRACE_ATTACH || a[0] == PTRACE_SEIZE)
			return call_trace(call, a[0] == PTRACE_TRACEME ? 0 : a[1], PTRACE_MODE_ATTACH);
		return 0;
	case CALL_VM_ACCESS:
		return call_trace(call, a[0], PTRACE_MODE_ATTACH | WATCH_MEMORY);
	case CALL_BPF:
		return is_load(a[0]) ? record_number(WATCH_BPF, a[0], call->result) : 0;
	case CALL_SETID:
		return record_credentials();
	case CALL_ACCEPT:
		return call_accept(call);
	case CALL_LISTEN:
		return call_listen(call);
	case CALL_SOCKET:
		return call_socket(call);
	}
	return 0;
}

/* Calls that take an address: which kind of record they make, and where the address is. 0: none. */
static __noinline int find_address(struct arguments *call, __u32 which, struct given_address *given)
{
	__u64 *a = call->a, header[2] = {};

	given->from = a[1];
	given->size = a[2];
	switch (which) {
	case CALL_CONNECT:
		return WATCH_CONNECT;
	case CALL_BIND:
		return WATCH_BIND;
	case CALL_SENDTO:
		given->from = a[4];
		given->size = a[5];
		given->flags = a[3];
		return WATCH_SENDTO;
	case CALL_SENDMSG: /* of sendmmsg the first */
		bpf_probe_read_user(header, call->is_ia32 ? 8 : 12, (void *)a[1]);
		given->from = call->is_ia32 ? (__u32)header[0] : header[0];
		given->size = call->is_ia32 ? header[0] >> 32 : header[1];
		given->flags = a[2];
		return WATCH_SENDTO;
	}
	return 0;
}

static __always_inline __u32 unpack_socketcall(struct arguments *call)
{
	__u32 words[6] = {}, which = call->a[0];

	bpf_probe_read_user(words, sizeof(words), (void *)call->a[1]);
	for (int i = 0; i < 6; i++)
		call->a[i] = words[i];
	switch (which) {
	case 1:
		return CALL_SOCKET;
	case 2:
		return CALL_BIND;
	case 3:
		return CALL_CONNECT;
	case 4:
		return CALL_LISTEN;
	case 5:
	case 18:
		return CALL_ACCEPT;
	case 11:
		return CALL_SENDTO;
	case 16:
	case 20:
		return CALL_SENDMSG;
	}
	return CALL_NONE;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(watch_calls, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct arguments call = { .result = result, .is_ia32 = task->thread_info.status & TS_COMPAT };
	__u64 number = regs->orig_ax & ~(__u64)X32_BIT;
	struct given_address given = {};
	struct named named = {};
	__u32 which, type;

	if (number >= MAX_CALLS)
		return 0;
	which = call.is_ia32 ? ia32_calls[number] : calls[number];
	if (!which || is_restarted(result))
		return 0;
	if (call.is_ia32) {
		call.a[0] = (__u32)regs->bx;
		call.a[1] = (__u32)regs->cx;
		call.a[2] = (__u32)regs->dx;
		call.a[3] = (__u32)regs->si;
		call.a[4] = (__u32)regs->di;
		call.a[5] = (__u32)regs->bp;
	} else {
		call.a[0] = regs->di;
		call.a[1] = regs->si;
		call.a[2] = regs->dx;
		call.a[3] = regs->r10;
		call.a[4] = regs->r8;
		call.a[5] = regs->r9;
	}
	if (which == CALL_SOCKETCALL)
		which = unpack_socketcall(&call);
	if (which >= CALL_OPEN && which <= CALL_OPENAT2) {
		struct opened opened = { .folder = AT_FDCWD, .name = call.a[0], .flags = call.a[1] };

		if (which == CALL_CREAT)
			opened.flags = O_CREAT | O_WRONLY | O_TRUNC;
		if (which == CALL_OPENAT || which == CALL_OPENAT2) {
			opened.folder = call.a[0];
			opened.name = call.a[1];
			opened.flags = call.a[2];
		}
		if (which == CALL_OPENAT2)
			bpf_probe_read_user(&opened.flags, sizeof(opened.flags), (void *)call.a[2]);
		return call_open(&call, &opened);
	}
	type = find_address(&call, which, &given);
	if (type)
		return call_address(&call, type, &given);
	if (name_files(&call, which, &named))
		return call_named(&call, &named);
	return call_others(&call, which);
}
