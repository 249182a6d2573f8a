/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which identity the content of a file gives. The digest is computed once and kept with the inode; it is valid as
 * long as `changes` has not moved. Everything that may change content or meaning moves it *before* it happens.
 *
 * A writer that was there before the hash began would not move it again: so there must be no writer at the start
 * (i_writecount; a hook on open for writing comes after the count was raised), and `changes` must be the same at
 * the end.
 */
#ifndef MENSHEN_CONTENT_H
#define MENSHEN_CONTENT_H

#include "automaton.h"

static __always_inline void content_changes(struct inode *inode)
{
	struct content *content;

	if (!inode || !S_ISREG(inode->i_mode))
		return;
	content = bpf_inode_storage_get(&contents, inode, 0, 0);
	if (content)
		__sync_fetch_and_add(&content->changes, 1);
}

/* File systems whose content changes only through this kernel's own hooks. Others give no identity. */
static __always_inline bool content_is_ours(struct super_block *sb)
{
	if (sb->s_flags & SB_KERNMOUNT) /* memfd: its first descriptor writes without being counted as a writer */
		return false;
	switch (sb->s_magic) {
	case 0xef53: /* ext2, ext3, ext4 */
	case 0x58465342: /* xfs */
	case 0x9123683e: /* btrfs */
	case TMPFS_MAGIC:
	case 0x858458f6: /* ramfs: the initramfs */
	case 0x794c7630: /* overlayfs */
	case 0xf2f52010: /* f2fs */
	case 0x73717368: /* squashfs */
	case 0xe0f5e1e2: /* erofs */
		return true;
	}
	return false;
}

static __always_inline __u64 look_up_identity(const struct digest *digest)
{
	struct credential *credential = bpf_map_lookup_elem(&catalogue, digest);

	return credential ? credential->identity : 0;
}

/* The identity that is known without hashing: for hooks that cannot sleep. 0: none. */
static __always_inline __u64 known_identity(struct inode *inode, struct control *switches)
{
	struct content *content = bpf_inode_storage_get(&contents, inode, 0, 0);

	if (!content || content->hashed != content->changes + 1)
		return 0;
	if (content->catalogue != switches->catalogue) {
		__u64 generation = *(volatile __u64 *)&switches->catalogue;

		content->identity = look_up_identity(&content->digest);
		content->catalogue = generation;
	}
	return content->identity;
}

/* The first eight bytes of the digest that is known, as a number; 0: none is. */
static __always_inline __u64 short_digest(struct inode *inode)
{
	struct content *content = bpf_inode_storage_get(&contents, inode, 0, 0);

	if (!content || content->hashed != content->changes + 1)
		return 0;
	return bpf_be64_to_cpu(*(__u64 *)content->digest.sha256);
}

/* Hashes what is there. False: it is being written, or changed meanwhile, or cannot be read. */
static __always_inline bool take_digest(struct file *file, struct inode *inode, struct content *content)
{
	struct digest digest = {};
	__u64 changes = *(volatile __u64 *)&content->changes;

	if (content->hashed == changes + 1)
		return true;
	if (inode->i_writecount.counter > 0)
		return false;
	count(COUNT_HASHED);
	if (bpf_ima_file_hash(file, &digest, sizeof(digest)) != 4 /* HASH_ALGO_SHA256 */)
		return false;
	__builtin_memcpy(&content->digest, &digest, sizeof(digest));
	content->catalogue = 0; /* look the identity up anew */
	if (*(volatile __u64 *)&content->changes != changes)
		return false;
	content->hashed = changes + 1;
	return true;
}

/* For sleepable programs: makes known_identity() answer for this file. */
static __always_inline void identify(struct file *file, struct inode *inode)
{
	struct content *content;

	if (!S_ISREG(inode->i_mode))
		return;
	if (!content_is_ours(inode->i_sb)) {
		count(COUNT_UNTRUSTED_FS);
		return;
	}
	content = bpf_inode_storage_get(&contents, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!content) /* no memory, or another task made it in this very instant (EEXIST) */
		content = bpf_inode_storage_get(&contents, inode, 0, 0);
	/* A second time: a change that is over, as of its mode, takes nothing away. */
	if (!content || (!take_digest(file, inode, content) && !take_digest(file, inode, content)))
		count(COUNT_NOT_HASHED);
}

#endif
