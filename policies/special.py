"""What each special word covers: the table of semantics.md, 9, for the reference, the checks and the
curious."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.image import Special


@dataclass(frozen=True, slots=True)
class Covers:
    """One word. `capabilities` are those that the same calls need from the kernel (semantics.md, 10)."""

    what: str
    hooks: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    total: bool = False
    """Whoever has this can read and change everything on the host."""


def _covers(what: str, hooks: str, capabilities: str = "", *, total: bool = False) -> Covers:
    return Covers(what, tuple(hooks.split()), tuple(capabilities.split()), total)


TABLE: Final[dict[Special, Covers]] = {
    Special.PTRACE: _covers(
        "tracing another process, reading or writing its memory, taking its descriptors",
        "ptrace_access_check ptrace_traceme",
        "sys_ptrace",
        total=True,
    ),
    Special.KILL: _covers("signals to processes of another identity", "task_kill", "kill"),
    Special.MODULE: _covers(
        "loading kernel modules, from files or memory, and firmware",
        "kernel_read_file kernel_load_data kernel_module_request",
        "sys_module",
        total=True,
    ),
    Special.KEXEC: _covers(
        "loading another kernel", "kernel_read_file kernel_load_data", "sys_boot", total=True
    ),
    Special.BPF: _covers("the bpf system call", "bpf bpf_map bpf_prog", "bpf sys_admin", total=True),
    Special.PERF: _covers("perf_event_open", "perf_event_open", "perfmon sys_admin"),
    Special.MOUNT: _covers(
        "mounting, unmounting, moving mounts, pivot_root, detached trees, their settings",
        "sb_mount sb_umount move_mount sb_pivotroot capable",
        "sys_admin",
        total=True,
    ),
    Special.NAMESPACES: _covers("new or other namespaces, but for user namespaces", "capable", "sys_admin"),
    Special.USERNS: _covers("new user namespaces", "userns_create"),
    Special.CHROOT: _covers("chroot", "path_chroot", "sys_chroot"),
    Special.SETID: _covers(
        "changing the process's user and group ids, also back; not what exec of a set-uid program does",
        "task_fix_setuid task_fix_setgid task_fix_setgroups",
        "setuid setgid",
    ),
    Special.MKNOD: _covers("creating device nodes", "path_mknod", "mknod"),
    Special.RAW_SOCKET: _covers("raw internet sockets", "socket_create", "net_raw"),
    Special.PACKET_SOCKET: _covers(
        "packet sockets, XDP, and every socket family that has no word of its own", "socket_create", "net_raw"
    ),
    Special.NETLINK: _covers("netlink sockets", "socket_create"),
    Special.VSOCK: _covers("sockets to the hypervisor and its guests", "socket_create"),
    Special.AF_ALG: _covers("sockets of the kernel's cryptography", "socket_create"),
    Special.IO_URING: _covers(
        "setting up io_uring; each operation is judged as its plain form",
        "inode_init_security_anon uring_sqpoll uring_override_creds uring_cmd",
    ),
    Special.USERFAULTFD: _covers("handling page faults in user space", "inode_init_security_anon"),
    Special.KEYRING: _covers("the kernel's key rings", "key_alloc key_permission"),
    Special.SWAP: _covers("swapping on and off", "capable", "sys_admin"),
    Special.HOSTNAME: _covers("the host's name and domain", "capable", "sys_admin"),
    Special.SYSLOG: _covers("reading and clearing the kernel's log", "syslog", "syslog"),
    Special.REBOOT: _covers("rebooting, halting", "capable", "sys_boot"),
    Special.CLOCK: _covers("setting the clocks", "capable", "sys_time"),
    Special.QUOTA: _covers("disk quotas", "quotactl", "sys_admin"),
    Special.ACCT: _covers("process accounting", "capable", "sys_pacct"),
    Special.IOPORT: _covers("input and output ports", "capable", "sys_rawio", total=True),
    Special.RAW_DEVICE: _covers(
        "opening block devices, /dev/mem and /dev/port, SCSI generic devices and machine registers",
        "file_open",
        "sys_rawio",
        total=True,
    ),
    Special.FANOTIFY: _covers(
        "watching whole mounts and file systems, and deciding others' accesses", "path_notify", "sys_admin"
    ),
    Special.SCHEDULE_OTHERS: _covers(
        "priority, affinity, memory placement and limits of processes of another identity",
        "task_setnice task_setscheduler task_setioprio task_movememory task_setrlimit",
        "sys_nice",
    ),
    Special.CGROUP: _covers(
        "writing to the control group tree, making and removing groups", "file_open path_mkdir path_rmdir"
    ),
    Special.USB: _covers("authorising USB devices and their interfaces", "file_open"),
}

TOTAL_CAPABILITIES: Final = frozenset(
    {"sys_admin", "sys_module", "sys_rawio", "sys_ptrace", "bpf", "mac_override", "mac_admin"}
)
"""Capabilities that amount to the whole host."""
