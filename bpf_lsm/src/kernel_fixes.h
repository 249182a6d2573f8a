/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Kernel renames that matter to us, each one small helper with its reason. */
#ifndef MENSHEN_KERNEL_FIXES_H
#define MENSHEN_KERNEL_FIXES_H

#include "kernel.h"

/* 6.2 introduced bpf_rdonly_cast(), by which memory is read without a helper; a fault reads 0 there too. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

static __always_inline bool can_read_directly(void)
{
	return bpf_rdonly_cast;
}

/* What words() gives has words of eight bytes like this: struct pt_regs begins with fifteen of them on every kernel. */
static __always_inline const void *words(const void *address)
{
	return bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct pt_regs));
}

/* In assembly: clang would share the load with that from a map, and the verifier takes one kind of pointer for each. */
#define WORD_AT(words, offset)                                                                                         \
	({                                                                                                             \
		__u64 word_;                                                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(word_) : "r"(words), "i"(offset));                        \
		word_;                                                                                                 \
	})

/* Eight bytes of kernel memory, as bpf_probe_read_kernel() would read them: one load instead of 81 instructions (6.12). */
static __always_inline __u64 read_word(const void *address)
{
	__u64 word = 0;

	if (can_read_directly())
		return WORD_AT(words(address), 0);
	bpf_probe_read_kernel(&word, sizeof(word), address);
	return word;
}

static __always_inline __u32 read_half(const void *address)
{
	__u32 half = 0;
	__u64 word;

	if (!can_read_directly()) {
		bpf_probe_read_kernel(&half, sizeof(half), address);
		return half;
	}
	asm volatile("%0 = *(u32 *)(%1 + 0)"
		     : "=r"(word)
		     : "r"(bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct pt_regs))));
	return word;
}

/* 6.18 (mount.h: "mnt_next_for_sb") replaced the list sb->s_mounts, oldest first, by a chain, newest first. */
struct mount___chain {
	struct mount *mnt_next_for_sb;
} KERNEL_TYPE;

struct super_block___chain {
	struct mount *s_mounts;
} KERNEL_TYPE;

static __always_inline bool mounts_are_chained(void)
{
	return bpf_core_field_exists(struct mount___chain, mnt_next_for_sb);
}

static __always_inline struct mount *first_mount(struct super_block *sb)
{
	if (mounts_are_chained())
		return (void *)read_word(&((struct super_block___chain *)sb)->s_mounts);

	struct list_head *next = (void *)read_word(&sb->s_mounts.next);

	if (!next || next == __builtin_preserve_access_index(&sb->s_mounts))
		return NULL;
	return (void *)next - bpf_core_field_offset(struct mount, mnt_instance);
}

static __always_inline struct mount *next_mount(struct super_block *sb, struct mount *mount)
{
	if (mounts_are_chained())
		return (void *)read_word(&((struct mount___chain *)mount)->mnt_next_for_sb);

	struct list_head *next = (void *)read_word(&mount->mnt_instance.next);

	if (!next || next == __builtin_preserve_access_index(&sb->s_mounts))
		return NULL;
	return (void *)next - bpf_core_field_offset(struct mount, mnt_instance);
}

/* 6.13 made d_iname, where short names are kept, a union. */
union shortname_store {
	unsigned char string[40];
} KERNEL_TYPE;

struct dentry___shortname {
	union shortname_store d_shortname;
} KERNEL_TYPE;

/* Of a name that is short enough (d_name.len): its bytes. All kernels have room for 32 and align them. */
static __always_inline const __u64 *short_name(struct dentry *dentry)
{
	if (bpf_core_field_exists(struct dentry___shortname, d_shortname))
		return (void *)dentry + bpf_core_field_offset(struct dentry___shortname, d_shortname);
	return (void *)dentry + bpf_core_field_offset(struct dentry, d_iname);
}

/*
 * 6.19 put file->f_path into a union. The verifier trusts no pointer that was read through a union, so from a file
 * the dentry can be read but not be given to the inode storage helpers.
 */
struct file___union {
	struct path __f_path;
} KERNEL_TYPE;

static __always_inline bool path_of_file_is_trusted(void)
{
	return !bpf_core_field_exists(struct file___union, __f_path);
}

#endif
