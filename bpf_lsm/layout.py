"""What the kernel programs and we exchange, byte for byte: event.h and the values of maps.h.

The image's own layout is in policies.image. tests/unit/test_layout.py compares both with the BTF of the
object file: a field that moves on one side only is a failing test.
"""

from __future__ import annotations

import enum
import os
from typing import Final

import numpy as np

IMAGE_SLACK: Final = 4096
"""Bytes that a slot is larger than the image capacity, so that the programs' reads stay in bounds."""

NO_IMAGE: Final = 2
"""control.active while no image is in force: everything is allowed."""

PATH_MAX: Final = 3072
NO_RIGHT: Final = 255


class _Open(enum.IntEnum):
    """An enumeration that a newer object may know more members of: an unknown number stays a number."""

    @classmethod
    def _missing_(cls, value: object) -> _Open | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def word(self) -> str:
        """The name as people read it, for example `move-mount`."""
        return self.name.lower().replace("_", "-")


class Operation(_Open):
    """What was attempted. Numbers are never reused."""

    NONE = 0
    OPEN = 1
    CREATE = 2
    MKDIR = 3
    MKNOD = 4
    SYMLINK = 5
    UNLINK = 6
    RMDIR = 7
    RENAME = 8
    RENAME_TO = 9
    LINK = 10
    LINK_TO = 11
    CHMOD = 12
    CHOWN = 13
    UTIMES = 14
    SETXATTR = 15
    TRUNCATE = 16
    IOCTL = 17
    FCNTL = 18
    EXEC = 19
    MMAP = 20
    MPROTECT = 21
    CONNECT = 22
    BIND = 23
    LISTEN = 24
    SENDMSG = 25
    SOCKET = 26
    UNIX_CONNECT = 27
    UNIX_SEND = 28
    PTRACE = 29
    KILL = 30
    MODULE = 31
    KEXEC = 32
    FIRMWARE = 33
    BPF = 34
    PERF = 35
    CAPABLE = 36
    MOUNT = 37
    UMOUNT = 38
    MOVE_MOUNT = 39
    PIVOT_ROOT = 40
    USERNS = 41
    CHROOT = 42
    KEYRING = 43
    SETTIME = 44
    SYSLOG = 45
    SWAP = 46
    QUOTA = 47
    IO_URING = 48
    SETNICE = 49
    GUARD = 50
    NAMESPACES = 51
    SETID = 52
    HOSTNAME = 53
    REBOOT = 54
    ACCT = 55
    IOPORT = 56
    FANOTIFY = 57
    USERFAULTFD = 58
    RAW_DEVICE = 59
    CGROUP = 60
    USB = 61
    RECEIVE = 62
    INHERIT = 63
    HOLD = 64
    HOLD_MAPPED = 65


class EventKind(_Open):
    """Why there is an event."""

    DENIAL = 1
    WOULD_DENY = 2
    EXEC = 3


class EventFlag(enum.IntFlag):
    """What else is to be known of an event."""

    FOREIGN = 1
    PATH_CUT = 2
    PATH_UNRESOLVED = 4
    SCRIPT = 8
    UNSAFE_EXEC = 16


class Counter(enum.IntEnum):
    """Indices of the map `counters`."""

    DENIED = 0
    WOULD_DENY = 1
    DENIALS_LOST = 2
    EVENTS_LOST = 3
    UNRESOLVED = 4
    NO_SCRATCH = 5
    NO_LABEL = 6
    COLD = 7
    HASHED = 8
    ALIASES_FULL = 9
    UNTRUSTED_FS = 10
    GUARD = 11
    SEQUENCES_FULL = 12
    NOT_HASHED = 13


class LabelFlag(enum.IntFlag):
    """Flags of a task's label."""

    ADOPTED = 1
    EXECING = 2
    SELF = 4
    SCRIPT = 8
    KERNEL = 16
    SESSION = 32
    AGENT = 64
    FIRST = 128
    WATCH = 256
    MANAGER = 512
    SHARED_FILES = 1024


class OwnKind(enum.IntEnum):
    """What an id in the map `own` is the id of."""

    PROGRAM = 1
    MAP = 2
    LINK = 3


