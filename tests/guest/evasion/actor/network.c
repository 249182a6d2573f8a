/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Peers that are addressed, endpoints that are offered, and socket families. */
#include "actor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in v4(uint32_t address, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(address) };
}

static struct sockaddr_in6 v6(const struct in6_addr *address, int port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *address };
}

static struct in6_addr in_v6(uint32_t address)
{
	struct in6_addr found = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	address = htonl(address);
	memcpy(&found.s6_addr[12], &address, 4);
	return found;
}

static int open_socket(int family, int type, int protocol)
{
	return STEP(LIBC(socket(family, type | SOCK_CLOEXEC, protocol)));
}

static int connect_v4(int type, int protocol, uint32_t address)
{
	struct sockaddr_in peer = v4(address, PORT);

	return TRY(do_connect(STEP(open_socket(AF_INET, type, protocol)), &peer, sizeof(peer)));
}

OPERATION(op_tcp, "connect-tcp", NULL)
{
	return connect_v4(SOCK_STREAM, 0, INADDR_LOOPBACK);
}

OPERATION(op_tcp_any, "connect-any-address", NULL)
{
	return connect_v4(SOCK_STREAM, 0, INADDR_ANY);
}

OPERATION(op_mptcp, "connect-mptcp", NULL)
{
	return connect_v4(SOCK_STREAM, IPPROTO_MPTCP, INADDR_LOOPBACK);
}

OPERATION(op_udp, "connect-udp", NULL)
{
	return connect_v4(SOCK_DGRAM, 0, INADDR_LOOPBACK);
}

OPERATION(op_udplite, "connect-udplite", NULL)
{
	return connect_v4(SOCK_DGRAM, IPPROTO_UDPLITE, INADDR_LOOPBACK);
}

OPERATION(op_tcp6, "connect-tcp6", NULL)
{
	struct sockaddr_in6 peer = v6(&in6addr_loopback, PORT);

	return TRY(do_connect(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &peer, sizeof(peer)));
}

OPERATION(op_tcp6_any, "connect-any-address6", NULL)
{
	struct sockaddr_in6 peer = v6(&in6addr_any, PORT);

	return TRY(do_connect(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &peer, sizeof(peer)));
}

OPERATION(op_mapped, "connect-mapped", NULL)
{
	struct in6_addr address = in_v6(INADDR_LOOPBACK);
	struct sockaddr_in6 peer = v6(&address, PORT);

	return TRY(do_connect(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &peer, sizeof(peer)));
}

OPERATION(op_nonblocking, "connect-nonblocking", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);
	long error = do_connect(STEP(open_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), &peer, sizeof(peer));

	return error == -EINPROGRESS ? 0 : error;
}

OPERATION(op_reconnect, "reconnect-udp", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, FREE_PORT), none = { .sin_family = AF_UNSPEC };
	int fd = STEP(open_socket(AF_INET, SOCK_DGRAM, 0));

	STEP(do_connect(fd, &peer, sizeof(peer)));
	STEP(do_connect(fd, &none, sizeof(none)));
	peer = v4(INADDR_LOOPBACK, PORT);
	return TRY(do_connect(fd, &peer, sizeof(peer)));
}

OPERATION(op_reconnect_tcp, "reconnect-tcp", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, FREE_PORT), none = { .sin_family = AF_UNSPEC };
	int fd = STEP(open_socket(AF_INET, SOCK_STREAM, 0));

	STEP(do_connect(fd, &peer, sizeof(peer)));
	STEP(do_connect(fd, &none, sizeof(none)));
	peer = v4(INADDR_LOOPBACK, PORT);
	return TRY(do_connect(fd, &peer, sizeof(peer)));
}

static int send_to(int fd, const void *peer, socklen_t size, int flags)
{
	struct iovec vector = { "hello", 5 };
	struct msghdr message = { .msg_name = (void *)peer, .msg_namelen = size, .msg_iov = &vector, .msg_iovlen = 1 };

	TRY(do_sendmsg(fd, &message, flags));
	return 0;
}

OPERATION(op_sendmsg, "sendmsg-udp", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);

	return send_to(STEP(open_socket(AF_INET, SOCK_DGRAM, 0)), &peer, sizeof(peer), 0);
}

