/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who the current task is, and which row of the image in force that is. */
#ifndef MENSHEN_SUBJECT_H
#define MENSHEN_SUBJECT_H

#include "automaton.h"
#include "kernel_fixes.h"

/* The subject of one hook call: a copy, so that everything in the call is judged as one subject. */
struct subject {
	__u32 row;
	__u32 row_flags;
	__u32 watch;
};

static __always_inline const struct image_row *image_row(const struct image_header *image, __u32 row)
{
	if (row >= image->n_rows)
		row = ROW_UNIDENTIFIED;
	return image_at(image, image->off_rows + row * sizeof(struct image_row));
}

struct row_search {
	const struct image_header *image;
	__u64 identity;
	__u32 low;
	__u32 high;
	__u32 row;
};

static long search_row(__u32 i, struct row_search *search)
{
	const struct image_header *image = search->image;
	const struct image_identity *entry;
	__u32 middle = (search->low + search->high) / 2;

	if (search->low >= search->high)
		return 1;
	entry = image_at(image, image->off_identities + middle * sizeof(struct image_identity));
	if (entry->identity == search->identity) {
		search->row = entry->row;
		return 1;
	}
	if (entry->identity < search->identity)
		search->low = middle + 1;
	else
		search->high = middle;
	return 0;
}

static __always_inline __u32 find_row(const struct image_header *image, __u64 identity)
{
	struct row_search search = {
		.image = image,
		.identity = identity,
		.high = image->n_identities,
		.row = ROW_UNCONFINED,
	};

	if (!identity)
		return ROW_UNIDENTIFIED;
	bpf_loop(32, search_row, &search, 0);
	return search.row;
}

/* After an exec or a new image: look the row up once; the hooks then only compare the generation. */
static __noinline int refresh(struct label *label, const struct image_header *image)
{
	__u32 row = find_row(image, label->identity);
	const struct image_row *entry = image_row(image, row);

	label->row = row;
	label->row_flags = label->flags & LABEL_KERNEL ? ROW_KERNEL : entry->flags;
	/* For a confined subject every answer matters: an exec or a mapping also asks who vouches for the file. */
	label->watch = entry->flags & ROW_CONFINED ? ~0u : entry->watch | image->sequence_rights;
	/* The agent looks for other names of what is protected, wherever that is: it may list, not read. */
	if (label->flags & LABEL_AGENT)
		label->watch &= ~BIT(RIGHT_LIST);
	barrier();
	label->generation = image->generation;
	return 0;
}

static __always_inline struct label *label_of(struct task_struct *task)
{
	return bpf_task_storage_get(&labels, task, 0, 0);
}

#define LABEL_OFFSET 8 /* in struct bpf_local_storage_data, behind smap */

/*
 * Where a task's label is, for LABEL_WORD(); NULL: ask label_of(). It is what label_of() finds first, without the call:
 * the same entry, checked to be of the same map, and not a copy that could be out of date.
 */
static __always_inline const void *place_of_label(struct task_struct *task)
{
	struct bpf_local_storage_map *map = (void *)&labels;
	struct bpf_local_storage_data *data;
	struct bpf_local_storage *storage;
	const void *place;

	if (!can_read_directly() || bpf_core_field_offset(struct bpf_local_storage_data, data) != LABEL_OFFSET)
		return NULL;
	storage = bpf_rdonly_cast((void *)task->bpf_storage + map->cache_idx * sizeof(data),
				  bpf_core_type_id_kernel(struct bpf_local_storage));
	place = words(storage->cache[0]);
	return WORD_AT(place, 0) == (__u64)map ? place : NULL;
}

#define LABEL_WORD(place, field) WORD_AT(place, LABEL_OFFSET + __builtin_offsetof(struct label, field))

static __always_inline __u64 identity_of(struct task_struct *task)
{
	const void *place = place_of_label(task);
	struct label *label;

	if (place)
		return LABEL_WORD(place, identity);
	label = label_of(task);
	return label ? label->identity : 0;
}

/* The current task, when its label cannot be read in place or is not of this image yet. */
static __noinline int find_subject(const struct image_header *image, struct subject *subject)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);

	if (!label) {
		const struct image_row *row;

		if (task->flags & PF_KTHREAD)
			return false;
		/* No memory for its label, or born before us and not yet adopted: it has no identity. */
		count(COUNT_NO_LABEL);
		row = image_row(image, ROW_UNIDENTIFIED);
		subject->row = ROW_UNIDENTIFIED;
		subject->row_flags = row->flags;
		subject->watch = row->flags & ROW_CONFINED ? ~0u : row->watch;
		return true;
	}
	if (label->generation != image->generation)
		refresh(label, image);
	subject->row = label->row;
	subject->row_flags = label->row_flags;
	subject->watch = label->watch;
	return !(subject->row_flags & ROW_KERNEL);
}

/* Returns false if nothing is to be judged: the kernel's own threads. */
static __always_inline bool current_subject(const struct image_header *image, struct subject *subject)
{
	const void *place = place_of_label(bpf_get_current_task_btf());
	__u64 word;

	if (!place || LABEL_WORD(place, generation) != image->generation)
		return find_subject(image, subject);
	word = LABEL_WORD(place, row);
	subject->row = word & 0xffff;
	subject->row_flags = word >> 16 & 0xffff;
	subject->watch = word >> 32;
	return !(subject->row_flags & ROW_KERNEL);
}

#endif
