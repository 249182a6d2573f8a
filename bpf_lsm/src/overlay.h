/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What an overlay does below itself, in the middle of its caller's system call: it opens the directories of its layers
 * for a listing, and before the first change of a file it copies that up, with times, ACLs and extended attributes, and
 * with notes of its own; all this asks for capabilities. The caller asked for something at the overlay's own inode, and
 * that was judged. The layers are the mounter's affair: the overlay works on them with the mounter's credentials, through
 * mounts that no namespace has.
 *
 * So it is known by the credentials that the kernel put over the task's own. A caller cannot bring that about for a
 * call of its own, but by io_uring: a request may run with other credentials than its task has by now (a registered
 * personality, a worker, a deferred request). Whoever has a ring is judged at the layers too.
 */
#ifndef MENSHEN_OVERLAY_H
#define MENSHEN_OVERLAY_H

#include "path.h"

static __always_inline bool kernel_stands_in(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task->cred == task->real_cred || task->flags & PF_IO_WORKER)
		return false;
	return !bpf_core_field_exists(task->io_uring) || !task->io_uring;
}

/*
 * Opened by the kernel through a mount of its own. The name may be the caller's elsewhere (a core dump), so the mount
 * counts; and it alone is not enough: fanotify opens for its listener what others opened, through their mount.
 */
static __always_inline bool is_layer(struct file *file)
{
	struct vfsmount *vfsmount = file->f_path.mnt;
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	__u64 ns;

	if (!kernel_stands_in())
		return false;
	ns = read_word(&mount->mnt_ns);
	return ns && !in_namespace(ns);
}

#endif
