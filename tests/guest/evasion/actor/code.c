/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Files and memory that become code. */
#include "actor.h"

#include <sys/ipc.h>
#include <sys/personality.h>
#include <sys/shm.h>

static int mapped(void *memory)
{
	return memory == MAP_FAILED ? -errno : 0;
}

static int map_file(const char *path, int flags, int protection, int kind)
{
	int fd = STEP(do_open(path, flags));

	return mapped(mmap(NULL, 4096, protection, kind, fd, 0));
}

OPERATION(op_map, "map-code", set_tools)
{
	return map_file(at("object/tool"), O_RDONLY, PROT_READ | PROT_EXEC, MAP_PRIVATE);
}

OPERATION(op_map_stray, "map-unidentified", set_tools)
{
	return map_file(at("object/stray"), O_RDONLY, PROT_READ | PROT_EXEC, MAP_PRIVATE);
}

OPERATION(op_map_shared, "map-unidentified-shared", set_tools)
{
	return map_file(at("object/stray"), O_RDONLY, PROT_READ | PROT_EXEC, MAP_SHARED);
}

static int protect_file(const char *path)
{
	int fd = STEP(do_open(path, O_RDONLY));
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	STEP(mapped(memory));
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
}

OPERATION(op_protect_stray, "mprotect-unidentified", set_tools)
{
	return protect_file(at("object/stray"));
}

OPERATION(op_protect_key, "pkey-mprotect-unidentified", set_tools)
{
	int fd = STEP(do_open(at("object/stray"), O_RDONLY));
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	STEP(mapped(memory));
	return TRY(SYS(SYS_pkey_mprotect, memory, 4096, PROT_READ | PROT_EXEC, -1));
}

OPERATION(op_map_persona, "map-unidentified-read-implies-exec", set_tools)
{
	STEP(LIBC(personality(READ_IMPLIES_EXEC)));
	return map_file(at("object/stray"), O_RDONLY, PROT_READ, MAP_PRIVATE);
}

OPERATION(op_map_anonymous, "map-anonymous-code", NULL)
{
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

OPERATION(op_map_wx, "map-writable-code", NULL)
{
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

OPERATION(op_protect_written, "mprotect-written", NULL)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	STEP(mapped(memory));
	memory[0] = (char)0xc3;
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
}

OPERATION(op_protect_stack, "mprotect-stack", NULL)
{
	uintptr_t page = (uintptr_t)__builtin_frame_address(0) & ~4095ul;

	return TRY(LIBC(mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)));
}

OPERATION(op_protect_heap, "mprotect-heap", NULL)
{
	char *memory = sbrk(8192);
	uintptr_t page = ((uintptr_t)memory + 4095) & ~4095ul;

	*(char *)page = 1;
	return TRY(LIBC(mprotect((void *)page, 4096, PROT_READ | PROT_EXEC)));
}

OPERATION(op_protect_private, "mprotect-written-file", set_tools)
{
	int fd = STEP(do_open(at("free/tool"), O_RDONLY));
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	STEP(mapped(memory));
	memory[0] = (char)0xc3; /* a copy of the page that no file vouches for */
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
}

OPERATION(op_map_wx_file, "map-writable-file-code", set_tools)
{
	int fd = STEP(do_open(at("free/tool"), O_RDWR));

	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
}

OPERATION(op_dual, "map-dual-memfd", NULL)
{
	int fd = STEP(LIBC(memfd_create("evasion", MFD_CLOEXEC)));
	char *memory;

	STEP(LIBC(ftruncate(fd, 4096)));
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	STEP(mapped(memory));
	memory[0] = (char)0xc3;
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
}

OPERATION(op_dual_shared, "map-dual-memfd-shared", NULL)
{
	int fd = STEP(LIBC(memfd_create("evasion", MFD_CLOEXEC)));

	STEP(LIBC(ftruncate(fd, 4096)));
	STEP(mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
}

OPERATION(op_dual_file, "map-dual-file", set_tools)
{
	int fd = STEP(do_open(at("free/stray"), O_RDWR)), other = STEP(do_open(at("free/stray"), O_RDONLY));

	STEP(mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, other, 0));
}

OPERATION(op_shm, "shm-exec", NULL)
{
	int id = STEP(LIBC(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700)));
	void *memory = shmat(id, NULL, SHM_EXEC);
	int error = memory == (void *)-1 ? -errno : 0;

	shmctl(id, IPC_RMID, NULL);
	return error;
}

OPERATION(op_shared_anonymous, "map-shared-anonymous-code", NULL)
{
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

OPERATION(op_protect_shared, "mprotect-shared-anonymous", NULL)
{
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	STEP(mapped(memory));
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
}

OPERATION(op_dual_zero, "map-dual-zero-memfd", NULL)
{
	int fd = STEP(LIBC(memfd_create("dev/zero", MFD_CLOEXEC)));

	STEP(LIBC(ftruncate(fd, 4096)));
	return mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
}

#define HUGE (2 << 20)

static void *map_huge(int protection, int kind)
{
	/* Not touched, so none has to be set aside. */
	return mmap(NULL, HUGE, protection, kind | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
}

OPERATION(op_huge, "map-huge-code", NULL)
{
	return mapped(map_huge(PROT_READ | PROT_EXEC, MAP_PRIVATE));
}

OPERATION(op_huge_shared, "map-huge-shared-code", NULL)
{
	return mapped(map_huge(PROT_READ | PROT_EXEC, MAP_SHARED));
}

OPERATION(op_protect_huge, "mprotect-huge", NULL)
{
	void *memory = map_huge(PROT_READ, MAP_PRIVATE);

	STEP(mapped(memory));
	return TRY(LIBC(mprotect(memory, HUGE, PROT_READ | PROT_EXEC)));
}

OPERATION(op_dual_huge, "map-dual-huge-memfd", NULL)
{
	int fd = STEP(LIBC(memfd_create("anon_hugepage", MFD_CLOEXEC | MFD_HUGETLB)));

	return mapped(mmap(NULL, HUGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_NORESERVE, fd, 0));
}

OPERATION(op_own_memory, "write-own-code", NULL)
{
	unsigned char byte = *(unsigned char *)(uintptr_t)op_own_memory;
	int fd = TRY(do_open("/proc/self/mem", O_RDWR));

	TRY(LIBC(pwrite(fd, &byte, 1, (off_t)(uintptr_t)op_own_memory)));
	return 0;
}

OPERATION(op_remap, "mremap-code", set_tools)
{
	/* Code may be moved; it is still that file's. */
	int fd = STEP(do_open(at("object/stray"), O_RDONLY));
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	STEP(mapped(memory));
	memory = mremap(memory, 4096, 8192, MREMAP_MAYMOVE);
	STEP(mapped(memory));
	return TRY(LIBC(mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
}
