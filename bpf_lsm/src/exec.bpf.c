/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Exec and code: who a task becomes, and what it may run in its address space.
 *
 * | hook                          | what it is for                                                         |
 * |-------------------------------|------------------------------------------------------------------------|
 * | task_alloc                    | a new task is who its parent is                                        |
 * | bprm_creds_for_exec (sleeps)  | digest of a file that is only asked about                              |
 * | bprm_creds_for_exec           | an exec begins: what check decides is for the first file only; whether |
 * |                               | a file could be executed, where that is all that is asked              |
 * | bprm_check_security (sleeps)  | digest of the file, once per content                                   |
 * | bprm_check_security           | execute on the path, and a credential that checks; once per file:      |
 * |                               | a script first, then its interpreter                                   |
 * | bprm_committed_creds          | the task becomes who the program is, before its first instruction      |
 * | mmap_file (sleeps)            | digest of a library                                                    |
 * | mmap_file                     | executable mappings: identified files, or the jit right                |
 * | file_mprotect                 | the same for memory that becomes executable later; append only as well |
 */
#include "access.h"
#include "content.h"
#include "session.h"

SEC("lsm/task_alloc")
int BPF_PROG(task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct task_struct *parent_task = bpf_get_current_task_btf();
	struct label *parent = label_of(parent_task);
	struct label *label = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!label) {
		count(COUNT_NO_LABEL);
		/* A confined task must not shed its subject by exhausting memory. */
		if (parent && parent->row_flags & ROW_CONFINED)
			return deny(-12 /* ENOMEM */);
		return 0;
	}
	if (!parent) {
		label->flags = parent_task->flags & PF_KTHREAD ? LABEL_KERNEL : LABEL_ADOPTED;
		return 0;
	}
	label->identity = parent->identity;
	label->flags = parent->flags & (LABEL_ADOPTED | LABEL_KERNEL | LABEL_SCRIPT | LABEL_AGENT | LABEL_MANAGER);
	if (parent_task->tgid == 1)
		label->flags |= LABEL_FIRST | LABEL_MANAGER;
	label->digest = parent->digest;
	notice_login(parent, parent_task);
	inherit_session(label, parent, parent_task, clone_flags & CLONE_THREAD,
			makes_pid_namespace(parent_task, clone_flags));
	return 0;
}

enum { PROGRAM_DENIED = 1, PROGRAM_AS_SELF = 2 };

/* May this file be executed, whose credential gives that identity, and does the task stay who it is then? */
static __always_inline int check_program(struct request *request, struct file *file, __u64 identity)
{
	const struct image_cell *cell;
	__u64 verdict;

	if (check_file(request, file))
		return PROGRAM_DENIED;
	if (!(request->asker.subject.row_flags & ROW_CONFINED))
		return 0;
	cell = find_cell(request->asker.image, request->asker.subject.row, request->class, request->flags);
	if (!identity && !(cell->allow & BIT(WAIVE_EXECUTE_UNSIGNED))) {
		verdict = judge_builtin(&request->asker.subject, RULE_UNIDENTIFIED_PROGRAM, RIGHT_EXECUTE);
		if (conclude(request, file->f_path.dentry, verdict))
			return PROGRAM_DENIED;
	}
	return cell->allow & BIT(EXEC_AS_SELF) ? PROGRAM_AS_SELF : 0;
}

/* AT_EXECVE_CHECK (6.14): only asked, by an interpreter perhaps that then runs the file; it ends with this hook. */
static __always_inline bool is_question(struct linux_binprm *bprm)
{
	return bpf_core_field_exists(bprm->is_check) && BPF_CORE_READ_BITFIELD_PROBED(bprm, is_check);
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bprm_identify_question, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;

	if (is_question(bprm))
		identify(file, file->f_inode);
	return 0;
}

