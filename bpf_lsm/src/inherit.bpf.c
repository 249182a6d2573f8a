/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Descriptors that an exec would carry into another subject: those from 3 on that are not close-on-exec. What has no
 * path (pipes, sockets, memory) passes; a file has to be one that the new subject may hold.
 *
 * | hook                 | what it is for                                                                  |
 * |----------------------|---------------------------------------------------------------------------------|
 * | bprm_creds_from_file | the last moment at which an exec can be refused: who it will be is known        |
 * | bprm_committed_creds | asks again where the table was shared until now: others could still add to it   |
 */
#include "held.h"

#define MAX_LOOKS (8 << 20) /* the most that bpf_loop takes; sysctl fs.nr_open is 1 << 20 */
#define FIRST_JUDGED 3 /* below are input, output and errors, which the caller chooses for what it starts */
#define SIGKILL 9

/* Counts and reports as report() does, of the subject that it would be. */
static __noinline int report_inherited(struct scratch *scratch, const struct image_header *image, __u64 verdict)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);
	struct event *event;

	count_verdict(verdict, scratch->held.row);
	event = describe_holder(scratch, image, task, verdict, OP_INHERIT);
	event->target = label ? label->identity : 0;
	event->cgroup = bpf_get_current_cgroup_id();
	describe_held(scratch, image);
	if (bpf_ringbuf_output(&denials, event, record_size(event), 0))
		count(COUNT_DENIALS_LOST);
	return 0;
}

/* The next 64 descriptors that this exec would leave open. */
static __always_inline void next_word(struct held *held)
{
	struct fdtable *table = (void *)held->table;
	unsigned long *bits = NULL;
	__u64 open = 0, closing = 0;

	bpf_core_read(&bits, sizeof(bits), &table->open_fds);
	bpf_probe_read_kernel(&open, sizeof(open), bits + held->word);
	bpf_core_read(&bits, sizeof(bits), &table->close_on_exec);
	bpf_probe_read_kernel(&closing, sizeof(closing), bits + held->word);
	open &= ~closing;
	if (!held->word)
		open &= ~((1ull << FIRST_JUDGED) - 1);
	held->open = open;
	held->word++;
}

static long look_at_next(__u32 i, struct walk_context *context)
{
	struct scratch *scratch = context->scratch;
	struct held *held = &scratch->held;
	struct fdtable *table = (void *)held->table;
	struct control *switches = get_control();
	struct file **files = NULL;
	__u64 open = held->open, file = 0, verdict;
	__u32 bit;

	if (!switches)
		return 1;
	if (!open) {
		if (held->word >= held->words) {
			held->words = 0; /* all were looked at */
			return 1;
		}
		next_word(held);
		return 0;
	}
	bit = (__u32)open ? lowest_bit(open) : 32 + lowest_bit(open >> 32);
	held->open = open & (open - 1);
	held->descriptor = (held->word - 1) * 64 + bit;
	bpf_core_read(&files, sizeof(files), &table->fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + held->descriptor);
	if (!file)
		return 0;
	held->want = note_file(held, file);
	if (!held->want)
		return 0;
	verdict = judge_held(scratch, context->image, switches);
	if (!verdict)
		return 0;
	report_inherited(scratch, context->image, verdict);
	held->denied = verdict >> 24 & 1;
	return held->denied;
}

/* After begin_held(): would, or did, a descriptor come along that the new subject may not hold? */
static __always_inline bool carries_too_much(struct scratch *scratch, const struct image_header *image)
{
	struct walk_context context = { .scratch = scratch, .image = image };
	struct task_struct *task = bpf_get_current_task_btf();
	struct held *held = &scratch->held;
	struct files_struct *files = NULL;
	struct fdtable *table;
	__u32 size = 0;

	bpf_core_read(&files, sizeof(files), &task->files);
	bpf_core_read(&held->table, sizeof(held->table), &files->fdt);
	table = (void *)held->table;
	bpf_core_read(&size, sizeof(size), &table->max_fds);
	held->words = (size + 63) / 64;
	held->word = 0;
	held->open = 0;
	held->denied = 0;
	note_holder(held, task);
	bpf_loop(MAX_LOOKS, look_at_next, &context, 0);
	if (held->words) /* not to the end: denied like what cannot be resolved */
		return held->denied || (held->row_flags & ROW_CONFINED && held->row_flags & ROW_UNRESOLVED_ENFORCE);
	return held->denied;
}

static __always_inline bool is_shared(struct task_struct *task)
{
	struct files_struct *files = NULL;
	int users = 0;

	bpf_core_read(&files, sizeof(files), &task->files);
	bpf_core_read(&users, sizeof(users), &files->count.counter);
	return users > 1;
}

/* The same question before and after. `row` is the subject's before, or none where that does not matter. */
static __always_inline bool check_inherited(struct label *label, __u64 identity, __u32 row)
{
	struct control *switches = get_control();
	const struct image_header *image;
	const struct image_row *entry;
	struct scratch *scratch;
	__u32 slot;

	if (!switches)
		return false;
	slot = active_slot(switches);
	image = image_of(slot);
	if (!image)
		return false;
	scratch = get_scratch();
	if (!scratch) {
		entry = image_row(image, find_row(image, identity));
		return entry->flags & ROW_CONFINED && entry->flags & ROW_UNRESOLVED_ENFORCE;
	}
	if (!begin_held(scratch, image, slot, identity, HOLDABLE & ~BIT(RIGHT_MAP_EXEC)))
		return false;
	/* The rules that bind it stay the same. */
	if (scratch->held.row == row && label->generation == image->generation)
		return false;
	if (row != ~0u && is_shared(bpf_get_current_task_btf()))
		label->flags |= LABEL_SHARED_FILES;
	return carries_too_much(scratch, image);
}

SEC("lsm/bprm_creds_from_file")
int BPF_PROG(inherit_check, struct linux_binprm *bprm)
{
	struct label *label = label_of(bpf_get_current_task_btf());

	if (!label)
		return 0;
	label->flags &= ~LABEL_SHARED_FILES;
	if (label->flags & LABEL_SELF || label->pending == label->identity)
		return 0;
	return answer(check_inherited(label, label->pending, label->row), -EACCES);
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(inherit_recheck, struct linux_binprm *bprm)
{
	struct label *label = label_of(bpf_get_current_task_btf());

	if (!label || !(label->flags & LABEL_SHARED_FILES))
		return 0;
	label->flags &= ~LABEL_SHARED_FILES;
	if (check_inherited(label, label->identity, ~0u))
		bpf_send_signal(SIGKILL); /* it cannot be refused any more, and has not run yet */
	return 0;
}
