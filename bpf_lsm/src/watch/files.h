/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which opens are recorded, and what of them; for both sets of sources. */
#ifndef MENSHEN_WATCH_FILES_H
#define MENSHEN_WATCH_FILES_H

#include "objects.h"

#define FMODE_CREATED (1 << 20)
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516

/* The call is going to be made again. */
static __always_inline bool is_restarted(long result)
{
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

/* Plain files, and devices that hold or reach something; not terminals, null and the like, or pipes and sockets. */
static __always_inline bool is_worth_a_write(__u32 mode, __u32 rdev)
{
	__u32 major = rdev >> 20;

	if (S_ISREG(mode) || (mode & S_IFMT) == S_IFBLK)
		return true;
	if ((mode & S_IFMT) != S_IFCHR)
		return false;
	if (major == 1) /* mem and port are; null, zero, full, random, urandom, kmsg are not */
		return (rdev & 0xfffff) < 3 || (rdev & 0xfffff) == 4;
	return major != 4 && major != 5 && (major < 136 || major > 143);
}

/* The first eight bytes of a name as twelve bits. */
static __always_inline __u32 name_bits(__u64 address)
{
	struct dentry *dentry = (void *)address;
	__u64 name = 0, word = 0;
	__u32 length = 0;

	bpf_core_read(&name, sizeof(name), &dentry->d_name.name);
	bpf_core_read(&length, sizeof(length), &dentry->d_name.len);
	bpf_probe_read_kernel(&word, sizeof(word), (void *)name);
	if (length < 8)
		word &= (1ull << (length & 7) * 8) - 1;
	return word * 0x9e3779b97f4a7c15ull >> 52;
}

static __always_inline bool has_bit(const __u64 *bits, __u32 at)
{
	return bits[at >> 6 & (READ_WORDS - 1)] >> (at & 63) & 1;
}

/* A look that costs little: could this name, or its folder's, be on the list of what is watched for reading? */
static __always_inline bool may_be_listed(struct watch_control *control, __u64 address)
{
	struct dentry *dentry = (void *)address;
	__u64 parent = 0;

	if (has_bit(control->read_names, name_bits(address)))
		return true;
	bpf_core_read(&parent, sizeof(parent), &dentry->d_parent);
	return has_bit(control->read_folders, name_bits(parent));
}

static __always_inline bool is_listed_text(struct watch_scratch *scratch, struct watch_control *control, __u32 from,
					   __u32 to)
{
	struct watch_hash hash;

	if (from > to || to > TEXT_SIZE)
		return false;
	siphash(scratch, from, to - from, control->key, &hash);
	return bpf_map_lookup_elem(&reads, &hash);
}

/* The exact answer: the path, the name, the folder's path or the folder's name with a slash is on the list. */
__noinline int is_listed(struct watch_scratch *scratch, __u64 dentry)
{
	struct watch_control *control = get_watch_control();
	__u32 at, name, folder, listed;
	__u64 saved, *after;

	if (!scratch || !control)
		return 0;
	at = write_path(scratch, dentry, TEXT_SIZE);
	if (at > TEXT_SIZE)
		return 0;
	name = scratch->walk.depth > 1 ? scratch->ats[1] : at;
	folder = scratch->walk.depth > 2 ? scratch->ats[2] : at;
	if (name >= TEXT_SIZE || folder > name)
		return 0;
	if (is_listed_text(scratch, control, at, TEXT_SIZE) || is_listed_text(scratch, control, name + 1, TEXT_SIZE))
		return 1;
	/* hashing overwrites the eight bytes after it */
	after = (void *)text_at(scratch, name + 1);
	saved = *after;
	listed = is_listed_text(scratch, control, at, name + 1) ||
		 is_listed_text(scratch, control, folder + 1, name + 1);
	*after = saved;
	return listed;
}

static __always_inline bool is_watched_read(__u64 dentry)
{
	struct watch_control *control = get_watch_control();
	struct watch_scratch *scratch;
	__u32 slot;
	bool listed;

	if (!control || !control->reads || !may_be_listed(control, dentry))
		return false;
	slot = take_slot();
	if (slot >= scratch_slots) {
		meter(METER_NO_MEMORY);
		return true; /* rather one too many */
	}
	scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!scratch)
		return true;
	listed = is_listed(scratch, dentry);
	give_back(scratch);
	return listed;
}

/* An open that succeeded: up to two records. `flags` as the caller gave them. */
static __noinline int record_open(__u64 address, __u32 flags)
{
	struct file *file = (void *)address;
	struct inode *inode = NULL;
	struct watch_scratch *scratch;
	__u64 dentry = 0;
	__u32 mode = 0, rdev = 0, open_mode = 0;
	__u16 bits = 0;

	bpf_core_read(&open_mode, sizeof(open_mode), &file->f_mode);
	if (!(open_mode & (FMODE_WRITE | FMODE_CREATED))) {
		if (open_mode & FMODE_READ) {
			bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry);
			if (is_watched_read(dentry)) {
				scratch = begin(WATCH_FILE_OPEN);
				if (scratch) {
					describe_file(scratch, as_number(scratch, file));
					scratch->record.detail = flags;
					finish(scratch);
				}
			}
		}
		return 0;
	}
	bpf_core_read(&inode, sizeof(inode), &file->f_inode);
	bpf_core_read(&bits, sizeof(bits), &inode->i_mode);
	bpf_core_read(&rdev, sizeof(rdev), &inode->i_rdev);
	mode = bits;
	if (open_mode & FMODE_CREATED) {
		scratch = begin(WATCH_FILE_CREATE);
		if (scratch) {
			describe_file(scratch, as_number(scratch, file));
			scratch->record.detail = mode;
			finish(scratch);
		}
	}
	if (open_mode & FMODE_WRITE && is_worth_a_write(mode, rdev)) {
		scratch = begin(WATCH_FILE_WRITE);
		if (scratch) {
			describe_file(scratch, as_number(scratch, file));
			scratch->record.detail = flags;
			finish(scratch);
		}
	}
	return 0;
}

/* An event whose object is an open file. */
static __noinline int record_file(__u32 type, __u64 file, __u32 detail, __s64 result)
{
	struct watch_scratch *scratch = begin(type);

	if (!scratch)
		return 0;
	describe_file(scratch, file);
	scratch->record.detail = detail;
	scratch->record.result = result;
	if (type == WATCH_MEMFD)
		scratch->record.flags &= ~WATCH_PATH_UNRESOLVED;
	finish(scratch);
	return 0;
}

static __always_inline bool wants_write(__u32 flags)
{
	return flags & (O_ACCMODE | O_TRUNC | O_CREAT);
}

#endif
