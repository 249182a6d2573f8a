"""The policy image: the numbers that the kernel hooks and the evaluator both know; layout.py has its bytes.

They are those of `bpf_lsm/src/image.h`; `tests/unit/test_layout.py` compares the two. See docs/internals.md.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Final

MAGIC: Final = 0x48534E4D
VERSION: Final = 2
GENERATION_AT: Final = 8
HASH_END: Final = 48
"""The hash follows the generation in an image's header."""

SYM_DEFAULT: Final = 0
SYM_BYTE: Final = 1
SYM_CLASS: Final = 257
SYM_SUBTREE: Final = 258
SYM_REST: Final = 259
SYM_STOPS: Final = 260
SYM_BEHIND: Final = 261
STATE_SINK: Final = 0x8000_0000
STATE_SHORTCUT: Final = 0x4000_0000
STATE_NAMES: Final = 0x2000_0000
STATE_FLAGS: Final = STATE_SINK | STATE_SHORTCUT | STATE_NAMES

SHORT_NAME: Final = 16
"""Bytes of the longest name that a shortcut knows."""

ENDPOINT_V4: Final = 0x04
ENDPOINT_V6: Final = 0x06

ROW_UNCONFINED: Final = 0
ROW_UNIDENTIFIED: Final = 1
ROW_FIRST: Final = 2

MAX_CELLS: Final = 0xFFFF
MAX_ROWS: Final = 0x10000
"""A process's label keeps its row in two bytes."""


class Right(enum.IntEnum):
    """Bit numbers of the rights in a cell's masks; the last three are properties of a right."""

    READ = 0
    LIST = 1
    WRITE = 2
    APPEND = 3
    CREATE = 4
    DELETE = 5
    RENAME = 6
    LINK = 7
    ATTRIBUTES = 8
    EXECUTE = 9
    MAP_EXEC = 10
    IOCTL = 11
    MOUNT = 12
    CONNECT = 13
    LISTEN = 14
    WAIVE_EXECUTE_UNSIGNED = 15
    WAIVE_MAP_UNSIGNED = 16
    EXEC_AS_SELF = 17


class Builtin(enum.IntEnum):
    """Rules that are the product's own; compiled rules follow them."""

    NONE = 0
    UNRESOLVED_PATH = 1
    GUARD = 2
    UNIDENTIFIED_PROGRAM = 3
    NO_PATH = 4
    GAIN = 5
    SCRATCH = 6


class RowFlag(enum.IntFlag):
    """Flags of a subject's row."""

    CONFINED = 1
    JIT = 2
    JIT_ENFORCE = 4
    UNRESOLVED_ENFORCE = 8


class Special(enum.IntEnum):
    """Bit numbers of the special rights (semantics.md, 9); the word is the name with dashes."""

    PTRACE = 0
    KILL = 1
    MODULE = 2
    KEXEC = 3
    BPF = 4
    PERF = 5
    MOUNT = 6
    NAMESPACES = 7
    USERNS = 8
    CHROOT = 9
    SETID = 10
    MKNOD = 11
    RAW_SOCKET = 12
    PACKET_SOCKET = 13
    NETLINK = 14
    VSOCK = 15
    AF_ALG = 16
    IO_URING = 17
    USERFAULTFD = 18
    KEYRING = 19
    SWAP = 20
    HOSTNAME = 21
    SYSLOG = 22
    REBOOT = 23
    CLOCK = 24
    QUOTA = 25
    ACCT = 26
    IOPORT = 27
    RAW_DEVICE = 28
    FANOTIFY = 29
    SCHEDULE_OTHERS = 30
    CGROUP = 31
    USB = 32

    @property
    def word(self) -> str:
        """The word in YAML, for example `raw-socket`."""
        return self.name.lower().replace("_", "-")


MAX_SEQUENCES: Final = 16
MAX_SLOTS: Final = 64
"""Steps of all sequences that block."""
MAX_STEPS: Final = 8
MAX_COUNT: Final = 8


class Operation(enum.IntEnum):
    """Of the hooks' operations those that a step can be restricted to; ANY asks for the right alone."""

    ANY = 0
    OPEN = 1
    CHMOD = 12
    EXEC = 19


class StepFlag(enum.IntFlag):
    """Flags of a step."""

    ABSENT = 1
    """Ends the wait for its step."""
    DISTINCT = 2
    """Different ports are counted."""


HASH_FIRST: Final = 0x9E3779B97F4A7C15
HASH_SECOND: Final = 0xD6E8FEB86659FD93
_WORD: Final = (1 << 64) - 1


def hash_name(state: int, low: int, high: int, size: int) -> tuple[int, int]:
    """The two places of a name behind a state in a table of `size` entries, a power of two."""
    mixed = ((low ^ state) * HASH_FIRST) & _WORD
    mixed = (((mixed ^ mixed >> 32) + high) * HASH_SECOND) & _WORD
    return mixed >> 40 & size - 1, mixed >> 27 & size - 1


def content_hash(image: bytes) -> bytes:
    """sha256 of the image with its hash and generation zero."""
    return hashlib.sha256(image[:GENERATION_AT] + bytes(HASH_END - GENERATION_AT) + image[HASH_END:]).digest()
