"""Records of the rings as columns for the watch, and as one object for a person's eyes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.errors import GateError
from bpf_lsm.layout import EVENT, EventFlag, EventKind, Operation


@dataclass(frozen=True, slots=True)
class Event:
    """One record, decoded."""

    time: int
    """Nanoseconds of CLOCK_BOOTTIME."""
    generation: int
    subject: int
    target: int
    session: int
    cgroup: int
    inode: int
    device: int
    """The kernel's dev_t: major << 20 | minor."""
    pid: int
    tid: int
    ppid: int
    uid: int
    login_uid: int
    rule: int
    row: int
    object_class: int
    detail: int
    operation: Operation
    kind: EventKind
    right: int
    """A policies.image.Right, or NO_RIGHT."""
    protocol: int
    port: int
    address: str
    """As people write it; empty where there is none."""
    comm: str
    flags: EventFlag
    target_pid: int
    path: str
    """Bytes that are not UTF-8 are kept as surrogates: os.fsencode gives them back."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Many records as columns. Paths are in `heap`, by `starts` and records["path_size"]."""

    records: NDArray[np.void]
    """dtype EVENT."""
    heap: bytes
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.records)

    def path(self, index: int) -> bytes:
        """The path bytes of one record."""
        start = int(self.starts[index])
        return self.heap[start : start + int(self.records["path_size"][index])]

    def event(self, index: int) -> Event:
        """One record as an object."""
        return _event(self.records[index], self.path(index))


def decode(record: bytes) -> Event:
    """One record of a ring as an object."""
    if len(record) < EVENT.itemsize:
        raise GateError(f"an event has {len(record)} bytes, less than its header of {EVENT.itemsize}")
    header = np.frombuffer(record, EVENT, count=1)[0]
    path = record[EVENT.itemsize : EVENT.itemsize + int(header["path_size"])]
    return _event(header, path)


def gather(heap: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Batch:
    """The columns of the records that lie in `heap` at `starts`; each start is a multiple of eight."""
    if len(starts) == 0:
        return Batch(np.empty(0, EVENT), b"", np.empty(0, np.int64))
    if int(sizes.min()) < EVENT.itemsize:
        raise GateError(f"an event has {int(sizes.min())} bytes, less than its header of {EVENT.itemsize}")
    words = np.frombuffer(heap, "<u8", count=len(heap) // 8)
    index = (starts // 8)[:, None] + np.arange(EVENT.itemsize // 8)
    records = np.ascontiguousarray(words[index]).view(EVENT).reshape(-1)
    if bool((sizes - EVENT.itemsize < records["path_size"]).any()):
        raise GateError("an event is shorter than the path that it announces")
    return Batch(records, heap, starts + EVENT.itemsize)


def _event(header: np.void, path: bytes) -> Event:
    return Event(
        **{name: int(header[name]) for name in _PLAIN},
        object_class=int(header["class"]),
        operation=Operation(int(header["operation"])),
        kind=EventKind(int(header["kind"])),
        address=_address(int(header["family"]), header["address"].tobytes()),
        comm=bytes(header["comm"]).partition(b"\0")[0].decode("utf-8", "surrogateescape"),
        flags=EventFlag(int(header["flags"])),
        path=path.decode("utf-8", "surrogateescape"),
    )


_PLAIN = (
    "time",
    "generation",
    "subject",
    "target",
    "session",
    "cgroup",
    "inode",
    "device",
    "pid",
    "tid",
    "ppid",
    "uid",
    "login_uid",
    "rule",
    "row",
    "detail",
    "right",
    "protocol",
    "port",
    "target_pid",
)


def _address(family: int, raw: bytes) -> str:
    if family == 4:
        return str(ipaddress.IPv4Address(raw[:4]))
    if family == 6:
        return str(ipaddress.IPv6Address(raw))
    return ""