static __always_inline int check_question(struct linux_binprm *bprm)
{
	struct control *switches = get_control();
	struct file *file = bprm->file;
	struct request request;
	__u64 identity;

	if (!switches || !begin(&request, OP_EXEC, BIT(RIGHT_EXECUTE)))
		return 0;
	identity = known_identity(file->f_inode, switches);
	request.attempt.target = identity;
	return answer(check_program(&request, file, identity) == PROGRAM_DENIED, -EACCES);
}

SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(bprm_creds_for_exec, struct linux_binprm *bprm)
{
	struct label *label = bpf_task_storage_get(&labels, bpf_get_current_task_btf(), 0,
						   BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!label) {
		count(COUNT_NO_LABEL);
		return deny(-12 /* ENOMEM */);
	}
	if (is_question(bprm))
		return check_question(bprm);
	label->pending = 0;
	label->flags = (label->flags | LABEL_EXECING) & ~LABEL_SELF;
	return 0;
}

SEC("lsm.s/bprm_check_security")
int BPF_PROG(bprm_identify, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;

	identify(file, file->f_inode);
	return 0;
}

/* A tracer, or somebody who shares the file system state, could steer the program: it gains no identity. */
static __always_inline bool is_unsafe(struct linux_binprm *bprm)
{
	return bprm->unsafe & (LSM_UNSAFE_PTRACE | LSM_UNSAFE_SHARE);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(bprm_check, struct linux_binprm *bprm)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct file *file = bprm->file;
	struct dentry *dentry = file->f_path.dentry;
	struct control *switches = get_control();
	struct request request;
	__u64 identity, verdict;
	bool judged, is_script = false;
	int found;

	if (!label || !switches)
		return deny(-EACCES);
	identity = known_identity(file->f_inode, switches);
	if (label->flags & LABEL_EXECING) {
		label->flags &= ~(LABEL_EXECING | LABEL_SCRIPT);
		label->pending = is_unsafe(bprm) && identity != label->identity ? 0 : identity;
	} else {
		is_script = true;
		label->flags |= LABEL_SCRIPT;
	}

	judged = begin(&request, OP_EXEC, BIT(RIGHT_EXECUTE));
	request.attempt.target = identity;
	if (!request.asker.image || !judged)
		return 0;
	if (is_script) {
		/* The interpreter is implied by the script, but it must be somebody. */
		if (identity || label->flags & LABEL_SELF)
			return 0;
		verdict = judge_builtin(&request.asker.subject, RULE_UNIDENTIFIED_PROGRAM, RIGHT_EXECUTE);
		return answer(conclude(&request, dentry, verdict), -EACCES);
	}
	found = check_program(&request, file, identity);
	if (found == PROGRAM_DENIED)
		return deny(-EACCES);
	if (!(request.asker.subject.row_flags & ROW_CONFINED))
		return 0;
	if (found == PROGRAM_AS_SELF)
		label->flags |= LABEL_SELF;
	/* no_new_privs, asked for by a confined program: what it executes must not be somebody else. */
	if (bprm->unsafe & LSM_UNSAFE_NO_NEW_PRIVS && !(label->flags & LABEL_SELF) && label->pending != label->identity)
		label->pending = 0;
	return 0;
}

