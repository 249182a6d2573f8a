/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The calls that io_uring has too, plain or through a ring whose worker does them. */
#include "actor.h"

#include <linux/io_uring.h>

#ifndef IORING_OP_FTRUNCATE
enum { OP_FTRUNCATE = 55, OP_BIND = 56, OP_LISTEN = 57 };
#endif

static struct {
	int fd;
	struct io_uring_params params;
	char *memory;
	struct io_uring_sqe *entries;
} ring = { .fd = -1 };

static long open_ring(void)
{
	size_t size;

	if (ring.fd >= 0)
		return 0;
	memset(&ring.params, 0, sizeof(ring.params));
	ring.fd = syscall(SYS_io_uring_setup, 4, &ring.params);
	if (ring.fd < 0)
		return -errno - BROKEN;
	size = ring.params.cq_off.cqes + ring.params.cq_entries * sizeof(struct io_uring_cqe);
	if (size < ring.params.sq_off.array + ring.params.sq_entries * sizeof(uint32_t))
		size = ring.params.sq_off.array + ring.params.sq_entries * sizeof(uint32_t);
	ring.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.entries = mmap(NULL, ring.params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	if (ring.memory == MAP_FAILED || ring.entries == MAP_FAILED)
		return -errno - BROKEN;
	return 0;
}

static long submit(struct io_uring_sqe entry)
{
	uint32_t *tail, *array, *mask, *done, head;
	struct io_uring_cqe *results;
	long error = open_ring();

	if (error)
		return error;
	tail = (uint32_t *)(ring.memory + ring.params.sq_off.tail);
	mask = (uint32_t *)(ring.memory + ring.params.sq_off.ring_mask);
	array = (uint32_t *)(ring.memory + ring.params.sq_off.array);
	done = (uint32_t *)(ring.memory + ring.params.cq_off.head);
	results = (struct io_uring_cqe *)(ring.memory + ring.params.cq_off.cqes);
	entry.flags |= IOSQE_ASYNC; /* by a worker, not by us */
	ring.entries[*tail & *mask] = entry;
	array[*tail & *mask] = *tail & *mask;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno - BROKEN;
	head = *done;
	error = results[head & *(uint32_t *)(ring.memory + ring.params.cq_off.ring_mask)].res;
	__atomic_store_n(done, head + 1, __ATOMIC_RELEASE);
	return error;
}

static uint64_t address_of(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

long do_openat(int folder, const char *path, int flags, int mode)
{
	if (!variant_is_ring)
		return SYS(SYS_openat, folder, path, flags, mode);
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT, .fd = folder, .addr = address_of(path), .len = mode, .open_flags = flags });
}

long do_renameat2(int from, const char *old, int to, const char *new, unsigned int flags)
{
	if (!variant_is_ring)
		return SYS(SYS_renameat2, from, old, to, new, flags);
	return submit((struct io_uring_sqe){ .opcode = IORING_OP_RENAMEAT,
					     .fd = from,
					     .addr = address_of(old),
					     .len = to,
					     .off = address_of(new),
					     .rename_flags = flags });
}

long do_unlinkat(int folder, const char *path, int flags)
{
	if (!variant_is_ring)
		return SYS(SYS_unlinkat, folder, path, flags);
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_UNLINKAT, .fd = folder, .addr = address_of(path), .unlink_flags = flags });
}

long do_mkdirat(int folder, const char *path, int mode)
{
	if (!variant_is_ring)
		return SYS(SYS_mkdirat, folder, path, mode);
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_MKDIRAT, .fd = folder, .addr = address_of(path), .len = mode });
}

long do_symlinkat(const char *target, int folder, const char *path)
{
	if (!variant_is_ring)
		return SYS(SYS_symlinkat, target, folder, path);
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_SYMLINKAT, .fd = folder, .addr = address_of(target), .off = address_of(path) });
}

long do_linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (!variant_is_ring)
		return SYS(SYS_linkat, from, old, to, new, flags);
	return submit((struct io_uring_sqe){ .opcode = IORING_OP_LINKAT,
					     .fd = from,
					     .addr = address_of(old),
					     .len = to,
					     .off = address_of(new),
					     .hardlink_flags = flags });
}

long do_fallocate(int fd, int mode, off_t offset, off_t size)
{
	if (!variant_is_ring)
		return LIBC(fallocate(fd, mode, offset, size));
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_FALLOCATE, .fd = fd, .len = mode, .off = offset, .addr = size });
}

long do_setxattr(const char *path, const char *name, const void *value, size_t size)
{
	if (!variant_is_ring)
		return SYS(SYS_setxattr, path, name, value, size, 0);
	return submit((struct io_uring_sqe){ .opcode = IORING_OP_SETXATTR,
					     .addr = address_of(name),
					     .off = address_of(value),
					     .len = size,
					     .addr3 = address_of(path) });
}

long do_setxattr_as_before(const char *path, const char *name, const void *value, size_t size)
{
	long personality;

	STEP(open_ring());
	personality = STEP(SYS(SYS_io_uring_register, ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0));
	STEP(LIBC(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))); /* needs no right, and makes new credentials */
	return submit((struct io_uring_sqe){ .opcode = IORING_OP_SETXATTR,
					     .addr = address_of(name),
					     .off = address_of(value),
					     .len = size,
					     .addr3 = address_of(path),
					     .personality = personality });
}

long do_ftruncate(int fd, off_t size)
{
	long result = -EINVAL;

	if (variant_is_ring) /* 6.9 */
		result = submit((struct io_uring_sqe){ .opcode = OP_FTRUNCATE, .fd = fd, .off = size });
	return result == -EINVAL ? LIBC(ftruncate(fd, size)) : result;
}

/* At the beginning, with RWF_ flags. */
long do_write(int fd, const void *data, size_t size, int flags)
{
	struct iovec vector = { (void *)data, size };

	if (!variant_is_ring)
		return LIBC(pwritev2(fd, &vector, 1, 0, flags));
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_WRITEV, .fd = fd, .addr = address_of(&vector), .len = 1, .rw_flags = flags });
}

long do_splice(int from, int to, size_t size)
{
	if (!variant_is_ring)
		return SYS(SYS_splice, from, NULL, to, NULL, size, 0);
	return submit((struct io_uring_sqe){ .opcode = IORING_OP_SPLICE,
					     .fd = to,
					     .off = -1,
					     .splice_fd_in = from,
					     .splice_off_in = -1,
					     .len = size });
}

long do_connect(int fd, const void *address, socklen_t size)
{
	if (!variant_is_ring)
		return LIBC(connect(fd, address, size));
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_CONNECT, .fd = fd, .addr = address_of(address), .off = size });
}

long do_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (!variant_is_ring)
		return LIBC(sendmsg(fd, message, flags));
	return submit((struct io_uring_sqe){
		.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = address_of(message), .len = 1, .msg_flags = flags });
}

long do_bind(int fd, const void *address, socklen_t size)
{
	long result = -EINVAL;

	if (variant_is_ring) /* 6.11 */
		result = submit(
			(struct io_uring_sqe){ .opcode = OP_BIND, .fd = fd, .addr = address_of(address), .off = size });
	return result == -EINVAL ? LIBC(bind(fd, address, size)) : result;
}

long do_listen(int fd, int backlog)
{
	long result = -EINVAL;

	if (variant_is_ring) /* 6.11 */
		result = submit((struct io_uring_sqe){ .opcode = OP_LISTEN, .fd = fd, .len = backlog });
	return result == -EINVAL ? LIBC(listen(fd, backlog)) : result;
}
