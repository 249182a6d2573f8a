/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is done to other processes and to the machine. */
#include "actor.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <sys/acct.h>
#include <sys/fanotify.h>
#include <sys/fsuid.h>
#include <sys/klog.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/timex.h>

#ifdef __i386__
#define SETTIME 404 /* clock_settime64 */
#else
#define SETTIME SYS_clock_settime
#endif

/* Other processes ------------------------------------------------------------------------------------------------ */

OPERATION(op_attach, "ptrace-attach", NULL)
{
	TRY(LIBC(ptrace(PTRACE_ATTACH, helper, 0, 0)));
	waitpid(helper, NULL, __WALL);
	ptrace(PTRACE_DETACH, helper, 0, 0);
	return 0;
}

OPERATION(op_seize, "ptrace-seize", NULL)
{
	TRY(LIBC(ptrace(PTRACE_SEIZE, helper, 0, 0)));
	ptrace(PTRACE_INTERRUPT, helper, 0, 0);
	waitpid(helper, NULL, __WALL);
	ptrace(PTRACE_DETACH, helper, 0, 0);
	return 0;
}

static int be_traced(void)
{
	return TRY(LIBC(ptrace(PTRACE_TRACEME, 0, 0, 0)));
}

OPERATION(op_traceme, "ptrace-traceme", NULL)
{
	return in_child(be_traced);
}

static char word[8];

OPERATION(op_readv, "process-vm-readv", NULL)
{
	struct iovec local = { word, 8 }, remote = { word, 8 };

	TRY(LIBC(process_vm_readv(helper, &local, 1, &remote, 1, 0)));
	return 0;
}

OPERATION(op_writev, "process-vm-writev", NULL)
{
	struct iovec local = { word, 8 }, remote = { word, 8 };

	TRY(LIBC(process_vm_writev(helper, &local, 1, &remote, 1, 0)));
	return 0;
}

static int open_proc(const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", helper, name);
	return TRY(do_open(path, flags)) < 0;
}

OPERATION(op_mem, "open-memory-of-other", NULL)
{
	return open_proc("mem", O_RDWR);
}

OPERATION(op_maps, "open-maps-of-other", NULL)
{
	return open_proc("maps", O_RDONLY);
}

OPERATION(op_environ, "open-environment-of-other", NULL)
{
	return open_proc("environ", O_RDONLY);
}

static int pidfd(void)
{
	return STEP(SYS(434 /* pidfd_open */, helper, 0));
}

OPERATION(op_getfd, "pidfd-getfd", NULL)
{
	TRY(SYS(438 /* pidfd_getfd */, STEP(pidfd()), 0, 0));
	return 0;
}

OPERATION(op_kcmp, "kcmp", NULL)
{
	TRY(SYS(SYS_kcmp, getpid(), helper, 1 /* KCMP_VM */, 0, 0));
	return 0;
}

OPERATION(op_kill, "kill", NULL)
{
	return TRY(LIBC(kill(helper, SIGURG)));
}

OPERATION(op_tgkill, "tgkill", NULL)
{
	return TRY(SYS(SYS_tgkill, helper, helper, SIGURG));
}

OPERATION(op_pidfd_kill, "pidfd-send-signal", NULL)
{
	return TRY(SYS(424 /* pidfd_send_signal */, STEP(pidfd()), SIGURG, NULL, 0));
}

OPERATION(op_probe, "kill-probe", NULL)
{
	return TRY(LIBC(kill(helper, 0)));
}

static int wait_for_signal(void)
{
	pause();
	return 0;
}

OPERATION(op_kill_own, "kill-kin", NULL)
{
	pid_t child = fork();

	if (!child)
		_exit(wait_for_signal());
	return TRY(LIBC(kill(child, SIGKILL)));
}

OPERATION(op_nice, "setpriority-other", NULL)
{
	return TRY(LIBC(setpriority(PRIO_PROCESS, helper, 0)));
}

OPERATION(op_affinity, "setaffinity-other", NULL)
{
	cpu_set_t set;

	STEP(LIBC(sched_getaffinity(helper, sizeof(set), &set)));
	return TRY(LIBC(sched_setaffinity(helper, sizeof(set), &set)));
}

OPERATION(op_scheduler, "setscheduler-other", NULL)
{
	struct sched_param parameters = {};

	return TRY(LIBC(sched_setscheduler(helper, SCHED_BATCH, &parameters)));
}

