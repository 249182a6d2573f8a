"""The number that an event carries beside its operation, in words."""

from __future__ import annotations

import signal
import socket
from typing import Final

CAPABILITIES: Final = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip
"""By number, as linux/capability.h and the policy language have them."""

_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR")
_OPEN = {
    0o100: "O_CREAT",
    0o200: "O_EXCL",
    0o1000: "O_TRUNC",
    0o2000: "O_APPEND",
    0o200000: "O_DIRECTORY",
    0o400000: "O_NOFOLLOW",
    0o10000000: "O_PATH",
    0o20000000: "O_TMPFILE",
}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp", 136: "udp", 262: "tcp"}


def capability(number: int) -> str:
    """The name of a capability."""
    return CAPABILITIES[number] if number < len(CAPABILITIES) else f"capability-{number}"


def protocol(number: int) -> str:
    """The name of an IP protocol, as the policy language has it."""
    return _PROTOCOLS.get(number, str(number) if number else "")


def open_flags(flags: int) -> str:
    """The flags of open(2) that matter to a right."""
    return "|".join([_ACCESS[flags & 3], *(name for bit, name in _OPEN.items() if flags & bit)])


def signal_name(number: int) -> str:
    """The name of a signal; 0 asks only whether the process is there."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def socket_kind(detail: int) -> str:
    """Family and type of a socket, packed as family << 16 | type."""
    try:
        family = socket.AddressFamily(detail >> 16).name
    except ValueError:
        family = f"family {detail >> 16}"
    try:
        return f"{family} {socket.SocketKind(detail & 0xF).name}"
    except ValueError:
        return family
