"""What the watch's programs and its process exchange apart from the events: the maps of src/watch/maps.h.

tests/unit/test_layout.py compares it with the BTF of the object file.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np

from bpf_lsm.observation import Tally, Type

TYPES: Final = max(Type) + 1
"""Rows of the map `tallies`, and bits of a mask of types."""
READ_WORDS: Final = 64
EXE_KEY_BYTES: Final = 248
"""The longest path of a program in an allow list is one byte shorter."""
BREAKER_WINDOW: Final = 100_000_000
"""Nanoseconds over which the circuit breaker counts."""

LIMIT: Final = np.dtype([("interval", "<u8"), ("burst", "<u8"), ("next", "<u8")])

CONTROL: Final = np.dtype(
    [
        ("types", "<u8", (2,)),
        ("vital", "<u8", (2,)),
        ("breaker_count", "<u8"),
        ("breaker_quiet", "<u8"),
        ("window_start", "<u8"),
        ("window_count", "<u8"),
        ("last_busy", "<u8"),
        ("open", "<u4"),
        ("strings_epoch", "<u4"),
        ("allow_epoch", "<u4"),
        ("init_mnt_ns", "<u4"),
        ("wake", "<u4"),
        ("reads", "<u4"),
        ("key", "<u8", (2,)),
        ("read_names", "<u8", (READ_WORDS,)),
        ("read_folders", "<u8", (READ_WORDS,)),
        ("limits", LIMIT, (TYPES,)),
    ]
)

HASH: Final = np.dtype([("low", "<u8"), ("high", "<u8")])

MASK: Final = np.dtype([("types", "<u8", (2,))])

EXE_KEY: Final = np.dtype([("bits", "<u4"), ("path", "u1", (EXE_KEY_BYTES,))])

TALLIES: Final = np.dtype([("count", "<u8", (len(Tally),))])

STRUCTS: Final = {
    "watch_limit": LIMIT,
    "watch_control": CONTROL,
    "watch_hash": HASH,
    "watch_mask": MASK,
    "watch_exe_key": EXE_KEY,
    "watch_tally": TALLIES,
}
"""By the struct's name in C."""


class Meter(enum.IntEnum):
    """Indices of the map `meters`."""

    GAPS = 0
    """Records that were lost or limited."""
    STRINGS_SENT = 1
    STRINGS_LOST = 2
    """No room on the ring of strings."""
    STRINGS_EXHAUSTED = 3
    """No number left."""
    UNREADABLE = 4
    """Strings and addresses in a caller's memory that could not be read."""
    NO_MEMORY = 5
    """No memory for what is kept of a task; such a record is lost."""
    OPENED = 6
    """Times that the circuit breaker opened."""
    MARKS_FULL = 7
    """Gaps that could not be noted with their session: no session counts as whole any more."""