OPERATION(op_sendto, "sendto-udp", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);
	int fd = STEP(open_socket(AF_INET, SOCK_DGRAM, 0));

	TRY(LIBC(sendto(fd, "hello", 5, 0, (void *)&peer, sizeof(peer))));
	return 0;
}

OPERATION(op_sendmmsg, "sendmmsg-udp", NULL)
{
	struct sockaddr_in free_peer = v4(INADDR_LOOPBACK, FREE_PORT), peer = v4(INADDR_LOOPBACK, PORT);
	struct iovec vector = { "hello", 5 };
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_name = &free_peer,
			       .msg_namelen = sizeof(free_peer),
			       .msg_iov = &vector,
			       .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &vector, .msg_iovlen = 1 } },
	};
	int fd = STEP(open_socket(AF_INET, SOCK_DGRAM, 0));

	/* The second is the one that is asked about: its error comes with the next call. */
	return STEP(LIBC(sendmmsg(fd, messages, 2, 0))) == 2 ? 0 : TRY(LIBC(sendmmsg(fd, messages + 1, 1, 0))) - 1;
}

OPERATION(op_send6, "sendmsg-udp6", NULL)
{
	struct sockaddr_in6 peer = v6(&in6addr_loopback, PORT);

	return send_to(STEP(open_socket(AF_INET6, SOCK_DGRAM, 0)), &peer, sizeof(peer), 0);
}

OPERATION(op_send_mapped, "sendmsg-udp-mapped", NULL)
{
	struct in6_addr address = in_v6(INADDR_LOOPBACK);
	struct sockaddr_in6 peer = v6(&address, PORT);

	return send_to(STEP(open_socket(AF_INET6, SOCK_DGRAM, 0)), &peer, sizeof(peer), 0);
}

OPERATION(op_send_v4_on_v6, "sendmsg-udp-v4-on-v6", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);

	return send_to(STEP(open_socket(AF_INET6, SOCK_DGRAM, 0)), &peer, sizeof(peer), 0);
}

OPERATION(op_send_unspec, "sendmsg-udp-unspec", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);

	peer.sin_family = AF_UNSPEC; /* a datagram socket takes it for AF_INET */
	return send_to(STEP(open_socket(AF_INET, SOCK_DGRAM, 0)), &peer, sizeof(peer), 0);
}

OPERATION(op_send_connected, "sendmsg-udp-connected-elsewhere", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, FREE_PORT);
	int fd = STEP(open_socket(AF_INET, SOCK_DGRAM, 0));

	STEP(do_connect(fd, &peer, sizeof(peer)));
	peer = v4(INADDR_LOOPBACK, PORT);
	return send_to(fd, &peer, sizeof(peer), 0);
}

OPERATION(op_fast, "fast-open", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);

	return send_to(STEP(open_socket(AF_INET, SOCK_STREAM, 0)), &peer, sizeof(peer), MSG_FASTOPEN);
}

OPERATION(op_fast6, "fast-open6", NULL)
{
	struct sockaddr_in6 peer = v6(&in6addr_loopback, PORT);

	return send_to(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &peer, sizeof(peer), MSG_FASTOPEN);
}

OPERATION(op_fast_mptcp, "fast-open-mptcp", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);

	return send_to(STEP(open_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)), &peer, sizeof(peer), MSG_FASTOPEN);
}

OPERATION(op_fast_connect, "fast-open-connect", NULL)
{
	struct sockaddr_in peer = v4(INADDR_LOOPBACK, PORT);
	int fd = STEP(open_socket(AF_INET, SOCK_STREAM, 0)), one = 1;

	STEP(LIBC(setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &one, sizeof(one))));
	TRY(do_connect(fd, &peer, sizeof(peer)));
	TRY(LIBC(send(fd, "hello", 5, 0)));
	return 0;
}

/* Offering ------------------------------------------------------------------------------------------------------- */

static int bind_v4(int type, int protocol, int port)
{
	struct sockaddr_in own = v4(INADDR_ANY, port);
	int fd = STEP(open_socket(AF_INET, type, protocol)), one = 1;

	STEP(LIBC(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one))));
	TRY(do_bind(fd, &own, sizeof(own)));
	return fd;
}

