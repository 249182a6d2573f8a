#!/usr/bin/python3 -I
"""In the guest: does one privileged thing and says how the kernel answered: 0 or an errno.

special_actor.py CASE PID      PID: a process of another subject
"""

# ruff: noqa: PTH102, PTH106, PTH108 - it is the system calls that matter
from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
OTHER = int(sys.argv[2])


def call(number: int, *arguments: bytes | int | None) -> int:
    """A system call of x86-64; the errno is an exception."""
    words = [
        ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_long(int(one or 0)) for one in arguments
    ]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def vector() -> bytes:
    """An iovec of eight bytes; whether anything is there is asked after the right."""
    return struct.pack("=QQ", 0x400000, 8)


def mount_and_unmount() -> None:
    call(165, b"none", b"/mnt", b"tmpfs", 0, 0)
    call(166, b"/mnt", 0)


def add_and_remove_group() -> None:
    os.mkdir("/sys/fs/cgroup/actor")
    os.rmdir("/sys/fs/cgroup/actor")


def mark_a_mount() -> None:
    call(301, call(300, 0, 0), 0x1 | 0x10, 0x20, -100, b"/")


def make_a_node() -> None:
    os.mknod("/tmp/node", 0o20600, os.makedev(1, 3))
    os.unlink("/tmp/node")


CASES = {
    "ptrace": lambda: call(101, 0x4206, OTHER, 0, 0),
    "ptrace by process_vm_readv": lambda: call(310, OTHER, vector(), 1, vector(), 1, 0),
    "kill": lambda: os.kill(OTHER, 18),
    "module": lambda: call(175, b"x" * 100, 100, b""),
    "kexec": lambda: call(246, 0, 0, 0, 0),
    "bpf": lambda: call(321, 12, b"\0" * 64, 64),
    "perf": lambda: call(298, struct.pack("IIQ", 1, 112, 0) + b"\0" * 96, 0, -1, -1, 0),
    "mount": mount_and_unmount,
    "mount by open_tree": lambda: call(428, -100, b"/", 1),
    "mount by fsopen": lambda: call(430, b"tmpfs", 0),
    "mount by mount_setattr": lambda: call(442, -100, b"/proc", 0, b"\0" * 32, 32),
    "namespaces": lambda: call(272, 0x04000000),
    "namespaces by setns": lambda: call(308, os.open("/proc/self/ns/uts", os.O_RDONLY), 0),
    "userns": lambda: call(272, 0x10000000),
    "chroot": lambda: os.chroot("/"),
    "setid": lambda: os.setresuid(1000, 1000, 1000),
    "setid of a group": lambda: os.setresgid(1000, 1000, 1000),
    "setid of groups": lambda: os.setgroups([1000]),
    "mknod": make_a_node,
    "raw-socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet-socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "af-alg": lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "io-uring": lambda: call(425, 1, b"\0" * 120),
    "userfaultfd": lambda: call(323, 0),
    "keyring": lambda: call(248, b"user", b"actor", b"x", 1, -2),
    "keyring by reading": lambda: call(250, 6, -3, 0, 0, 0),
    "swap": lambda: call(168, b"/nowhere"),
    "hostname": lambda: socket.sethostname(socket.gethostname()),
    "syslog": lambda: call(103, 3, b"\0" * 64, 64),
    "reboot": lambda: call(169, 0xFEE1DEAD, 672274793, 0, 0),
    "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "quota": lambda: call(179, 0x800001 << 8, 0, 0, 0),
    "acct": lambda: call(163, 0),
    "ioport": lambda: call(173, 0x80, 1, 1),
    "raw-device": lambda: os.open("/dev/vda", os.O_RDONLY),
    "raw-device that is memory": lambda: os.open("/dev/mem", os.O_RDONLY),
    "fanotify": mark_a_mount,
    "schedule-others": lambda: os.setpriority(os.PRIO_PROCESS, OTHER, 1),
    "schedule-others by affinity": lambda: os.sched_setaffinity(OTHER, {0}),
    "schedule-others by limits": lambda: call(302, OTHER, 7, struct.pack("QQ", 512, 512), 0),
    "cgroup": lambda: os.open("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY),
    "cgroup by a new group": add_and_remove_group,
}

try:
    CASES[sys.argv[1]]()
    print(0)
except OSError as error:
    print(errno.errorcode.get(error.errno or 0, error.errno))