OPERATION(op_ioprio, "ioprio-other", NULL)
{
	return TRY(SYS(SYS_ioprio_set, 1, helper, 2 << 13 | 4));
}

OPERATION(op_prlimit, "prlimit-other", NULL)
{
	struct rlimit64 limit;

	STEP(SYS(SYS_prlimit64, helper, RLIMIT_CORE, NULL, &limit));
	limit.rlim_cur = 0;
	return TRY(SYS(SYS_prlimit64, helper, RLIMIT_CORE, &limit, NULL));
}

OPERATION(op_move_pages, "move-pages-of-other", NULL)
{
	void *page = (void *)((uintptr_t)word & ~4095ul);
	int status;

	TRY(SYS(SYS_move_pages, helper, 1ul, &page, NULL, &status, 2));
	return 0;
}

OPERATION(op_process_madvise, "process-madvise-other", NULL)
{
	struct iovec page = { (void *)((uintptr_t)word & ~4095ul), 4096 };

	TRY(SYS(440, STEP(pidfd()), &page, 1ul, 20 /* MADV_COLD */, 0));
	return 0;
}

/* Mounts --------------------------------------------------------------------------------------------------------- */

OPERATION(op_mount, "mount", NULL)
{
	return TRY(LIBC(mount("evasion", at("object/dir"), "tmpfs", 0, NULL)));
}

OPERATION(op_mount_bind, "mount-bind", NULL)
{
	return TRY(LIBC(mount(at("free/dir"), at("object/dir"), NULL, MS_BIND, NULL)));
}

OPERATION(op_mount_file, "mount-over-file", NULL)
{
	return TRY(LIBC(mount(at("free/file"), at("object/file"), NULL, MS_BIND, NULL)));
}

static void set_mounted(void)
{
	if (mount("evasion", at("object/dir"), "tmpfs", 0, NULL))
		_exit(1);
	mount_apart();
}

OPERATION(op_remount, "remount", set_mounted)
{
	return TRY(LIBC(mount("", at("object/dir"), NULL, MS_REMOUNT | MS_BIND | MS_NOATIME, NULL)));
}

OPERATION(op_propagation, "mount-propagation", set_mounted)
{
	return TRY(LIBC(mount("", at("object/dir"), NULL, MS_SLAVE, NULL)));
}

OPERATION(op_umount, "umount", set_mounted)
{
	return TRY(LIBC(umount(at("object/dir"))));
}

OPERATION(op_umount_lazy, "umount-lazy", set_mounted)
{
	return TRY(LIBC(umount2(at("object/dir"), MNT_DETACH)));
}

OPERATION(op_move_old, "mount-move", set_mounted)
{
	return TRY(LIBC(mount(at("free/mounted"), at("object/empty"), NULL, MS_MOVE, NULL)));
}

OPERATION(op_move_mount, "move-mount", set_mounted)
{
	return TRY(SYS(429, AT_FDCWD, at("free/mounted"), AT_FDCWD, at("object/empty"), 0));
}

OPERATION(op_fsmount, "fsmount", NULL)
{
	int context = TRY(SYS(430 /* fsopen */, "tmpfs", 0)), tree;

	STEP(SYS(431 /* fsconfig */, context, 6 /* CREATE */, NULL, NULL, 0));
	tree = STEP(SYS(432 /* fsmount */, context, 0, 0));
	return TRY(SYS(429, tree, "", AT_FDCWD, at("object/empty"), 4 /* MOVE_MOUNT_F_EMPTY_PATH */));
}

OPERATION(op_setattr_mount, "mount-setattr", set_mounted)
{
	struct {
		uint64_t set, clear, propagation, fd;
	} attributes = { .set = 1 /* RDONLY */ };

	return TRY(SYS(442, AT_FDCWD, at("object/dir"), 0, &attributes, sizeof(attributes)));
}

OPERATION(op_open_tree, "open-tree-clone", NULL)
{
	TRY(SYS(428, AT_FDCWD, at("free"), 1));
	return 0;
}

OPERATION(op_pivot, "pivot-root", set_mounted)
{
	STEP(LIBC(unshare(CLONE_NEWNS)));
	STEP(LIBC(chdir(at("free/mounted"))));
	return TRY(SYS(SYS_pivot_root, ".", "."));
}

