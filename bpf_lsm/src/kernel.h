/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The kernel's types, as far as we read them. CO-RE relocates every field against the running kernel's BTF, so
 * only names and types matter here, not order or size. Where a kernel renamed something, the other form is a
 * ___flavour and one small helper in kernel_fixes.h chooses.
 */
#ifndef MENSHEN_KERNEL_H
#define MENSHEN_KERNEL_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
/* after the helpers */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

#define KERNEL_TYPE __attribute__((preserve_access_index))

typedef unsigned short umode_t;
typedef unsigned int fmode_t;

struct list_head {
	struct list_head *next, *prev;
} KERNEL_TYPE;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
} KERNEL_TYPE;

struct qstr {
	__u32 hash;
	__u32 len;
	const unsigned char *name;
} KERNEL_TYPE;

typedef struct seqcount {
	unsigned int sequence;
} KERNEL_TYPE seqcount_t;

typedef struct seqcount_spinlock {
	seqcount_t seqcount;
} KERNEL_TYPE seqcount_spinlock_t;

struct super_block;
struct inode;

struct dentry {
	unsigned int d_flags;
	seqcount_spinlock_t d_seq; /* odd, and moves on, while the name or the parent changes */
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	unsigned char d_iname[32];
	struct super_block *d_sb;
} KERNEL_TYPE;

struct inode {
	umode_t i_mode;
	unsigned int i_flags;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	unsigned int i_rdev;
	atomic_t i_writecount;
	__u32 i_generation;
} KERNEL_TYPE;

struct super_block {
	unsigned int s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_mounts;
} KERNEL_TYPE;

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
} KERNEL_TYPE;

struct ns_common {
	unsigned int inum;
} KERNEL_TYPE;

struct mnt_namespace {
	struct ns_common ns;
} KERNEL_TYPE;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_mounts; /* the mounts on it, by mnt_child */
	struct list_head mnt_child;
	struct list_head mnt_instance;
	struct mnt_namespace *mnt_ns;
	int mnt_group_id; /* not 0: it is shared */
} KERNEL_TYPE;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL_TYPE;

struct file {
	fmode_t f_mode;
	unsigned int f_flags;
	struct inode *f_inode;
	void *private_data;
	struct path f_path;
} KERNEL_TYPE;

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
} KERNEL_TYPE;

struct vm_area_struct {
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	struct file *vm_file;
	void *anon_vma;
} KERNEL_TYPE;

struct cred {
	kuid_t uid, suid, euid, fsuid;
	kgid_t gid, sgid, egid, fsgid;
	__u64 cap_effective; /* two words until 6.3, in the same order on a little-endian machine */
	struct user_namespace *user_ns;
} KERNEL_TYPE;

struct hlist_node {
	struct hlist_node *next, **pprev;
} KERNEL_TYPE;

struct hlist_head {
	struct hlist_node *first;
} KERNEL_TYPE;

struct pid_namespace {
	struct task_struct *child_reaper;
} KERNEL_TYPE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} KERNEL_TYPE;

struct pid {
	unsigned int level;
	struct upid numbers[1];
	struct hlist_head tasks[4];
} KERNEL_TYPE;

struct signal_struct {
	atomic_t live;
	struct pid *pids[4];
} KERNEL_TYPE;

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct cgroup_namespace *cgroup_ns;
} KERNEL_TYPE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *close_on_exec;
	unsigned long *open_fds;
} KERNEL_TYPE;

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
} KERNEL_TYPE;

struct fs_struct {
	struct path pwd;
} KERNEL_TYPE;

/* x86's. Not BPF's own type of that name: only what CO-RE relocates. */
struct pt_regs {
	unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, orig_ax;
} KERNEL_TYPE;

struct thread_info {
	__u32 status;
} KERNEL_TYPE;

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
} KERNEL_TYPE;

struct cgroup {
	struct kernfs_node *kn;
} KERNEL_TYPE;

struct css_set {
	struct cgroup *dfl_cgrp;
} KERNEL_TYPE;

