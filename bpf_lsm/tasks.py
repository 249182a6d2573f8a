"""Labels of tasks: given to those that were there before the gate, and read back."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bpf_lsm import libbpf, tables
from bpf_lsm.errors import GateError
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import LABEL, LabelFlag, kernel_device

_FILE_KEY: Final = struct.Struct("=QQ")
_NUMBER: Final = struct.Struct("=I")
_IDENTITY: Final = struct.Struct("=Q")
_LABEL: Final = struct.Struct("=QQHHIIIQQQII")
_ROUNDS: Final = 16

assert _LABEL.size == ctypes.sizeof(LABEL)


@dataclass(frozen=True, slots=True)
class Label:
    """Who a task is."""

    identity: int
    """0: unidentified."""
    row: int
    flags: LabelFlag
    session: int = 0
    """The lineage that events are joined on; 0: not known."""


def adopt(
    maps: Mapping[str, KernelMap],
    iterator: int,
    by_file: Mapping[tuple[int, int], int],
    by_pid: Mapping[int, int],
) -> int:
    """Run the task iterator until it finds no task without a label. The tables are empty afterwards: a pid
    or an inode number that is used again must not mean what it meant."""
    files, pids = maps["adoption"], maps["adoption_by_pid"]
    rows = {
        _FILE_KEY.pack(inode, kernel_device(device)): _IDENTITY.pack(identity)
        for (device, inode), identity in by_file.items()
    }
    labelled = 0
    try:
        tables.change(files, rows)
        tables.change(pids, {_NUMBER.pack(pid): _IDENTITY.pack(who) for pid, who in by_pid.items()})
        for _ in range(_ROUNDS):
            found = _labelled(libbpf.read_iterator(iterator))
            labelled += found
            if found == 0:
                return labelled
    finally:
        files.clear()
        pids.clear()
    raise GateError(f"tasks without a label keep coming: {labelled} were labelled in {_ROUNDS} rounds")


def label_of(labels: KernelMap, pid: int) -> Label | None:
    """The label of a process; None if it has none or is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return None
    try:
        value = labels.lookup(_NUMBER.pack(descriptor))
    finally:
        os.close(descriptor)
    if value is None:
        return None
    identity, _, row, _, _, flags, _, _, session, *_ = _LABEL.unpack(value)
    return Label(identity, row, LabelFlag(flags), session)


def _labelled(said: bytes) -> int:
    """The iterator writes a line for each task that it labels."""
    return sum(line.startswith(b"labelled ") for line in said.splitlines())
