"""What the watch sees: the one definition of its events.

From the tables below come the dtype OBSERVATION here, the C header bpf_lsm/src/observation.h and the page
docs/events.md, the last two by `python -m bpf_lsm.generate`. A test finds a header or a page that lags
behind, and compares the layout with the BTF of the compiled programs.

A record has a fixed size, so that a batch of them is one array. Its strings are numbers: the kernel programs
send each string once, on a ring of its own and before the first record that names it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

STRING_NONE: Final = 0
"""Number of a string that is empty, or that this kind of event does not have."""
STRING_LOST: Final = 1
"""Number of a string that could not be sent: the ring of strings was full. Counted."""
STRING_FIRST: Final = 2
STRING_NUMBERS: Final = 1 << 15
"""Numbers that are given before every string is sent anew, from the first number on: the kernel side may name
a string after any time, so a receiver needs all of them. It keeps twice as many, for those on the way."""
STRING_MAX: Final = 2048
"""Bytes of a string that are kept; what is longer is cut, and says so."""


class Type(enum.IntEnum):
    """Kind of an event. Numbers are never reused."""

    EXEC = 1
    FORK = 2
    EXIT = 3
    CREDENTIALS = 4
    LOGIN = 5
    FILE_CREATE = 10
    FILE_OPEN = 11
    FILE_WRITE = 12
    FILE_DELETE = 13
    FILE_RENAME = 14
    FILE_LINK = 15
    FILE_CHMOD = 16
    MEMFD = 17
    CONNECT = 30
    ACCEPT = 31
    BIND = 32
    LISTEN = 33
    SENDTO = 34
    RAW_SOCKET = 35
    PTRACE = 50
    MODULE = 51
    BPF = 52
    KILL = 53
    MOUNT = 54
    DENIAL = 70
    WOULD_DENY = 71

    @property
    def word(self) -> str:
        """The name as people and rules write it, for example `file-write`."""
        return self.name.lower().replace("_", "-")


class Flag(enum.IntFlag):
    """What else is to be known of an event."""

    FOREIGN = 1 << 0
    """The object is outside process 1's mount namespace; the path is that namespace's."""
    PATH_CUT = 1 << 1
    PATH_UNRESOLVED = 1 << 2
    SCRIPT = 1 << 3
    """exec: the file is a script; `path` is the script, `exe` its interpreter."""
    UNSAFE_EXEC = 1 << 4
    ARGS_CUT = 1 << 5
    """Not all arguments fit."""
    ADOPTED = 1 << 6
    """The process was there before the watch: what it did until then is not known."""
    EXE_DELETED = 1 << 7
    """The program's file has no name any more, or never had one (memfd)."""
    THREAD = 1 << 8
    """fork: a thread of the same process; exit: the process goes on."""
    GIVEN = 1 << 9
    """`path` is as the caller wrote it, joined to its folder: symbolic links and dots were not followed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `code` is a numpy type: u2, u4, u8, i4; `count` makes it an array of bytes."""

    name: str
    code: str
    meaning: str
    count: int = 1
    is_string: bool = False


FIELDS: Final = (
    Field("time", "u8", "nanoseconds of CLOCK_BOOTTIME, taken when the event was over"),
    Field("session", "u8", "the lineage that events are joined on; 0: born before the watch"),
    Field("subject", "u8", "number of the identity that the task is judged as; 0: unidentified, or no gate"),
    Field("target", "u8", "number of the identity of the other task, or of the program that is executed"),
    Field("digest", "u8", "first eight bytes of the sha256 of the program, big endian; 0: not known"),
    Field("cgroup", "u8", "id of the control group"),
    Field("inode", "u8", "of the object"),
    Field("exe", "u4", "canonical path of the running program; exec: of the new one", is_string=True),
    Field(
        "args",
        "u4",
        "arguments of the running program, a NUL between two; exec: the new ones",
        is_string=True,
    ),
    Field("path", "u4", "the object: a file, a unix socket's path, a module's name", is_string=True),
    Field("path2", "u4", "rename, link: the new name", is_string=True),
    Field("comm", "u4", "what the task calls itself", is_string=True),
    Field("device", "u4", "of the object: major << 20 | minor"),
    Field("mnt_ns", "u4", "inode number of the mount namespace"),
    Field("pid", "u4", "process (tgid) in the initial pid namespace"),
    Field("tid", "u4", "thread"),
    Field("ppid", "u4", "parent process"),
    Field("sid", "u4", "POSIX session id"),
    Field("uid", "u4", "effective user"),
    Field("login_uid", "u4", "user who logged in; 4294967295: nobody did"),
    Field("result", "i4", "0 or a number that the call returned; negative: an errno"),
    Field("detail", "u4", "by type, see below"),
    Field("target_pid", "u4", "the other process: child of a fork, whom a signal or a tracer is for"),
    Field("rule", "u4", "denials: the rule of the policy image"),
    Field(
        "object_class", "u4", "denials and files: the object class in the policy image; 0: none or no gate"
    ),
    Field("lost", "u4", "records lost on this host until now, modulo 2^32: a change is a gap in the stream"),
    Field("address", "u1", "the peer, or one's own for bind: network order, v4 in the first four bytes", 16),
    Field("port", "u2", "host order"),
    Field("family", "u1", "4, 6, 1 for a unix socket, 0 for none"),
    Field("protocol", "u1", "IP protocol number"),
    Field("type", "u2", "kind of event"),
    Field("flags", "u2", "see below"),
    Field("generation", "u4", "of the policy image, low 32 bits"),
)