OPERATION(op_bind_tcp, "bind-tcp", NULL)
{
	TRY(bind_v4(SOCK_STREAM, 0, 4201));
	return 0;
}

OPERATION(op_bind_udp, "bind-udp", NULL)
{
	TRY(bind_v4(SOCK_DGRAM, 0, 4202));
	return 0;
}

OPERATION(op_bind_mptcp, "bind-mptcp", NULL)
{
	TRY(bind_v4(SOCK_STREAM, IPPROTO_MPTCP, 4203));
	return 0;
}

OPERATION(op_bind_unspec, "bind-unspec", NULL)
{
	struct sockaddr_in own = v4(INADDR_ANY, 4204);
	int fd = STEP(open_socket(AF_INET, SOCK_STREAM, 0));

	own.sin_family = AF_UNSPEC; /* taken for AF_INET with INADDR_ANY */
	return TRY(do_bind(fd, &own, sizeof(own)));
}

OPERATION(op_bind_tcp6, "bind-tcp6", NULL)
{
	struct sockaddr_in6 own = v6(&in6addr_any, 4205);

	return TRY(do_bind(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &own, sizeof(own)));
}

OPERATION(op_bind_mapped, "bind-mapped", NULL)
{
	struct in6_addr address = in_v6(INADDR_LOOPBACK);
	struct sockaddr_in6 own = v6(&address, 4206);

	return TRY(do_bind(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), &own, sizeof(own)));
}

OPERATION(op_listen_unbound, "listen-unbound", NULL)
{
	return TRY(do_listen(STEP(open_socket(AF_INET, SOCK_STREAM, 0)), 1));
}

OPERATION(op_listen_unbound6, "listen-unbound6", NULL)
{
	return TRY(do_listen(STEP(open_socket(AF_INET6, SOCK_STREAM, 0)), 1));
}

OPERATION(op_listen_chosen, "listen-chosen-port", NULL)
{
	return TRY(do_listen(STEP(bind_v4(SOCK_STREAM, 0, 0)), 1));
}

OPERATION(op_listen_mptcp, "listen-unbound-mptcp", NULL)
{
	return TRY(do_listen(STEP(open_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)), 1));
}

/* Local sockets -------------------------------------------------------------------------------------------------- */

static socklen_t named(struct sockaddr_un *address, const char *name)
{
	/* A path may be too long for it: by way of a descriptor of its folder. */
	int folder = open(at("object"), O_PATH | O_DIRECTORY | O_CLOEXEC);

	address->sun_family = AF_UNIX;
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", folder, name);
}

static socklen_t abstract(struct sockaddr_un *address, const char *name)
{
	address->sun_family = AF_UNIX;
	memset(address->sun_path, 0, sizeof(address->sun_path));
	memcpy(address->sun_path + 1, name, strlen(name));
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

static void serve(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), here = open(".", O_PATH | O_CLOEXEC);

	strcpy(address.sun_path, name);
	if (chdir(at("object")) || bind(fd, (void *)&address, sizeof(address)) ||
	    (type != SOCK_DGRAM && listen(fd, 16)) || fchdir(here))
		_exit(1);
	close(here); /* the socket stays open as long as the helper lives */
}

static void set_sockets(void)
{
	serve("stream", SOCK_STREAM);
	serve("datagram", SOCK_DGRAM);
	serve("packets", SOCK_SEQPACKET);
}

static int connect_unix(int type, const char *name)
{
	struct sockaddr_un peer;
	socklen_t size = named(&peer, name);

	return TRY(do_connect(STEP(open_socket(AF_UNIX, type, 0)), &peer, size));
}

OPERATION(op_unix, "connect-unix", set_sockets)
{
	return connect_unix(SOCK_STREAM, "stream");
}

OPERATION(op_unix_packets, "connect-unix-seqpacket", set_sockets)
{
	return connect_unix(SOCK_SEQPACKET, "packets");
}

OPERATION(op_unix_datagram, "connect-unix-datagram", set_sockets)
{
	return connect_unix(SOCK_DGRAM, "datagram");
}

