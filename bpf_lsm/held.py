"""What tasks hold that the image in force would not let them open, and how to get at it."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from bpf_lsm import libbpf
from bpf_lsm.errors import GateError, KernelError
from bpf_lsm.events import SIZE, Event, decode
from bpf_lsm.layout import EVENT, Operation, place

_PIDFD_GETFD: Final = 438  # the number is the same on all architectures

_libc = ctypes.CDLL(None, use_errno=True)


def read(descriptors: int, mappings: int) -> list[Event]:
    """Run both iterators: an event for each descriptor, and one for each right on a file that a process has
    mapped, however many mappings it has of it."""
    found = records(libbpf.read_iterator(descriptors))
    mapped: dict[tuple[int, ...], Event] = {}
    for event in records(libbpf.read_iterator(mappings)):
        mapped.setdefault((event.pid, event.device, event.inode, event.right), event)
    return [*found, *mapped.values()]


def records(said: bytes) -> list[Event]:
    """What an iterator wrote: events one after the other, each with its path."""
    found: list[Event] = []
    at = 0
    while at < len(said):
        header = said[at : at + SIZE]
        if len(header) < SIZE:
            raise GateError(f"an iterator's last record has {len(header)} bytes")
        end = at + SIZE + _path_size(header)
        if end > len(said):
            raise GateError("an iterator's last record is shorter than the path that it announces")
        event = decode(said[at:end])
        if event.operation not in (Operation.HOLD, Operation.HOLD_MAPPED):
            raise GateError(f"an iterator wrote of {event.operation.word}, which is not held")
        found.append(event)
        at = end
    return found


def take(pidfd: int, descriptor: int) -> int:
    """A descriptor of ours of what a process has open; KernelError if it is gone or we may not."""
    found = int(_libc.syscall(_PIDFD_GETFD, pidfd, descriptor, 0))
    if found < 0:
        raise KernelError(f"descriptor {descriptor} cannot be taken", ctypes.get_errno())
    os.set_inheritable(found, False)
    return found


def _path_size(header: bytes) -> int:
    offset, size = place(EVENT, "path_size")
    return int.from_bytes(header[offset : offset + size], "little")
