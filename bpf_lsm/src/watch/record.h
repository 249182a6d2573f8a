/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * One record from its beginning to its end:
 *
 *   begin()   who acts, and whether the record is wanted; takes scratch memory
 *   ...       the program fills scratch->record in, strings included
 *   finish()  sends it and gives the memory back
 */
#ifndef MENSHEN_WATCH_RECORD_H
#define MENSHEN_WATCH_RECORD_H

#include "../session.h"
#include "admit.h"
#include "path.h"

#define SLOT_TRIES 16

/* The index of a free slot; scratch_slots: there is none. */
__noinline int take_slot(void)
{
	__u32 first = bpf_get_smp_processor_id() * 4;

	for (__u32 i = 0; i < SLOT_TRIES; i++) {
		__u32 key = (first + i) % scratch_slots;
		struct watch_scratch *scratch = bpf_map_lookup_elem(&watch_scratches, &key);

		if (scratch && !__sync_lock_test_and_set(&scratch->taken, 1))
			return key;
	}
	return scratch_slots;
}

static __always_inline void give_back(struct watch_scratch *scratch)
{
	__sync_lock_test_and_set(&scratch->taken, 0);
}

/* Functions that are verified once, for all programs, take addresses as numbers: through memory a pointer is one. */
static __always_inline __u64 as_number(struct watch_scratch *scratch, const void *pointer)
{
	*(volatile __u64 *)&scratch->number = (__u64)pointer;
	return *(volatile __u64 *)&scratch->number;
}

/* An argument of the program as a number, whatever the verifier takes it for. */
static __always_inline __u64 argument(void *ctx, int which)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (__u64 *)ctx + which);
	return value;
}

/* What the allow list of programs says of the path that begins at text[at]. */
static __always_inline void allow_by_exe(struct watch_scratch *scratch, struct watch_task *me, __u32 at)
{
	__u32 size = TEXT_SIZE - at, slot = scratch->slot;
	struct watch_scratch *again = bpf_map_lookup_elem(&watch_scratches, &slot);
	struct watch_mask *mask;

	me->allowed_exe[0] = me->allowed_exe[1] = 0;
	if (!again || size >= EXE_KEY_BYTES || at > TEXT_SIZE) /* longer than an entry can be: it is not left out */
		return;
	scratch->text[TEXT_SIZE] = 0;
	bpf_probe_read_kernel(scratch->exe.path, EXE_KEY_BYTES, text_at(scratch, at));
	scratch->exe.bits = (size + 1) * 8;
	mask = bpf_map_lookup_elem(&allowed_exes, &again->exe); /* 6.1 takes a key only from a map's value */
	if (mask) {
		me->allowed_exe[0] = mask->types[0];
		me->allowed_exe[1] = mask->types[1];
	}
}

/* The path of the program. */
static __always_inline int learn_exe(struct watch_scratch *scratch, struct watch_task *me, __u64 address)
{
	struct mm_struct *mm = (void *)address;
	struct file *exe = NULL;
	__u64 dentry = 0;
	__u32 at;

	if (!scratch || !me || !mm)
		return 0;
	me->flags &= ~(WATCH_EXE_DELETED | WATCH_ARGS_CUT);
	bpf_core_read(&exe, sizeof(exe), &mm->exe_file);
	if (exe)
		bpf_core_read(&dentry, sizeof(dentry), &exe->f_path.dentry);
	if (!dentry)
		return 0;
	at = write_path(scratch, dentry, TEXT_SIZE);
	if (at > TEXT_SIZE)
		return 0;
	allow_by_exe(scratch, me, at);
	me->exe = intern(scratch, at, TEXT_SIZE - at);
	me->flags |= scratch->walk.flags & WATCH_EXE_DELETED;
	return 0;
}