/* `before` is who the task was. */
static __noinline int tell_exec(struct scratch *scratch, struct linux_binprm *bprm, const struct image_header *image,
				struct label *label, __u64 before)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *switches = get_control();
	struct event *event = &scratch->event;
	__u32 size;

	if (!switches)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_boot_ns();
	event->generation = image->generation;
	event->subject = label->identity;
	event->target = before;
	event->session = label->session;
	event->cgroup = bpf_get_current_cgroup_id();
	event->pid = task->tgid;
	event->tid = task->pid;
	event->ppid = task->real_parent->tgid;
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->login_uid = task->loginuid.val;
	event->operation = OP_EXEC;
	event->kind = EVENT_EXEC;
	event->right = NO_RIGHT;
	if (label->flags & LABEL_SCRIPT)
		event->flags |= EVENT_SCRIPT;
	if (is_unsafe(bprm))
		event->flags |= EVENT_UNSAFE_EXEC;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	describe_path(bprm->file->f_path.dentry, scratch, image, switches);
	size = event->path_size;
	if (size > EVENT_PATH_MAX)
		size = EVENT_PATH_MAX;
	if (bpf_ringbuf_output(&events, event, sizeof(*event) + size, 0))
		count(COUNT_EVENTS_LOST);
	return 0;
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(bprm_committed_creds, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);
	struct control *switches = get_control();
	const struct image_header *image;
	struct scratch *scratch;
	struct spare *spare;
	__u64 before;
	__u32 cpu = bpf_get_smp_processor_id() % SPARES;

	if (!label || !switches)
		return 0;
	before = label->identity;
	if (!(label->flags & LABEL_SELF))
		label->identity = label->pending;
	label->pending = 0;
	label->generation = 0;
	label->flags &= ~(LABEL_ADOPTED | LABEL_KERNEL | LABEL_SELF | LABEL_EXECING);
	label->digest = short_digest(bprm->file->f_inode);
	notice_login(label, task);

	image = image_of(active_slot(switches));
	if (!image) {
		count(COUNT_EVENTS_LOST);
		return 0;
	}
	spare = bpf_map_lookup_elem(&spares, &cpu);
	if (spare && !__sync_val_compare_and_swap(&spare->taken, 0, 1)) {
		tell_exec(&spare->scratch, bprm, image, label, before);
		__sync_lock_test_and_set(&spare->taken, 0);
		return 0;
	}
	scratch = get_scratch();
	if (scratch)
		tell_exec(scratch, bprm, image, label, before);
	else
		count(COUNT_EVENTS_LOST);
	return 0;
}

/*
 * 6.12 takes `file` for non-NULL and drops the branch that handles an anonymous mapping; so the argument is read
 * around the verifier's knowledge, tested, and only then used through its type.
 */
static __always_inline bool has_file(unsigned long long *ctx)
{
	__u64 file = 0;

	bpf_probe_read_kernel(&file, sizeof(file), ctx);
	return file != 0;
}

SEC("lsm.s/mmap_file")
int mmap_identify(unsigned long long *ctx)
{
	struct file *file;

	if (!(ctx[2] & PROT_EXEC) || !has_file(ctx))
		return 0;
	file = (void *)ctx[0];
	if (!file)
		return 0;
	identify(file, file->f_inode);
	return 0;
}

/* Memory that nobody vouches for becomes code. */
static __always_inline __u64 judge_jit(struct request *request)
{
	const struct image_row *row = image_row(request->asker.image, request->asker.subject.row);

	if (!(row->flags & ROW_CONFINED) || row->flags & ROW_JIT)
		return 0;
	return pack_verdict(row->jit_rule, RIGHT_MAP_EXEC, row->flags & ROW_JIT_ENFORCE, 0);
}

/* The program itself was judged at exec. */
static __always_inline bool is_own_program(struct inode *inode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	struct file *program;

	if (!mm)
		return false;
	program = (void *)read_word(&mm->exe_file);
	return program && read_word(&program->f_inode) == (__u64)inode;
}

/*
 * To the kernel these are files too: what MAP_ANONYMOUS maps with MAP_SHARED, on the kernel's own mount of tmpfs, and with
 * MAP_HUGETLB, on that of hugetlbfs. Nobody else's file there has such a name: a memfd's begins with "memfd:", that of
 * shared memory by shmget with "SYSV".
 */
static __always_inline bool is_anonymous_memory(struct file *file)
{
	struct super_block *sb = file->f_inode->i_sb;
	struct dentry *dentry = file->f_path.dentry;
	__u64 name[2] = {};

	if (!(sb->s_flags & SB_KERNMOUNT))
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name), dentry->d_name.name);
	if (sb->s_magic == TMPFS_MAGIC)
		return name[0] == *(__u64 *)"dev/zero" && !name[1];
	return sb->s_magic == HUGETLBFS_MAGIC && name[0] == *(__u64 *)"anon_hug" && name[1] == *(__u64 *)"epage\0\0";
}

