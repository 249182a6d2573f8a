"""What the kernel programs and we exchange, byte for byte: event.h and the values of maps.h.

The image's own layout is in policies.image. tests/unit/test_layout.py compares both with the BTF of the
object file: a field that moves on one side only is a failing test.
"""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Mapping
from typing import Final

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


Struct = type[ctypes.LittleEndianStructure]

U8, U16, U32, U64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


def _struct(name: str, **fields: type) -> Struct:
    return type(name, (ctypes.LittleEndianStructure,), {"_fields_": list(fields.items())})


EVENT: Final = _struct(
    "event",
    time=U64,
    generation=U64,
    subject=U64,
    target=U64,
    session=U64,
    cgroup=U64,
    inode=U64,
    device=U32,
    pid=U32,
    tid=U32,
    ppid=U32,
    uid=U32,
    login_uid=U32,
    rule=U32,
    row=U32,
    **{"class": U32},
    detail=U32,
    operation=U16,
    kind=U8,
    right=U8,
    protocol=U8,
    family=U8,
    port=U16,
    address=U8 * 16,
    comm=ctypes.c_char * 16,
    flags=U16,
    path_size=U16,
    target_pid=U32,
)

CONTROL: Final = _struct(
    "control",
    active=U32,
    guard=U32,
    epoch=U64,
    moving=U32,
    init_mnt_ns=U32,
    agent=U64,
    catalogue=U64,
    no_cache=U32,
    zero=U32,
    pins_device=U32,
    reserved2=U32,
    agent_pid=U64,
    command=U64,
    first=U64,
    watch=U64,
)

DIGEST: Final = _struct("digest", sha256=U8 * 32)

CREDENTIAL: Final = _struct("credential", identity=U64, flags=U32, reserved=U32)

LABEL: Final = _struct(
    "label",
    identity=U64,
    generation=U64,
    row=U16,
    row_flags=U16,
    watch=U32,
    flags=U32,
    reserved=U32,
    pending=U64,
    session=U64,
    digest=U64,
    login_uid=U32,
    refused=U32,
)

ALIAS_KEY: Final = _struct("alias_key", inode=U64, device=U32, generation=U32)

ALIAS: Final = _struct("alias", **{"class": U32 * 2})
"""By slot."""

FILE_KEY: Final = _struct("file_key", inode=U64, device=U64)

OWN_KEY: Final = _struct("own_key", kind=U32, id=U32)

TALLY: Final = _struct("tally", denied=U64, would_deny=U64)

PROGRESS_KEY: Final = _struct("progress_key", session=U64, sequence=U64)

WAIT: Final = _struct("wait", start=U64, until=U64, ports=U16 * 8, count=U32, reserved=U32)
"""How far one sequence has come in one session, for one step; a value of `progress` is eight of them."""

STRUCTS: Final[Mapping[str, Struct]] = {
    each.__name__: each
    for each in (
        EVENT, CONTROL, DIGEST, CREDENTIAL, LABEL, ALIAS_KEY, ALIAS, FILE_KEY, OWN_KEY, TALLY,
        PROGRESS_KEY, WAIT,
    )
}  # fmt: skip
"""By the struct's name in C."""


def place(struct: Struct, field: str) -> tuple[int, int]:
    """Where a field begins and how large it is, in bytes."""
    found = getattr(struct, field)
    return found.offset, found.size


def kernel_device(device: int) -> int:
    """The kernel's number of a device (major << 20 | minor), from the one that stat gives."""
    return os.major(device) << 20 | os.minor(device)


def user_device(device: int) -> int:
    """The number that stat gives for a device, from the kernel's."""
    return os.makedev(device >> 20, device & 0xFFFFF)