/* The path of the program and its arguments, from the current task's memory. */
__noinline int learn_program(struct watch_scratch *scratch, struct watch_task *me, __u64 address)
{
	struct mm_struct *mm = (void *)address;
	unsigned long start = 0, end = 0, size;

	if (!scratch || !me || !mm)
		return 0;
	learn_exe(scratch, me, address);
	bpf_core_read(&start, sizeof(start), &mm->arg_start);
	bpf_core_read(&end, sizeof(end), &mm->arg_end);
	me->args = STRING_NONE;
	if (end <= start + 1)
		return 0;
	size = end - start;
	if (size > STRING_MAX + 1) { /* the NUL at the end is not a part of it */
		size = STRING_MAX + 1;
		me->flags |= WATCH_ARGS_CUT;
	}
	if (bpf_probe_read_user(&scratch->text[TEXT_HEAD], bounded(size, SIZE_MASK), (void *)start)) {
		meter(METER_UNREADABLE);
		scratch->cut = 1;
		me->args = STRING_LOST;
	} else {
		me->args = intern(scratch, TEXT_HEAD, size - 1);
	}
	return 0;
}

/* The number of the task's comm. */
__noinline int learn_comm(struct watch_scratch *scratch, struct watch_task *me)
{
	char *text;
	__u32 size = 0;

	if (!scratch || !me)
		return 0;
	text = &scratch->text[TEXT_HEAD];
	__builtin_memcpy(text, me->name, sizeof(me->name));
	for (; size < sizeof(me->name); size++)
		if (!text[size])
			break;
	me->comm = intern(scratch, TEXT_HEAD, size);
	return 0;
}

/* Digest and subject may be left out as well as the program's path. */
static __always_inline void allow_by_identity(struct watch_task *me, __u64 subject, __u64 digest)
{
	struct watch_mask *mask;

	me->allowed[0] = me->allowed_exe[0];
	me->allowed[1] = me->allowed_exe[1];
	me->subject = subject;
	me->digest = digest;
	mask = bpf_map_lookup_elem(&allowed_subjects, &subject);
	if (mask) {
		me->allowed[0] |= mask->types[0];
		me->allowed[1] |= mask->types[1];
	}
	mask = digest ? bpf_map_lookup_elem(&allowed_digests, &digest) : NULL;
	if (mask) {
		me->allowed[0] |= mask->types[0];
		me->allowed[1] |= mask->types[1];
	}
}

static __always_inline struct label *watch_label_of(struct task_struct *task)
{
	/* A gate's labels are its own affair: none is made there. */
	return bpf_task_storage_get(&labels, task, 0, own_labels ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

static __always_inline __u32 sid_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, pids[3 /* PIDTYPE_SID */], numbers[0].nr);
}

static __always_inline void describe_task(struct observation *record, struct task_struct *task,
					  const struct watch_task *me, const struct label *label)
{
	record->exe = me->exe;
	record->args = me->args;
	record->comm = me->comm;
	record->digest = me->digest;
	record->flags = me->flags;
	if (label) {
		record->session = label->session;
		record->subject = label->identity;
	}
	record->cgroup = bpf_get_current_cgroup_id();
	record->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	record->pid = task->tgid;
	record->tid = task->pid;
	record->ppid = task->real_parent->tgid;
	record->sid = sid_of(task);
	record->uid = task->cred->euid.val;
	record->login_uid = login_uid_of(task);
}

/* A task that we have not seen before. */
static __always_inline void note_task(struct watch_task *me, struct task_struct *task)
{
	me->flags |= WATCH_ADOPTED;
	me->uid = task->cred->euid.val;
	me->login_uid = login_uid_of(task);
}

/* Counts a record of this type, and whether it goes out. */
static __always_inline bool is_wanted(const struct watch_control *control, const struct watch_task *me, __u32 type,
				      __u64 session)
{
	if (has_type(me->allowed, type)) {
		tally(type, TALLY_ALLOWED);
		return false;
	}
	if (is_admitted(type))
		return true;
	leave_gap(type, TALLY_LIMITED, session);
	return false;
}

/* Everything of the task that is kept is known and of now. */
static __always_inline void refresh_task(struct watch_scratch *scratch, struct watch_task *me, struct task_struct *task,
					 const struct watch_control *control, const struct label *label)
{
	__u64 subject = label ? label->identity : 0, digest = label ? label->digest : 0;

	if (me->known != control->strings_epoch + 1 || me->allow_epoch != control->allow_epoch + 1) {
		if (me->known != control->strings_epoch + 1) {
			if (!me->known)
				note_task(me, task);
			me->exe = me->args = me->comm = STRING_NONE;
		}
		learn_program(scratch, me, as_number(scratch, task->mm));
		me->known = control->strings_epoch + 1;
		me->allow_epoch = control->allow_epoch + 1;
		allow_by_identity(me, subject, digest);
	} else if (me->subject != subject || me->digest != digest) {
		allow_by_identity(me, subject, digest);
	}
}