/* A file becomes code: mappable by policy, and vouched for. 1: denied. */
static __always_inline int check_code(struct request *request, struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;
	struct inode *inode = file->f_inode;
	const struct image_cell *cell;
	__u64 identity;

	if (file->f_mode & FMODE_NOACCOUNT || is_own_program(inode))
		return 0;
	identity = known_identity(inode, request->asker.switches);
	request->attempt.target = identity;
	if (check_file(request, file))
		return 1;
	if (identity || !(request->asker.subject.row_flags & ROW_CONFINED))
		return 0;
	cell = find_cell(request->asker.image, request->asker.subject.row, request->class, request->flags);
	if (cell->allow & BIT(WAIVE_MAP_UNSIGNED))
		return 0;
	return conclude(request, dentry,
			judge_builtin(&request->asker.subject, RULE_UNIDENTIFIED_PROGRAM, RIGHT_MAP_EXEC));
}

SEC("lsm/mmap_file")
int mmap_check(unsigned long long *ctx)
{
	unsigned long prot = ctx[2], flags = ctx[3];
	bool is_private = (flags & MAP_TYPE) == MAP_PRIVATE, is_writable;
	struct request request;
	struct file *file = NULL;

	if (has_file(ctx))
		file = (void *)ctx[0];
	if (!(prot & PROT_EXEC)) {
		/* A shared mapping of an append-only descriptor would be a way to overwrite. */
		if (!file || is_private || !(file->f_mode & FMODE_WRITE) || !(file->f_flags & O_APPEND))
			return 0;
		if (!begin(&request, OP_MMAP, BIT(RIGHT_WRITE)))
			return 0;
		return answer(check_file(&request, file), -EACCES);
	}
	if (!begin(&request, OP_MMAP, BIT(RIGHT_MAP_EXEC)))
		return 0;
	request.attempt.detail = prot;
	is_writable = prot & PROT_WRITE;
	if (file && !is_private && file->f_mode & FMODE_WRITE)
		is_writable = true;
	if (!file || is_writable || is_anonymous_memory(file))
		return answer(conclude(&request, NULL, judge_jit(&request)), -EACCES);
	return answer(check_code(&request, file), -EACCES);
}

SEC("lsm/file_mprotect")
int BPF_PROG(file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	struct request request;
	struct file *file = NULL;

	if (!(prot & (PROT_EXEC | PROT_WRITE)))
		return 0;
	/* It may be NULL whatever the verifier believes; see has_file(). */
	file = (void *)read_word(&vma->vm_file);
	if (!(prot & PROT_EXEC)) {
		/* As in mmap_check: what was mapped for reading by an append-only descriptor. */
		if (!file || !(vma->vm_flags & VM_SHARED))
			return 0;
		file = vma->vm_file;
		/* Mapped through an overlay: here is the file below; the overlay's was judged when it was mapped. */
		if (!file || file->f_mode & FMODE_NOACCOUNT || !(file->f_mode & FMODE_WRITE) ||
		    !(file->f_flags & O_APPEND) || !begin(&request, OP_MPROTECT, BIT(RIGHT_WRITE)))
			return 0;
		return answer(check_file(&request, file), -EACCES);
	}
	if (!begin(&request, OP_MPROTECT, BIT(RIGHT_MAP_EXEC)))
		return 0;
	request.attempt.detail = prot;
	if (!file || vma->anon_vma || prot & PROT_WRITE)
		return answer(conclude(&request, NULL, judge_jit(&request)), -EACCES);
	file = vma->vm_file;
	if (!file)
		return 0;
	/* Of what is mapped through an overlay no identity is known here. */
	if (file->f_mode & FMODE_NOACCOUNT || is_anonymous_memory(file))
		return answer(conclude(&request, NULL, judge_jit(&request)), -EACCES);
	return answer(check_code(&request, file), -EACCES);
}
