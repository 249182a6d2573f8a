"""Sequences that block: what the agent says to the hooks about sessions and sequences."""

from __future__ import annotations

import ctypes
import struct
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import WAIT

_NUMBER: Final = struct.Struct("=Q")


def now() -> int:
    """Nanoseconds of CLOCK_BOOTTIME, as the hooks have it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def note_gap(maps: Mapping[str, KernelMap], session: int) -> None:
    """Records of this session were lost: what it began until now is told and not denied."""
    maps["session_gaps"].update(_NUMBER.pack(session), _NUMBER.pack(now()))


def sessions(maps: Mapping[str, KernelMap]) -> set[int]:
    """The sessions in which some sequence has begun."""
    return {int.from_bytes(key[:8], sys.byteorder) for key in maps["progress"].items()}


def set_revoked(maps: Mapping[str, KernelMap], sequences: Collection[int]) -> None:
    """These sequences (ids), and no others, do not block any more, whatever the image says."""
    table = maps["revoked"]
    wanted = {_NUMBER.pack(each) for each in sequences}
    for key in wanted:
        table.update(key, _NUMBER.pack(now()))
    for key in table.items().keys() - wanted:
        table.delete(key)


def sweep(maps: Mapping[str, KernelMap]) -> int:
    """Forget sessions whose sequences cannot come true any more; how many. The table is bounded."""
    table, moment, gone = maps["progress"], now(), 0
    for key, value in table.items().items():
        waits: Any = (WAIT * (len(value) // ctypes.sizeof(WAIT))).from_buffer_copy(value)
        if not any(wait.start and wait.until >= moment for wait in waits):
            gone += table.delete(key)
    return gone