static __always_inline void refresh_comm(struct watch_scratch *scratch, struct watch_task *me)
{
	__u64 name[2] = {};
	__u64 *kept = (void *)me->name;

	bpf_get_current_comm(name, sizeof(name));
	if (me->comm && name[0] == kept[0] && name[1] == kept[1])
		return;
	kept[0] = name[0];
	kept[1] = name[1];
	learn_comm(scratch, me);
}

/* Send the record. */
__noinline int send(struct watch_scratch *scratch)
{
	struct watch_control *control = get_watch_control();
	struct observation *record;
	__u32 key = METER_GAPS;
	__u64 *gaps = bpf_map_lookup_elem(&meters, &key), flags = BPF_RB_NO_WAKEUP;

	if (!scratch || !control)
		return 0;
	record = &scratch->record;
	record->time = bpf_ktime_get_boot_ns();
	record->lost = gaps ? *(volatile __u64 *)gaps : 0;
	if (bpf_ringbuf_query(&observations, BPF_RB_AVAIL_DATA) >= control->wake)
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&observations, record, sizeof(*record), flags)) {
		leave_gap(record->type, TALLY_LOST, record->session);
		return 0;
	}
	tally(record->type, TALLY_DELIVERED);
	if (scratch->cut || record->flags & (WATCH_PATH_CUT | WATCH_ARGS_CUT))
		mark(record->session);
	return 0;
}

static __always_inline void finish(struct watch_scratch *scratch)
{
	send(scratch);
	give_back(scratch);
}

static __always_inline void start_record(struct watch_scratch *scratch, struct watch_task *me, struct task_struct *task,
					 const struct label *label, __u32 type)
{
	refresh_comm(scratch, me);
	__builtin_memset(&scratch->record, 0, sizeof(scratch->record));
	scratch->record.type = type;
	describe_task(&scratch->record, task, me, label);
}

/*
 * The current task does something of this type. NULL: there is no record, and that is accounted for. If the task just
 * logged in, a record of that comes first.
 */
static __noinline struct watch_scratch *begin(__u32 type)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct watch_control *control = get_watch_control();
	struct watch_scratch *scratch = NULL;
	struct watch_task *me;
	struct label *label;
	__u32 slot, login_uid;
	__u64 session;

	if (!control || task->flags & PF_KTHREAD || !has_type(control->types, type))
		return NULL;
	label = watch_label_of(task);
	if (label)
		notice_login(label, task);
	session = label ? label->session : 0;
	tally(type, TALLY_GENERATED);
	me = bpf_task_storage_get(&watched, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	slot = take_slot();
	if (slot < scratch_slots)
		scratch = bpf_map_lookup_elem(&watch_scratches, &slot);
	if (!me || !scratch) {
		if (scratch)
			give_back(scratch);
		meter(METER_NO_MEMORY);
		leave_gap(type, TALLY_LOST, session);
		return NULL;
	}
	scratch->cut = 0;
	scratch->slot = slot;
	refresh_task(scratch, me, task, control, label);

	login_uid = login_uid_of(task);
	if (me->login_uid != login_uid) {
		__u32 before = me->login_uid;

		me->login_uid = login_uid;
		if (has_type(control->types, WATCH_LOGIN)) {
			tally(WATCH_LOGIN, TALLY_GENERATED);
			if (is_wanted(control, me, WATCH_LOGIN, session)) {
				start_record(scratch, me, task, label, WATCH_LOGIN);
				scratch->record.detail = before;
				send(scratch);
			}
		}
	}
	if (!is_wanted(control, me, type, session)) {
		give_back(scratch);
		return NULL;
	}
	start_record(scratch, me, task, label, type);
	return scratch;
}

#endif
