/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Network: which endpoints and sockets a subject may address or offer.
 *
 * An endpoint is a string of bytes for the same automaton that reads paths (image.h, ENDPOINT_V4), so one table
 * decides about files and addresses alike.
 *
 * | hook                | what it is for                                                                  |
 * |---------------------|---------------------------------------------------------------------------------|
 * | socket_connect      | connect, also of datagram sockets                                               |
 * | socket_sendmsg      | an address given with the message: sendto, sendmsg, fast open                   |
 * | socket_bind         | listen on a named port or abstract name; a port that the kernel chooses is free; |
 * |                     | whose a unix socket is                                                          |
 * | socket_listen       | listen; unbound or on a port of the kernel's choice it is port 0                |
 * | socket_create       | raw, packet, netlink, vsock and other families are special rights               |
 * | unix_stream_connect | connect to a path or an abstract name; not asked among one subject              |
 * | unix_may_send       | the same for datagrams                                                          |
 */
#include "access.h"
#include "special.h"

/* Whose a unix socket is: who first tried to bind it. Peers of the same subject need no rule. */
struct owner {
	__u64 identity;
	__u64 known;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

static __always_inline __u8 policy_protocol(__u32 protocol)
{
	switch (protocol) {
	case IPPROTO_MPTCP:
		return IPPROTO_TCP;
	case IPPROTO_UDPLITE:
		return IPPROTO_UDP;
	case IPPROTO_ICMPV6:
		return IPPROTO_ICMP;
	}
	return protocol;
}

static __always_inline bool is_mapped(const __u8 *address)
{
	const __u32 *words = (const void *)address;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline void set_v4(struct endpoint *endpoint, const __u8 *address)
{
	endpoint->family = ENDPOINT_V4;
	__builtin_memcpy(endpoint->address, address, 4);
	__builtin_memset(endpoint->address + 4, 0, 12);
}

static __always_inline void set_v6(struct endpoint *endpoint, const __u8 *address)
{
	if (is_mapped(address)) {
		set_v4(endpoint, address + 12);
		return;
	}
	endpoint->family = ENDPOINT_V6;
	__builtin_memcpy(endpoint->address, address, 16);
}

/* The kernel treats the unspecified address as a destination as loopback. */
static __always_inline void resolve_unspecified(struct endpoint *endpoint)
{
	const __u32 *words = (const void *)endpoint->address;

	if (words[0])
		return;
	if (endpoint->family == ENDPOINT_V4) {
		endpoint->address[0] = 127;
		endpoint->address[3] = 1;
	} else if (!words[1] && !words[2] && !words[3]) {
		endpoint->address[15] = 1;
	}
}

/*
 * From an address in kernel memory. bind() and datagram sends of a v4 socket take AF_UNSPEC for AF_INET
 * (net/ipv4/af_inet.c, udp.c); for connect() it means disconnect. `otherwise` says which.
 */
static __always_inline bool read_endpoint(struct endpoint *endpoint, const void *address, int size, __u32 otherwise)
{
	__u64 words[2], first; /* family (2), port (2), and the v4 address or a label of the flow (4); the v6 address */
	__u32 family, v4;

	if (size < (int)sizeof(unsigned short))
		return false;
	first = read_word(address);
	family = first & 0xffff;
	if (family == AF_UNSPEC)
		family = otherwise;
	endpoint->port = bpf_ntohs(first >> 16 & 0xffff);
	if (family == AF_INET && size >= 8) {
		v4 = first >> 32;
		set_v4(endpoint, (void *)&v4);
		return true;
	}
	if (family == AF_INET6 && size >= 24) {
		words[0] = read_word(address + 8);
		words[1] = read_word(address + 16);
		set_v6(endpoint, (void *)words);
		return true;
	}
	return false;
}

static __always_inline __u32 endpoint_class(const struct image_header *image, const struct endpoint *endpoint)
{
	const __u32 mask = image_mask();
	__u32 state = automaton_byte(image, mask, image->start, endpoint->family);

	/* A sink steps to itself. */
	state = automaton_byte(image, mask, state, endpoint->protocol);
	state = automaton_byte(image, mask, state, endpoint->port >> 8);
	state = automaton_byte(image, mask, state, endpoint->port & 0xff);
#pragma unroll
	for (__u32 byte = 0; byte < 4; byte++) {
		if (!(state & STATE_SINK))
			state = automaton_byte(image, mask, state, endpoint->address[byte]);
	}
	for (__u32 byte = 4; byte < 16; byte++) {
		if (state & STATE_SINK || endpoint->family == ENDPOINT_V4)
			break;
		state = automaton_byte(image, mask, state, endpoint->address[byte]);
	}
	return state_class(image, state);
}

static __noinline int judge_endpoint(struct request *request, const struct endpoint *endpoint)
{
	__u64 verdict;

	request->class = endpoint_class(request->asker.image, endpoint);
	verdict = judge_class(request->asker.image, &request->asker.subject, request->class, 0, request->want);
	return conclude(request, NULL, judge_sequences(request, verdict, endpoint->port));
}

/* Inlined: a pointer to the stack can only be stored by the function whose stack it is. */
static __always_inline int check_endpoint(struct request *request, const struct endpoint *endpoint)
{
	request->attempt.endpoint = endpoint;
	return judge_endpoint(request, endpoint);
}

static __always_inline __u32 family_of(struct socket *sock)
{
	struct sock *sk = sock->sk;

	return sk ? sk->__sk_common.skc_family : AF_UNSPEC;
}

/* 6.12 marks sock->sk as one that may be NULL. */
static __always_inline __u8 protocol_of(struct socket *sock)
{
	struct sock *sk = sock->sk;

	return sk ? policy_protocol(sk->sk_protocol) : 0;
}

static __always_inline bool is_internet(__u32 family)
{
	return family == AF_INET || family == AF_INET6;
}

SEC("lsm/socket_connect")
int BPF_PROG(socket_connect, struct socket *sock, struct sockaddr *address, int size)
{
	struct endpoint endpoint = {};
	struct request request;

	if (!is_internet(family_of(sock)) || !begin(&request, OP_CONNECT, BIT(RIGHT_CONNECT)))
		return 0;
	if (!read_endpoint(&endpoint, address, size, AF_UNSPEC))
		return 0; /* AF_UNSPEC: disconnect; too short: the kernel refuses it */
	resolve_unspecified(&endpoint);
	endpoint.protocol = protocol_of(sock);
	return answer(check_endpoint(&request, &endpoint), -EPERM);
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(socket_sendmsg, struct socket *sock, struct msghdr *message, int size)
{
	struct endpoint endpoint = {};
	struct request request;
	void *name = message->msg_name;
	__u32 family = family_of(sock), protocol;

	if (!name || !is_internet(family))
		return 0;
	protocol = protocol_of(sock);
	/* A connected TCP socket ignores the address; fast open connects by it. */
	if (protocol == IPPROTO_TCP && !(message->msg_flags & MSG_FASTOPEN))
		return 0;
	if (!begin(&request, OP_SENDMSG, BIT(RIGHT_CONNECT)))
		return 0;
	if (!read_endpoint(&endpoint, name, message->msg_namelen, family))
		return 0;
	resolve_unspecified(&endpoint);
	endpoint.protocol = protocol;
	return answer(check_endpoint(&request, &endpoint), -EPERM);
}

static __always_inline __u64 own_identity(void)
{
	return identity_of(bpf_get_current_task_btf());
}

/* Without memory for it nobody is its kin: then the rules decide. */
static __always_inline void remember_owner(struct sock *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!owner || owner->known)
		return;
	owner->identity = own_identity();
	owner->known = 1;
}

/* The unidentified are nobody's kin. */
static __always_inline bool is_kin(struct sock *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, 0);

	return owner && owner->identity && owner->identity == own_identity();
}

SEC("lsm/socket_bind")
int BPF_PROG(socket_bind, struct socket *sock, struct sockaddr *address, int size)
{
	struct endpoint endpoint = {};
	struct request request;
	__u32 family = family_of(sock);

	if (family == AF_UNIX) {
		struct sock *sk = sock->sk;

		if (sk)
			remember_owner(sk);
	} else if (!is_internet(family)) {
		return 0;
	}
	if (!begin(&request, OP_BIND, BIT(RIGHT_LISTEN)))
		return 0;
	if (family == AF_UNIX) {
		char first = 1;

		/* A path is a new file, judged by path_mknod; an abstract name exists by being bound. */
		if (size > 2)
			bpf_probe_read_kernel(&first, 1, (void *)address + 2);
		return first ? 0 : answer(check_abstract(&request, address, size), -EPERM);
	}
	if (!read_endpoint(&endpoint, address, size, family) || !endpoint.port)
		return 0;
	endpoint.protocol = protocol_of(sock);
	return answer(check_endpoint(&request, &endpoint), -EPERM);
}

/* A unix socket: by the path it is bound to, by its abstract name, or a socketpair, which has neither. */
static __always_inline int check_unix_name(struct request *request, struct unix_sock *sock)
{
	struct dentry *dentry = sock->path.dentry;
	struct unix_address *address = NULL;
	int size = 0;

	if (dentry)
		return check_name(request, dentry);
	bpf_core_read(&address, sizeof(address), &sock->addr);
	if (!address) /* a socketpair, or nobody can address it */
		return 0;
	bpf_core_read(&size, sizeof(size), &address->len);
	return check_abstract(request, (void *)address + bpf_core_field_offset(struct unix_address, name), size);
}

/* A socket whose port was chosen by its owner. That an MPTCP socket was bound is known by its first subflow only. */
static __always_inline bool has_own_port(struct sock *sk)
{
	if (sk->sk_protocol == IPPROTO_MPTCP) {
		struct sock *first = NULL;

		bpf_core_read(&first, sizeof(first), &((struct mptcp_sock *)sk)->first);
		sk = first;
	}
	return sk && BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

SEC("lsm/socket_listen")
int BPF_PROG(socket_listen, struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct endpoint endpoint = {};
	struct request request;
	__u8 address[16] = {};

	if (!sk || !begin(&request, OP_LISTEN, BIT(RIGHT_LISTEN)))
		return 0;
	if (family_of(sock) == AF_UNIX) {
		struct unix_sock *unix_socket = (void *)bpf_skc_to_unix_sock(sk);

		return unix_socket ? answer(check_unix_name(&request, unix_socket), -EPERM) : 0;
	}
	if (!is_internet(family_of(sock)))
		return 0;
	if (family_of(sock) == AF_INET) {
		bpf_core_read(address, 4, &sk->__sk_common.skc_rcv_saddr);
		set_v4(&endpoint, address);
	} else {
		bpf_core_read(address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		set_v6(&endpoint, address);
	}
	if (has_own_port(sk))
		endpoint.port = sk->__sk_common.skc_num;
	endpoint.protocol = protocol_of(sock);
	return answer(check_endpoint(&request, &endpoint), -EPERM);
}

SEC("lsm/socket_create")
int BPF_PROG(socket_create, int family, int type, int protocol, int kernel)
{
	__u32 special;

	if (kernel)
		return 0;
	switch (family) {
	case AF_UNIX:
		return 0;
	case AF_INET:
	case AF_INET6:
		if ((type & 0xf) != SOCK_RAW)
			return 0;
		special = SPECIAL_RAW_SOCKET;
		break;
	case AF_NETLINK:
		special = SPECIAL_NETLINK;
		break;
	case AF_VSOCK:
		special = SPECIAL_VSOCK;
		break;
	case AF_ALG:
		special = SPECIAL_AF_ALG;
		break;
	default: /* packet, and every family that nobody asked for by name */
		special = SPECIAL_PACKET_SOCKET;
	}
	return check_special(OP_SOCKET, special, 0, 0, family << 16 | (type & 0xffff));
}

/* Among kin only what is denied by name is: deny rules and Protections. */
static __noinline int check_kin(struct request *request, struct unix_sock *sock)
{
	const struct image_header *image = request->asker.image;
	struct dentry *dentry = sock->path.dentry;
	struct scratch *scratch = get_scratch();
	struct unix_address *address = NULL;
	__u32 class;
	int size = 0;

	if (!scratch)
		return conclude(request, NULL, judge_builtin(&request->asker.subject, RULE_SCRATCH, RIGHT_CONNECT));
	if (dentry) {
		if (classify(request, dentry, dentry->d_inode, NULL, true))
			return 0;
		class = request->class;
	} else {
		bpf_core_read(&address, sizeof(address), &sock->addr);
		if (!address)
			return 0;
		bpf_core_read(&size, sizeof(size), &address->len);
		if (size < 3)
			return 0;
		class = abstract_class(image, scratch,
				       (void *)address + bpf_core_field_offset(struct unix_address, name) + 3,
				       size - 3);
	}
	return conclude(request, dentry,
			judge_denials(image, &request->asker.subject, class, request->flags, request->want));
}

static __always_inline int check_unix_peer(struct sock *peer, __u16 operation)
{
	struct unix_sock *other = (void *)bpf_skc_to_unix_sock(peer);
	struct request request;

	if (!other || !begin(&request, operation, BIT(RIGHT_CONNECT)))
		return 0;
	if (is_kin(peer))
		return answer(check_kin(&request, other), -EPERM);
	return answer(check_unix_name(&request, other), -EPERM);
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(unix_stream_connect, struct sock *sock, struct sock *other)
{
	return check_unix_peer(other, OP_UNIX_CONNECT);
}

SEC("lsm/unix_may_send")
int BPF_PROG(unix_may_send, struct socket *sock, struct socket *other)
{
	struct sock *peer = other->sk;

	if (!peer)
		return 0;
	return check_unix_peer(peer, OP_UNIX_SEND);
}
