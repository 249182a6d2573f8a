"""How an event is kept: as three rows, each written once.

An event is when it happened, in which *context* (the process as it was: program, arguments, users, parent)
and which *act* it was (the type and its object). Contexts and acts repeat, so that an event is little more
than two numbers and a time; constants, and what follows from something else, cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.batch import ENRICHED

Column = NDArray[Any]
Columns = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Kept:
    """One column of a Parquet file. `encoding` is Parquet's, or DICTIONARY."""

    name: str
    code: str
    """numpy's type; `text` for a number in memory that is text in the file."""
    encoding: str = "DICTIONARY"

    @property
    def in_memory(self) -> str:
        return "<u4" if self.code == "text" else self.code


SPLIT: Final = "BYTE_STREAM_SPLIT"
DELTA: Final = "DELTA_BINARY_PACKED"
FRONT: Final = "DELTA_BYTE_ARRAY"

CONTEXT: Final = (
    Kept("session", "<u8", DELTA),
    Kept("process", "<u8", SPLIT),
    Kept("parent", "<u8", SPLIT),
    Kept("pid", "<u4", SPLIT),
    Kept("thread", "<u4"),  # tid - pid, modulo 2^32
    Kept("ppid", "<u4", SPLIT),
    Kept("sid", "<u4", SPLIT),
    Kept("uid", "<u4"),
    Kept("login_uid", "<u4"),
    Kept("subject", "<u8"),
    Kept("digest", "<u8"),
    Kept("cgroup", "<u8"),
    Kept("mnt_ns", "<u4"),
    Kept("generation", "<u4"),
    Kept("exe", "text"),
    Kept("args", "text"),
    Kept("comm", "text"),
    Kept("parent_exe", "text"),
    Kept("parent_args", "text"),
    Kept("identity", "text"),
    Kept("container", "text"),
)
"""The process at the time. Rows are in the order of session, then process."""

ACT: Final = (
    Kept("type", "<u2"),
    Kept("path", "text", "PLAIN"),
    Kept("path2", "text"),
    Kept("inode", "<u8", SPLIT),
    Kept("device", "<u4"),
    Kept("detail", "<u4"),
    Kept("flags", "<u2"),
    Kept("target", "<u8"),
    Kept("object_class", "<u4"),
    Kept("rule", "<u4"),
    Kept("address", "text"),
    Kept("family", "u1"),
    Kept("protocol", "u1"),
    Kept("tags", "text"),
)
"""What was done. The most frequent first."""

EVENT: Final = (
    Kept("time", "<u8", SPLIT),
    Kept("context", "<u4", SPLIT),
    Kept("act", "<u4", SPLIT),
    Kept("target_pid", "<u4", SPLIT),
    Kept("port", "<u2"),
    Kept("result", "<i4"),
    Kept("lost", "<u4"),
    Kept("clock", "<i8"),
)
"""The event. Rows are in the order of session, then time. `context` and `act` are places in the other two;
`clock` added to `time` is nanoseconds since 1970."""

SESSION: Final = (Kept("session", "<u8", DELTA), Kept("events", "<u4", SPLIT), Kept("contexts", "<u4", SPLIT))
"""The index: how many rows of each are this session's, in their order."""

TABLES: Final = {"events": EVENT, "contexts": CONTEXT, "acts": ACT, "sessions": SESSION}
GROUP: Final = {"events": 1 << 14, "contexts": 1 << 12, "acts": 1 << 12, "sessions": 1 << 20}
"""Rows of one row group: what has to be read for one event."""

NAMES: Final = {table: tuple(column.name for column in columns) for table, columns in TABLES.items()}
TEXTS: Final = {
    table: tuple(column.name for column in columns if column.code == "text")
    for table, columns in TABLES.items()
}


def record(columns: tuple[Kept, ...], more: tuple[tuple[str, str], ...] = ()) -> np.dtype[Any]:
    """Rows in memory, the widest first and filled up to a multiple of eight bytes."""
    fields = [(column.name, column.in_memory) for column in columns] + list(more)
    fields.sort(key=lambda field: -np.dtype(field[1]).itemsize)
    size = sum(np.dtype(code).itemsize for _, code in fields)
    return np.dtype([*fields, ("filler", f"V{-size % 8}")] if size % 8 else fields)


CONTEXT_ROW: Final = record(CONTEXT)
_PLAIN_ACT: Final = tuple(column for column in ACT if column.name != "address")
ACT_ROW: Final = record(_PLAIN_ACT, (("address", "<u8"), ("address2", "<u8")))
"""Acts before they are sealed: the address as two numbers."""
EVENT_ROW: Final = record(tuple(column for column in EVENT if column.name != "clock"))
"""Events before they are sealed: one `clock` is said for many."""


def symbol_columns(contexts: Column, acts: Column) -> list[tuple[Column, str]]:
    """The columns of unsealed rows whose values are symbols."""
    return [
        *((contexts, name) for name in TEXTS["contexts"]),
        *((acts, name) for name in TEXTS["acts"] if name != "address"),
    ]


def flat(columns: Columns, tags: Column) -> dict[str, Column]:
    """The columns of a batch, with those that are kept in another form. `address` stays as two numbers,
    of which `addresses` makes text."""
    found = dict(columns)
    found["thread"] = columns["tid"] - columns["pid"]
    words = np.ascontiguousarray(columns["address"]).view("<u8").reshape(-1, 2)
    found["address"], found["address2"] = words[:, 0], words[:, 1]
    found["tags"] = tags
    for name, code in ENRICHED.items():
        if name not in found:  # not enriched: nothing is known
            found[name] = np.zeros(len(columns["time"]), code)
    return found


def take(columns: Columns, index: Column | slice) -> dict[str, Column]:
    """These rows of every column."""
    return {name: column[index] for name, column in columns.items()}


def joined(parts: Sequence[Columns], names: tuple[str, ...]) -> dict[str, Column]:
    """Parts one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