OPERATION(op_unix_send, "sendmsg-unix", set_sockets)
{
	struct sockaddr_un peer;
	socklen_t size = named(&peer, "datagram");

	return send_to(STEP(open_socket(AF_UNIX, SOCK_DGRAM, 0)), &peer, size, 0);
}

OPERATION(op_abstract, "connect-abstract", NULL)
{
	struct sockaddr_un peer;
	socklen_t size = abstract(&peer, "evasion");

	return TRY(do_connect(STEP(open_socket(AF_UNIX, SOCK_STREAM, 0)), &peer, size));
}

OPERATION(op_abstract_send, "sendmsg-abstract", NULL)
{
	struct sockaddr_un peer;
	socklen_t size = abstract(&peer, "evasion-datagram");

	return send_to(STEP(open_socket(AF_UNIX, SOCK_DGRAM, 0)), &peer, size, 0);
}

OPERATION(op_bind_unix, "bind-unix", NULL)
{
	struct sockaddr_un own;
	socklen_t size = named(&own, "new");

	return TRY(do_bind(STEP(open_socket(AF_UNIX, SOCK_STREAM, 0)), &own, size));
}

OPERATION(op_listen_unix, "listen-unix", NULL)
{
	struct sockaddr_un own;
	socklen_t size = named(&own, "new");
	int fd = STEP(open_socket(AF_UNIX, SOCK_STREAM, 0));

	STEP(do_bind(fd, &own, size));
	return TRY(do_listen(fd, 1));
}

OPERATION(op_bind_abstract, "bind-abstract", NULL)
{
	struct sockaddr_un own;
	socklen_t size = abstract(&own, "evasion-new");

	return TRY(do_bind(STEP(open_socket(AF_UNIX, SOCK_STREAM, 0)), &own, size));
}

OPERATION(op_autobind, "listen-autobind", NULL)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	int fd = STEP(open_socket(AF_UNIX, SOCK_STREAM, 0));

	STEP(do_bind(fd, &own, sizeof(own.sun_family)));
	return TRY(do_listen(fd, 1));
}

/* A socket of this very subject: allowed whatever the policy says of its name. */
OPERATION(op_kin, "connect-unix-kin", NULL)
{
	struct sockaddr_un own;
	socklen_t size = abstract(&own, "evasion-kin");
	int fd = STEP(open_socket(AF_UNIX, SOCK_STREAM, 0));

	STEP(do_bind(fd, &own, size));
	STEP(do_listen(fd, 1));
	return TRY(do_connect(STEP(open_socket(AF_UNIX, SOCK_STREAM, 0)), &own, size));
}

/* Families ------------------------------------------------------------------------------------------------------- */

static int family(int number, int type, int protocol)
{
	return TRY(LIBC(socket(number, type | SOCK_CLOEXEC, protocol))) < 0;
}

OPERATION(op_raw, "socket-raw", NULL)
{
	return family(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

OPERATION(op_raw6, "socket-raw6", NULL)
{
	return family(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
}

OPERATION(op_packet, "socket-packet", NULL)
{
	return family(AF_PACKET, SOCK_RAW, htons(3));
}

OPERATION(op_packet_old, "socket-packet-old", NULL)
{
	return family(AF_INET, SOCK_PACKET, htons(3));
}

OPERATION(op_xdp, "socket-xdp", NULL)
{
	return family(44, SOCK_RAW, 0);
}

OPERATION(op_netlink, "socket-netlink", NULL)
{
	return family(AF_NETLINK, SOCK_RAW, 0);
}

OPERATION(op_netlink_audit, "socket-netlink-audit", NULL)
{
	return family(AF_NETLINK, SOCK_RAW, 9);
}

OPERATION(op_vsock, "socket-vsock", NULL)
{
	return family(AF_VSOCK, SOCK_STREAM, 0);
}

OPERATION(op_alg, "socket-alg", NULL)
{
	return family(AF_ALG, SOCK_SEQPACKET, 0);
}

OPERATION(op_bluetooth, "socket-bluetooth", NULL)
{
	return family(AF_BLUETOOTH, SOCK_RAW, 1);
}

OPERATION(op_key, "socket-key", NULL)
{
	return family(AF_KEY, SOCK_RAW, 2);
}
