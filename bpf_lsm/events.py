"""A record of the gate's rings as an object, for a person's eyes."""

from __future__ import annotations

import ctypes
import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from bpf_lsm.errors import GateError
from bpf_lsm.layout import EVENT, EventFlag, EventKind, Operation

SIZE: Final = ctypes.sizeof(EVENT)
"""Bytes of a record before its path."""


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


def decode(record: bytes) -> Event:
    """One record of a ring, or of an iterator."""
    if len(record) < SIZE:
        raise GateError(f"an event has {len(record)} bytes, less than its header of {SIZE}")
    header: Any = EVENT.from_buffer_copy(record)
    path = record[SIZE : SIZE + header.path_size]
    if len(path) < header.path_size:
        raise GateError(f"an event announces a path of {header.path_size} bytes and has {len(path)}")
    return Event(
        **{name: getattr(header, name) for name in _PLAIN},
        object_class=getattr(header, "class"),
        operation=Operation(header.operation),
        kind=EventKind(header.kind),
        address=_address(header.family, bytes(header.address)),
        comm=header.comm.decode("utf-8", "surrogateescape"),
        flags=EventFlag(header.flags),
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