/* What task storage is made of: a task's entries that were found last, one for each map by its index. */
struct bpf_local_storage_map {
	__u16 cache_idx;
} KERNEL_TYPE;

struct bpf_local_storage_data {
	void *smap;
	__u8 data[];
} KERNEL_TYPE;

struct bpf_local_storage {
	struct bpf_local_storage_data *cache[16];
} KERNEL_TYPE;

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	unsigned int in_execve : 1;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	struct signal_struct *signal;
	const struct cred *real_cred;
	const struct cred *cred;
	kuid_t loginuid;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	void *io_uring; /* its rings, if it ever had one; only with CONFIG_IO_URING */
	void *sighand;
	int exit_code;
	__u64 start_boottime;
	struct css_set *cgroups;
	char comm[16];
	struct bpf_local_storage *bpf_storage;
} KERNEL_TYPE;

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
} KERNEL_TYPE;

struct linux_binprm {
	struct file *file;
	unsigned int is_check : 1;
	int unsafe;
	int argc;
	const char *filename;
	const char *interp;
} KERNEL_TYPE;

struct renamedata {
	struct dentry *old_dentry;
	struct dentry *new_dentry;
	unsigned int flags;
} KERNEL_TYPE;

struct sockaddr {
	unsigned short sa_family;
};

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u16 skc_num;
	__be16 skc_dport;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} KERNEL_TYPE;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	__u8 sk_shutdown;
	__u8 sk_userlocks : 4;
	struct socket *sk_socket;
} KERNEL_TYPE;

struct socket {
	short type;
	struct sock *sk;
} KERNEL_TYPE;

struct mptcp_sock {
	struct sock *first;
} KERNEL_TYPE;

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
} KERNEL_TYPE;

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct path path;
} KERNEL_TYPE;

struct msghdr {
	void *msg_name;
	int msg_namelen;
	unsigned int msg_flags;
} KERNEL_TYPE;

struct iattr {
	unsigned int ia_valid;
} KERNEL_TYPE;

struct bpf_map {
	__u32 id;
} KERNEL_TYPE;

struct bpf_prog_aux {
	__u32 id;
} KERNEL_TYPE;

struct bpf_prog {
	struct bpf_prog_aux *aux;
} KERNEL_TYPE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} KERNEL_TYPE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} KERNEL_TYPE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} KERNEL_TYPE;

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
} KERNEL_TYPE;

struct user_namespace;

/* Values that the kernel's headers keep to themselves. */
#define S_IFMT 00170000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFSOCK 0140000
#define S_IFBLK 0060000
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)

#define O_ACCMODE 00000003
#define O_WRONLY 00000001
#define O_RDWR 00000002
#define O_CREAT 00000100
#define O_TRUNC 00001000
#define O_APPEND 00002000
#define O_TMPFILE_BIT 020000000

#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_EXEC_FLAG 0x20 /* in f_flags: opened by exec */
#define FMODE_NOACCOUNT 0x20000000 /* only the kernel: the backing file of an overlay, judged above */

#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000

#define SB_KERNMOUNT (1 << 22)

#define PROT_READ 0x1
#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#define VM_EXEC 0x4
#define VM_SHARED 0x8
#define VM_MAYWRITE 0x20
#define MAP_PRIVATE 0x02
#define MAP_TYPE 0x0f

#define PROC_SUPER_MAGIC 0x9fa0
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6
#define SYSFS_MAGIC 0x62656572
#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270

#define EPERM 1
#define EACCES 13

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define AF_ALG 38
#define AF_VSOCK 40

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3

#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262

#define SHUTDOWN_MASK 3

#define TCP_CLOSE 7
#define TCP_LISTEN 10

#define MSG_FASTOPEN 0x20000000
#define SOCK_BINDPORT_LOCK 8

#define LSM_UNSAFE_SHARE 1
#define LSM_UNSAFE_PTRACE 2
#define LSM_UNSAFE_NO_NEW_PRIVS 4

#define PTRACE_MODE_READ 0x01
#define PTRACE_MODE_ATTACH 0x02
#define PTRACE_MODE_NOAUDIT 0x04

#endif
