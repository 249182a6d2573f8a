/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The network, at the functions that know what became of the call; io_uring too.
 *
 * | program                                  | what it is for                                               |
 * |------------------------------------------|--------------------------------------------------------------|
 * | __sys_connect_file                       | connect                                                      |
 * | do_accept                                | accept                                                       |
 * | __sys_bind, __sys_listen                 | bind, listen                                                 |
 * | __sys_bind_socket, __sys_listen_socket   | the same through io_uring, which can since 6.11; compilers   |
 * |                                          | make these a part of the former                              |
 * | security_socket_sendmsg                  | sends to an address, and fast open, which is a connect; the  |
 * |                                          | result is that of the permission, not of the send            |
 * | __sock_create                            | raw and packet sockets                                       |
 */
#include "functions.h"

/* `from` is where the address is, in the kernel's memory or the caller's. */
struct named_socket {
	__u64 socket;
	__u64 from;
	__u32 size;
	__u32 is_kernel;
};

static __noinline int record_address(__u32 type, struct named_socket *named, __s64 result)
{
	struct watch_scratch *scratch;

	if (!named->socket || !is_watched_family(family_of(named->socket)) || is_restarted(result))
		return 0;
	scratch = begin(type);
	if (!scratch)
		return 0;
	describe_socket(scratch, named->socket, SIDE_NONE);
	describe_address(scratch, named->from, named->size, named->is_kernel);
	if (type == WATCH_BIND && result == 0 && scratch->record.family != 1)
		describe_socket(scratch, named->socket, SIDE_OWN); /* the port that port 0 became */
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

/* The same with a socket that is known by its address only. */
static __noinline int record_socket(__u32 type, __u64 socket, enum socket_side side, __u32 detail, __s64 result)
{
	struct watch_scratch *scratch;

	if (!socket || !is_watched_family(family_of(socket)) || is_restarted(result))
		return 0;
	scratch = begin(type);
	if (!scratch)
		return 0;
	describe_socket(scratch, socket, side);
	if (type == WATCH_LISTEN)
		scratch->record.detail = detail;
	scratch->record.result = result;
	finish(scratch);
	return 0;
}

SEC("?fexit/__sys_connect_file")
int BPF_PROG(full_connect, struct file *file, void *address, int size)
{
	struct named_socket named = { .from = argument(ctx, 1), .size = size, .is_kernel = 1 };

	bpf_core_read(&named.socket, sizeof(named.socket), &file->private_data);
	return record_address(WATCH_CONNECT, &named, outcome(returned(ctx), false));
}

SEC("?fexit/do_accept")
int BPF_PROG(full_accept, struct file *file)
{
	__s64 result = returned(ctx);
	__u64 listening = 0;

	if (result == -11 /* EAGAIN: nobody was there yet; servers ask again and again */)
		return 0;
	if (!is_error(result))
		return record_socket(WATCH_ACCEPT, socket_of(result), SIDE_PEER, 0, 0);
	bpf_core_read(&listening, sizeof(listening), &file->private_data);
	return record_socket(WATCH_ACCEPT, listening, SIDE_NONE, 0, result);
}

SEC("?fexit/__sys_bind_socket")
int BPF_PROG(full_bind_socket, struct socket *socket, void *address, int size)
{
	struct named_socket named = {
		.socket = argument(ctx, 0), .from = argument(ctx, 1), .size = size, .is_kernel = 1
	};

	return is_by_io_uring() ? record_address(WATCH_BIND, &named, outcome(returned(ctx), false)) : 0;
}

SEC("?fexit/__sys_bind")
int BPF_PROG(full_bind, int fd, void *address, int size)
{
	struct named_socket named = { .socket = socket_of(file_of(fd)), .from = argument(ctx, 1), .size = size };

	return record_address(WATCH_BIND, &named, outcome(returned(ctx), false));
}

SEC("?fexit/__sys_listen_socket")
int BPF_PROG(full_listen_socket, struct socket *socket, int backlog)
{
	if (!is_by_io_uring())
		return 0;
	return record_socket(WATCH_LISTEN, argument(ctx, 0), SIDE_OWN, backlog, outcome(returned(ctx), false));
}

SEC("?fexit/__sys_listen")
int BPF_PROG(full_listen, int fd, int backlog)
{
	return record_socket(WATCH_LISTEN, socket_of(file_of(fd)), SIDE_OWN, backlog, outcome(returned(ctx), false));
}

SEC("?fexit/security_socket_sendmsg")
int BPF_PROG(full_sendmsg, struct socket *socket, struct msghdr *message)
{
	struct named_socket named = { .socket = argument(ctx, 0), .size = message->msg_namelen, .is_kernel = 1 };
	__u32 type = WATCH_SENDTO;

	if (!message->msg_name || message->msg_namelen <= 0)
		return 0;
	if (socket->type == SOCK_STREAM) {
		if (!(message->msg_flags & MSG_FASTOPEN))
			return 0;
		type = WATCH_CONNECT;
	}
	bpf_core_read(&named.from, sizeof(named.from), &message->msg_name);
	return record_address(type, &named, outcome(returned(ctx), false));
}

SEC("?fexit/__sock_create")
int BPF_PROG(full_socket, void *net, int family, int type, int protocol, void *made, int is_kernel)
{
	struct watch_scratch *scratch;

	if (is_kernel || (type != SOCK_RAW && family != AF_PACKET))
		return 0;
	scratch = begin(WATCH_RAW_SOCKET);
	if (!scratch)
		return 0;
	scratch->record.detail = family << 16 | (type & 0xf);
	scratch->record.protocol = protocol;
	scratch->record.result = outcome(returned(ctx), false);
	finish(scratch);
	return 0;
}
