"""The policy image: the bytes that the kernel hooks and the evaluator both read.

The layout is that of `bpf_lsm/src/image.h`; `tests/unit/test_layout.py` compares the two through BTF.
All numbers are little endian; offsets are bytes from the start of the image. See docs/internals.md.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np

MAGIC: Final = 0x48534E4D
VERSION: Final = 2

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


HEADER: Final = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("generation", "<u8"),
        ("hash", "u1", (32,)),
        ("size", "<u4"),
        ("start", "<u4"),
        ("n_rows", "<u4"),
        ("n_classes", "<u4"),
        ("n_cells", "<u4"),
        ("n_rules", "<u4"),
        ("n_identities", "<u4"),
        ("n_targets", "<u4"),
        ("off_rows", "<u4"),
        ("off_grid", "<u4"),
        ("off_cells", "<u4"),
        ("off_identities", "<u4"),
        ("off_targets", "<u4"),
        ("off_meta", "<u4"),
        ("meta_size", "<u4"),
        ("flags", "<u4"),
        ("off_sequences", "<u4"),
        ("off_slots", "<u4"),
        ("sequence_rights", "<u4"),
        ("off_names", "<u4"),
        ("names_mask", "<u4"),
        ("reserved", "u1", (60,)),
    ]
)

ROW: Final = np.dtype(
    [
        ("identity", "<u8"),
        ("flags", "<u4"),
        ("watch", "<u4"),
        ("special", "<u8"),
        ("special_enforce", "<u8"),
        ("capabilities", "<u8"),
        ("capabilities_enforce", "<u8"),
        ("special_rule", "<u4"),
        ("capabilities_rule", "<u4"),
        ("jit_rule", "<u4"),
        ("default_rule", "<u4"),
        ("targets", "<u4"),
        ("n_targets", "<u4"),
        ("reserved", "u1", (56,)),
    ]
)

TARGET: Final = np.dtype([("identity", "<u8"), ("special", "<u8")])

IDENTITY: Final = np.dtype([("identity", "<u8"), ("row", "<u4"), ("reserved", "<u4")])

CELL: Final = np.dtype(
    [
        ("allow", "<u4"),
        ("enforce", "<u4"),
        ("denied", "<u4"),
        ("any", "<u4"),
        ("foreign", "<u4"),
        ("reserved", "<u4"),
        ("rule", "<u4", (16,)),
        ("padding", "u1", (8,)),
    ]
)

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


STEP: Final = np.dtype(
    [
        ("within", "<u8"),
        ("next_within", "<u8"),
        ("sequence", "u1"),
        ("step", "u1"),
        ("count", "u1"),
        ("flags", "u1"),
        ("operation", "<u4"),
    ]
)

SEQUENCE: Final = np.dtype([("id", "<u8"), ("within", "<u8"), ("rule", "<u4"), ("n_steps", "<u4")])

SEQUENCES: Final = np.dtype(
    [
        ("n_sequences", "<u4"),
        ("n_slots", "<u4"),
        ("unidentified", "<u8"),
        ("by_right", "<u8", (16,)),
        ("steps", STEP, (MAX_SLOTS,)),
        ("sequences", SEQUENCE, (MAX_SEQUENCES,)),
    ]
)
"""Of an image with sequences that block. A slot is a step; `by_right`, `unidentified` are sets of slots."""

ENTRY: Final = np.dtype([("owner", "<u4"), ("next", "<u4")])

NAME: Final = np.dtype([("low", "<u8"), ("high", "<u8"), ("state", "<u4"), ("next", "<u4")])

HASH_FIRST: Final = 0x9E3779B97F4A7C15
HASH_SECOND: Final = 0xD6E8FEB86659FD93
_WORD: Final = (1 << 64) - 1


def hash_name(state: int, low: int, high: int, size: int) -> tuple[int, int]:
    """The two places of a name behind a state in a table of `size` entries, a power of two."""
    mixed = ((low ^ state) * HASH_FIRST) & _WORD
    mixed = (((mixed ^ mixed >> 32) + high) * HASH_SECOND) & _WORD
    return mixed >> 40 & size - 1, mixed >> 27 & size - 1
