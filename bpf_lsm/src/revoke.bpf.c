/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is held already and would not be allowed any more: a record for each, as struct event. Nothing is changed and
 * nothing counted. Reads and writes have no hook of ours, so a tightened policy finds here what it came too late for.
 *
 * | program          | what it is for                                                                    |
 * |------------------|-----------------------------------------------------------------------------------|
 * | held_descriptors | (iter/task_file) files by read, write, append; sockets by connect, listen         |
 * | held_mappings    | (iter/task_vma) file mappings: map-exec, and write where they are shared          |
 */
#include "held.h"

struct look {
	struct control *switches;
	const struct image_header *image;
	struct scratch *scratch;
};

/* Begins a look at what `task` holds. False: nothing of it could matter. */
static __always_inline bool look_at(struct look *look, struct task_struct *task)
{
	struct label *label;
	__u32 slot;

	look->switches = get_control();
	if (!look->switches || task->flags & PF_KTHREAD)
		return false;
	slot = active_slot(look->switches);
	look->image = image_of(slot);
	look->scratch = get_scratch();
	if (!look->image || !look->scratch)
		return false;
	label = label_of(task);
	if (label && label->flags & LABEL_KERNEL)
		return false;
	/* Not refresh(): the label is another task's, and it may be executing. */
	if (!begin_held(look->scratch, look->image, slot, label ? label->identity : 0,
			HOLDABLE | BIT(RIGHT_CONNECT) | BIT(RIGHT_LISTEN)))
		return false;
	if (label && label->flags & LABEL_AGENT)
		look->scratch->held.watch &= ~BIT(RIGHT_LIST);
	note_holder(&look->scratch->held, task);
	return true;
}

static __always_inline void tell(struct look *look, struct seq_file *seq, const struct event *event)
{
	bpf_seq_write(seq, event, record_size(event));
}

static __noinline __u64 judge_end(struct look *look, const struct endpoint *endpoint, __u32 right)
{
	const struct image_header *image = look->image;
	struct held *held = &look->scratch->held;
	struct subject subject = { .row = held->row, .row_flags = held->row_flags, .watch = held->watch };

	return judge_class(image, &subject, endpoint_class(image, endpoint), 0, BIT(right));
}

static __always_inline void set_end(struct endpoint *endpoint, __u32 family, const void *v4, const void *v6)
{
	__u8 address[16] = {};

	bpf_probe_read_kernel(address, family == AF_INET ? 4 : 16, family == AF_INET ? v4 : v6);
	if (family == AF_INET)
		set_v4(endpoint, address);
	else
		set_v6(endpoint, address);
}

/*
 * A socket of the internet. The kernel does not keep which end began a connection: one whose own end the subject may
 * listen on may have been accepted there, and is not told of.
 */
static __always_inline __u64 judge_held_socket(struct look *look, struct socket *socket, struct endpoint *endpoint)
{
	struct endpoint own = {};
	struct sock *sk = socket->sk;
	__u16 family = 0, protocol = 0, port = 0;
	__u8 state = TCP_CLOSE, shutdown = 0;
	__be16 peer = 0;
	__u64 verdict;

	if (!sk)
		return 0;
	bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family);
	if (!is_internet(family))
		return 0;
	bpf_core_read(&protocol, sizeof(protocol), &sk->sk_protocol);
	bpf_core_read(&state, sizeof(state), &sk->__sk_common.skc_state);
	bpf_core_read(&port, sizeof(port), &sk->__sk_common.skc_num);
	bpf_core_read(&peer, sizeof(peer), &sk->__sk_common.skc_dport);
	own.protocol = endpoint->protocol = policy_protocol(protocol);
	own.port = port;
	set_end(&own, family, &sk->__sk_common.skc_rcv_saddr, &sk->__sk_common.skc_v6_rcv_saddr);
	if (state == TCP_LISTEN) {
		if (!has_own_port(sk))
			own.port = 0;
		*endpoint = own;
		return judge_end(look, endpoint, RIGHT_LISTEN);
	}
	/* After shutdown(SHUT_RDWR) nothing passes any more. */
	bpf_core_read(&shutdown, sizeof(shutdown), &sk->sk_shutdown);
	if (state == TCP_CLOSE || !peer || shutdown == SHUTDOWN_MASK)
		return 0;
	endpoint->port = bpf_ntohs(peer);
	set_end(endpoint, family, &sk->__sk_common.skc_daddr, &sk->__sk_common.skc_v6_daddr);
	verdict = judge_end(look, endpoint, RIGHT_CONNECT);
	if (!verdict || !judge_end(look, &own, RIGHT_LISTEN))
		return 0;
	return verdict;
}