DETAILS: Final = {
    Type.EXEC: "number of arguments",
    Type.FORK: "clone flags, as far as they show in the child (vfork does not; unshare is no fork)",
    Type.EXIT: "exit code as wait has it: status << 8 | signal",
    Type.CREDENTIALS: "the effective user before; `uid` is the one after",
    Type.LOGIN: "the login user before; `login_uid` is the one after",
    Type.FILE_CREATE: "mode with its type (octal 0100644: a plain file)",
    Type.FILE_OPEN: "open flags; only reads of paths that are watched for reading",
    Type.FILE_WRITE: "open flags; once for each open for writing",
    Type.FILE_DELETE: "1: a directory",
    Type.FILE_RENAME: "rename flags",
    Type.FILE_LINK: "1: a symbolic link; `path` is then its target as it is written",
    Type.FILE_CHMOD: "the new mode",
    Type.MEMFD: "flags of memfd_create; `path` is the name that was given",
    Type.CONNECT: "socket type",
    Type.ACCEPT: "socket type",
    Type.BIND: "socket type",
    Type.LISTEN: "backlog",
    Type.SENDTO: "socket type; only datagrams to an address that connect did not set",
    Type.RAW_SOCKET: "family << 16 | type",
    Type.PTRACE: "mode, as PTRACE_MODE_*; 256 as well: its memory, by process_vm_readv or process_vm_writev",
    Type.MODULE: "1: from memory (init_module)",
    Type.BPF: "command of bpf()",
    Type.KILL: "signal; only to another session",
    Type.MOUNT: "mount flags",
    Type.DENIAL: "as the gate's event has it; `object_class`, `rule` and `result` say what was decided",
    Type.WOULD_DENY: "the same; the rule is in audit and the call went on",
}
"""What `detail` is, by type."""

OBSERVATION: Final = np.dtype(
    [
        (field.name, f"<{field.code}" if field.code != "u1" else "u1", (field.count,))
        if field.count > 1
        else (field.name, f"<{field.code}" if field.code != "u1" else "u1")
        for field in FIELDS
    ]
)
"""One record of the ring `observations`."""

STRING_FIELDS: Final = tuple(field.name for field in FIELDS if field.is_string)

STRING: Final = np.dtype([("number", "<u4"), ("size", "<u2"), ("cut", "<u2")])
"""Header of one record of the ring `strings`; `size` bytes follow. cut: 1 if the string was longer."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What a source gives at once. The strings are those that were sent before the last of the records."""

    records: NDArray[Any]
    """Of OBSERVATION."""
    strings: Sequence[tuple[int, bytes, bool]]
    """Number, value, whether it was cut. A number may be announced again, with another value too: what was
    read before keeps the old one."""


class Tally(enum.IntEnum):
    """Columns of the map `tallies`, one row for each type: generated = sum of the others, exactly."""

    GENERATED = 0
    DELIVERED = 1
    ALLOWED = 2
    """Left out by an allow list."""
    LIMITED = 3
    """Over the rate limit of its type, or while the circuit breaker was open."""
    LOST = 4
    """No room on the ring."""