OPERATION(op_chroot, "chroot", NULL)
{
	return TRY(LIBC(chroot(at("free"))));
}

/* Namespaces ----------------------------------------------------------------------------------------------------- */

OPERATION(op_userns, "unshare-user", NULL)
{
	return TRY(LIBC(unshare(CLONE_NEWUSER)));
}

OPERATION(op_clone_userns, "clone-user", NULL)
{
	pid_t child = TRY(SYS(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));

	if (!child)
		_exit(0);
	return 0;
}

OPERATION(op_mntns, "unshare-mounts", NULL)
{
	return TRY(LIBC(unshare(CLONE_NEWNS)));
}

OPERATION(op_netns, "unshare-net", NULL)
{
	return TRY(LIBC(unshare(CLONE_NEWNET)));
}

OPERATION(op_setns, "setns", NULL)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/ns/uts");
	fd = STEP(LIBC(open(path, O_RDONLY)));
	return TRY(LIBC(setns(fd, 0)));
}

/* The machine ---------------------------------------------------------------------------------------------------- */

OPERATION(op_init_module, "init-module", NULL)
{
	static char content[128]; /* as large as a module's header at least */

	return TRY(SYS(SYS_init_module, content, sizeof(content), ""));
}

static void set_module(void)
{
	put(at("free/module"), "no module", 9, 0644);
}

OPERATION(op_finit_module, "finit-module", set_module)
{
	return TRY(SYS(SYS_finit_module, STEP(LIBC(open(at("free/module"), O_RDONLY))), "", 0));
}

OPERATION(op_kexec, "kexec-load", NULL)
{
	return TRY(SYS(SYS_kexec_load, 0, 0ul, NULL, 0ul));
}

#ifdef SYS_kexec_file_load
OPERATION(op_kexec_file, "kexec-file-load", set_module)
{
	return TRY(SYS(SYS_kexec_file_load, STEP(LIBC(open(at("free/module"), O_RDONLY))), -1, 0, NULL,
		       4 /* NO_INITRAMFS */));
}
#endif

OPERATION(op_bpf, "bpf-map", NULL)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	TRY(SYS(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
	return 0;
}

OPERATION(op_bpf_program, "bpf-program", NULL)
{
	struct bpf_insn code[] = { { .code = 0xb7 }, { .code = 0x95 } };
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = 2,
		.license = (uintptr_t) "GPL",
	};

	TRY(SYS(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes)));
	return 0;
}

OPERATION(op_bpf_walk, "bpf-next-id", NULL)
{
	union bpf_attr attributes = {};

	TRY(SYS(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attributes, sizeof(attributes)));
	return 0;
}

OPERATION(op_perf, "perf-event-open", NULL)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE,
					      .size = sizeof(attributes),
					      .config = PERF_COUNT_SW_CPU_CLOCK };

	TRY(SYS(SYS_perf_event_open, &attributes, 0, -1, -1, 0ul));
	return 0;
}

OPERATION(op_userfaultfd, "userfaultfd", NULL)
{
	TRY(SYS(SYS_userfaultfd, O_CLOEXEC));
	return 0;
}

OPERATION(op_ring, "io-uring-setup", NULL)
{
	char parameters[120] = {};

	TRY(SYS(425, 4, parameters));
	return 0;
}

OPERATION(op_ring_poll, "io-uring-sqpoll", NULL)
{
	uint32_t parameters[30] = { [2] = 2 /* IORING_SETUP_SQPOLL */ };

	TRY(SYS(425, 4, parameters));
	return 0;
}

OPERATION(op_key, "add-key", NULL)
{
	TRY(SYS(SYS_add_key, "user", base /* a new one */, "x", 1ul, -3 /* the session's ring */));
	return 0;
}

OPERATION(op_keyring, "join-keyring", NULL)
{
	TRY(SYS(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, NULL));
	return 0;
}

OPERATION(op_swapon, "swapon", NULL)
{
	return TRY(LIBC(swapon(at("free/file"), 0)));
}

OPERATION(op_hostname, "sethostname", NULL)
{
	char name[65] = {};

	STEP(LIBC(gethostname(name, sizeof(name) - 1)));
	return TRY(LIBC(sethostname(name, strlen(name))));
}

OPERATION(op_syslog, "syslog-read", NULL)
{
	char buffer[256];

	TRY(LIBC(klogctl(3 /* READ_ALL */, buffer, sizeof(buffer))));
	return 0;
}