class OwnBy(enum.IntEnum):
    """Who may have a descriptor of what is ours; values of the map `own`."""

    AGENT = 1
    WATCH_READS = 2


EVENT: Final = np.dtype(
    [
        ("time", "<u8"),
        ("generation", "<u8"),
        ("subject", "<u8"),
        ("target", "<u8"),
        ("session", "<u8"),
        ("cgroup", "<u8"),
        ("inode", "<u8"),
        ("device", "<u4"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("ppid", "<u4"),
        ("uid", "<u4"),
        ("login_uid", "<u4"),
        ("rule", "<u4"),
        ("row", "<u4"),
        ("class", "<u4"),
        ("detail", "<u4"),
        ("operation", "<u2"),
        ("kind", "u1"),
        ("right", "u1"),
        ("protocol", "u1"),
        ("family", "u1"),
        ("port", "<u2"),
        ("address", "u1", (16,)),
        ("comm", "S16"),
        ("flags", "<u2"),
        ("path_size", "<u2"),
        ("target_pid", "<u4"),
    ]
)

CONTROL: Final = np.dtype(
    [
        ("active", "<u4"),
        ("guard", "<u4"),
        ("epoch", "<u8"),
        ("moving", "<u4"),
        ("init_mnt_ns", "<u4"),
        ("agent", "<u8"),
        ("catalogue", "<u8"),
        ("no_cache", "<u4"),
        ("zero", "<u4"),
        ("pins_device", "<u4"),
        ("reserved2", "<u4"),
        ("agent_pid", "<u8"),
        ("command", "<u8"),
        ("first", "<u8"),
        ("watch", "<u8"),
    ]
)

DIGEST: Final = np.dtype([("sha256", "u1", (32,))])

CREDENTIAL: Final = np.dtype([("identity", "<u8"), ("flags", "<u4"), ("reserved", "<u4")])

LABEL: Final = np.dtype(
    [
        ("identity", "<u8"),
        ("generation", "<u8"),
        ("row", "<u2"),
        ("row_flags", "<u2"),
        ("watch", "<u4"),
        ("flags", "<u4"),
        ("reserved", "<u4"),
        ("pending", "<u8"),
        ("session", "<u8"),
        ("digest", "<u8"),
        ("login_uid", "<u4"),
        ("refused", "<u4"),
    ]
)

ALIAS_KEY: Final = np.dtype([("inode", "<u8"), ("device", "<u4"), ("generation", "<u4")])

ALIAS: Final = np.dtype([("class", "<u4", (2,))])
"""By slot."""

FILE_KEY: Final = np.dtype([("inode", "<u8"), ("device", "<u8")])

OWN_KEY: Final = np.dtype([("kind", "<u4"), ("id", "<u4")])

TALLY: Final = np.dtype([("denied", "<u8"), ("would_deny", "<u8")])

PROGRESS_KEY: Final = np.dtype([("session", "<u8"), ("sequence", "<u8")])

WAIT: Final = np.dtype(
    [("start", "<u8"), ("until", "<u8"), ("ports", "<u2", (8,)), ("count", "<u4"), ("reserved", "<u4")]
)
"""How far one sequence has come in one session, for one step; a value of `progress` is eight of them."""

STRUCTS: Final = {
    "event": EVENT,
    "control": CONTROL,
    "digest": DIGEST,
    "credential": CREDENTIAL,
    "label": LABEL,
    "alias_key": ALIAS_KEY,
    "alias": ALIAS,
    "file_key": FILE_KEY,
    "own_key": OWN_KEY,
    "tally": TALLY,
    "progress_key": PROGRESS_KEY,
    "wait": WAIT,
}
"""By the struct's name in C."""


def kernel_device(device: int) -> int:
    """The kernel's number of a device (major << 20 | minor), from the one that stat gives."""
    return os.major(device) << 20 | os.minor(device)


def user_device(device: int) -> int:
    """The number that stat gives for a device, from the kernel's."""
    return os.makedev(device >> 20, device & 0xFFFFF)