SEC("iter/task_file")
int held_descriptors(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct endpoint endpoint = {};
	struct socket *socket;
	struct event *event;
	struct look look;
	struct held *held;
	__u64 verdict;

	if (!task || !file || !look_at(&look, task))
		return 0;
	held = &look.scratch->held;
	held->descriptor = ctx->fd;
	held->want = note_file(held, (__u64)file);
	socket = bpf_sock_from_file(file);
	if (socket) {
		verdict = judge_held_socket(&look, socket, &endpoint);
		if (!verdict)
			return 0;
		event = describe_holder(look.scratch, look.image, task, verdict, OP_HOLD);
		event->protocol = endpoint.protocol;
		event->family = endpoint.family;
		event->port = endpoint.port;
		__builtin_memcpy(event->address, endpoint.address, sizeof(event->address));
		event->inode = file->f_inode->i_ino;
	} else {
		verdict = held->want ? judge_held(look.scratch, look.image, look.switches) : 0;
		if (!verdict)
			return 0;
		event = describe_holder(look.scratch, look.image, task, verdict, OP_HOLD);
		describe_held(look.scratch, look.image);
	}
	tell(&look, ctx->meta->seq, event);
	return 0;
}

/* What this mapping takes that opening its file did not. The program itself was judged when it was executed. */
static __always_inline __u32 mapping_rights(struct vm_area_struct *vma, __u64 address)
{
	struct file *file = (void *)address, *program = NULL;
	unsigned long flags = vma->vm_flags;
	struct inode *inode = NULL, *own = NULL;
	struct mm_struct *mm = vma->vm_mm;
	fmode_t mode = 0;
	__u32 want = 0;

	bpf_core_read(&mode, sizeof(mode), &file->f_mode);
	if (mode & FMODE_NOACCOUNT) /* the file below an overlay's */
		return 0;
	if (flags & VM_SHARED && flags & VM_MAYWRITE)
		want |= BIT(RIGHT_WRITE);
	if (flags & VM_EXEC) {
		bpf_core_read(&inode, sizeof(inode), &file->f_inode);
		bpf_core_read(&program, sizeof(program), &mm->exe_file);
		bpf_core_read(&own, sizeof(own), &program->f_inode);
		if (inode != own)
			want |= BIT(RIGHT_MAP_EXEC);
	}
	return want;
}

SEC("iter/task_vma")
int held_mappings(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct event *event;
	struct look look;
	struct held *held;
	__u64 file = 0, verdict;

	if (!task || !vma)
		return 0;
	/* As a number: it may be NULL, whatever the verifier believes. */
	bpf_core_read(&file, sizeof(file), &vma->vm_file);
	if (!file || !look_at(&look, task))
		return 0;
	held = &look.scratch->held;
	note_file(held, file);
	held->want = mapping_rights(vma, file) & held->watch;
	if (!held->want)
		return 0;
	verdict = judge_held(look.scratch, look.image, look.switches);
	if (!verdict)
		return 0;
	event = describe_holder(look.scratch, look.image, task, verdict, OP_HOLD_MAPPED);
	event->detail = 0;
	describe_held(look.scratch, look.image);
	tell(&look, ctx->meta->seq, event);
	return 0;
}