OPERATION(op_reboot, "reboot-disable-keys", NULL)
{
	return TRY(SYS(SYS_reboot, 0xfee1dead, 672274793, 0 /* CAD_OFF */, NULL));
}

OPERATION(op_settime, "clock-settime", NULL)
{
	long long time[2]; /* struct timespec of either width */
	struct timespec current;

	STEP(LIBC(clock_gettime(CLOCK_REALTIME, &current)));
	time[0] = current.tv_sec;
	time[1] = current.tv_nsec;
	return TRY(SYS(SETTIME, CLOCK_REALTIME, time));
}

OPERATION(op_settimeofday, "settimeofday", NULL)
{
	struct timezone zone = {};

	return TRY(SYS(SYS_settimeofday, NULL, &zone));
}

OPERATION(op_adjtime, "adjtimex", NULL)
{
	struct timex change = { .modes = ADJ_TAI };

	TRY(LIBC(adjtimex(&change)));
	return 0;
}

OPERATION(op_quota, "quotactl", NULL)
{
	return TRY(SYS(SYS_quotactl, QCMD(Q_QUOTAOFF, USRQUOTA), "/dev/vda", 0, NULL));
}

OPERATION(op_acct, "acct", NULL)
{
	return TRY(LIBC(acct(NULL)));
}

OPERATION(op_iopl, "iopl", NULL)
{
	return TRY(SYS(SYS_iopl, 3));
}

OPERATION(op_ioperm, "ioperm", NULL)
{
	return TRY(SYS(SYS_ioperm, 0x80ul, 1ul, 1));
}

OPERATION(op_fanotify, "fanotify-mark", NULL)
{
	int fd = TRY(LIBC(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY)));

	return TRY(LIBC(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, at("object"))));
}

OPERATION(op_setuid, "setuid", NULL)
{
	return TRY(SYS(SYS_setresuid, 1, 1, 1));
}

OPERATION(op_setgid, "setgid", NULL)
{
	return TRY(SYS(SYS_setresgid, 1, 1, 1));
}

OPERATION(op_setgroups, "setgroups", NULL)
{
	return TRY(SYS(SYS_setgroups, 0, NULL));
}

OPERATION(op_fsuid, "setfsuid", NULL)
{
	setfsuid(1);
	return setfsuid(-1) == 1 ? 0 : -EPERM;
}

/* Capabilities --------------------------------------------------------------------------------------------------- */

OPERATION(op_capable_chown, "use-chown", NULL)
{
	return TRY(SYS(SYS_fchownat, AT_FDCWD, at("free/file"), 1, 1, 0));
}

OPERATION(op_capable_nice, "use-sys-nice", NULL)
{
	return TRY(LIBC(setpriority(PRIO_PROCESS, 0, -5)));
}

OPERATION(op_capable_resource, "use-sys-resource", NULL)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	STEP(LIBC(prlimit(0, RLIMIT_SIGPENDING, NULL, (void *)&limit)));
	limit.rlim_max++;
	return TRY(LIBC(prlimit(0, RLIMIT_SIGPENDING, (void *)&limit, NULL)));
}

OPERATION(op_capable_net_admin, "use-net-admin", NULL)
{
	int fd = STEP(LIBC(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))), mark = 1;

	return TRY(LIBC(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark))));
}

OPERATION(op_capable_bind, "use-net-bind-service", NULL)
{
	unsigned short own[8] = { AF_INET, __builtin_bswap16(81) };
	int fd = STEP(LIBC(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));

	return TRY(do_bind(fd, own, 16));
}

OPERATION(op_capable_lock, "use-ipc-lock", NULL)
{
	struct rlimit limit = { 0, 0 };
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	STEP(LIBC(setrlimit(RLIMIT_MEMLOCK, &limit)));
	return TRY(LIBC(mlock(memory, 4096)));
}

OPERATION(op_capable_setpcap, "use-setpcap", NULL)
{
	return TRY(LIBC(prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM, 0, 0, 0)));
}

OPERATION(op_capable_owner, "use-dac-override", NULL)
{
	int fd;

	STEP(SYS(SYS_fchmodat, AT_FDCWD, at("free/file"), 0));
	fd = TRY(do_open(at("free/file"), O_RDWR));
	close(fd);
	return 0;
}
