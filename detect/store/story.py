"""A session as people look at it: its processes as a tree, and what happened, in the order of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detect.store.part import MARKED, Part
from detect.store.schema import TEXTS, Column
from detect.store.text import to_bytes
from detect.symbols import MARKS

_CONTEXT: Final = (
    "session", "process", "parent", "pid", "ppid", "sid", "uid", "login_uid", "digest", "cgroup", "mnt_ns",
    "exe", "args", "comm", "parent_exe", "parent_args", "identity", "container",
)  # fmt: skip
_ACT: Final = ("type", "path", "path2", "inode", "device", "detail", "flags", "family", "protocol", "address",
               "tags", "rule", "object_class", "target")  # fmt: skip
_EVENT: Final = ("target_pid", "port", "result", "lost")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the session. Times are nanoseconds since 1970."""

    number: int
    parent: int
    """0 if the parent did nothing in this session, or is not known."""
    pid: int
    uid: int
    exe: bytes
    """As it was at the last event."""
    args: bytes
    identity: bytes
    first: int
    last: int
    events: int
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """One session of one boot."""

    session: int
    boot: str
    login_uid: int | None
    first: int
    last: int
    count: int
    """Events in all; `moments` may be fewer."""
    types: Mapping[int, int]
    """Type -> events."""
    processes: Mapping[int, Process]
    """By number, in the order in which they appear; at most as many as were asked for."""
    process_count: int
    moments: tuple[Mapping[str, Any], ...]
    """The last events. Strings are bytes, `address` and `tags` text, `time` nanoseconds since 1970."""


def tell(session: int, boot: str, part: Part, *, events: int = 2000, processes: int = 500) -> Story:
    """The story of a part that is in the order of time, as `History.session` gives it."""
    wall = part.events["time"].astype(np.int64) + part.events["clock"]
    kinds, counts = np.unique(part.acts["type"][part.events["act"]], return_counts=True)
    logins = part.contexts["login_uid"][part.events["context"]]
    logins = logins[logins != 0xFFFF_FFFF]
    known, number = _processes(part, wall, processes)
    shown = part.rows(slice(max(0, len(part) - events), None))
    return Story(
        session=session,
        boot=boot,
        login_uid=int(logins[-1]) if len(logins) else None,
        first=int(wall[0]),
        last=int(wall[-1]),
        count=len(part),
        types=dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        processes=known,
        process_count=number,
        moments=moments(shown),
    )


def moments(part: Part) -> tuple[Mapping[str, Any], ...]:
    """Events as they are told."""
    values = _values(part)
    columns: dict[str, list[Any]] = {
        "time": (part.events["time"].astype(np.int64) + part.events["clock"]).tolist()
    }
    texts = {*TEXTS["contexts"], *TEXTS["acts"]}
    for names, table, rows in (
        (_CONTEXT, part.contexts, part.events["context"]),
        (_ACT, part.acts, part.events["act"]),
    ):
        for name in names:
            column = table[name][rows].tolist()
            columns[name] = [values[at] for at in column] if name in texts else column
    columns |= {name: part.events[name].tolist() for name in _EVENT}
    for name in ("address", "tags"):
        columns[name] = [value.decode() for value in columns[name]]
    return tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _values(part: Part) -> list[bytes]:
    return [MARKS[MARKED[text] - 1] if text in MARKED else to_bytes(text) for text in part.values.to_pylist()]


def _processes(part: Part, wall: Column, limit: int) -> tuple[dict[int, Process], int]:
    context = part.events["context"]
    process = part.contexts["process"][context]
    numbers, first, count = np.unique(process, return_index=True, return_counts=True)
    last = len(process) - 1 - np.unique(process[::-1], return_index=True)[1]
    order = np.argsort(first, kind="stable")[:limit]
    values = _values(part)
    kept = {int(numbers[at]) for at in order}
    found: dict[int, dict[str, Any]] = {}
    for at in order.tolist():
        row = int(context[last[at]])
        one = {name: int(part.contexts[name][row]) for name in ("pid", "uid", "parent")}
        texts = {name: values[int(part.contexts[name][row])] for name in ("exe", "args", "identity")}
        found[int(numbers[at])] = {
            **one,
            **texts,
            "first": int(wall[first[at]]),
            "last": int(wall[last[at]]),
            "events": int(count[at]),
            "children": [],
        }
    for number, one in found.items():
        if one["parent"] not in kept or _above(found, one["parent"], number):
            one["parent"] = 0
        else:
            found[one["parent"]]["children"].append(number)
    return {
        number: Process(number=number, **{**one, "children": tuple(one["children"])})
        for number, one in found.items()
    }, len(numbers)


def _above(found: Mapping[int, Mapping[str, Any]], parent: int, number: int) -> bool:
    """Whether a process would be its own ancestor: numbers that are nobody's promise make no endless tree."""
    seen = set()
    while parent in found and parent not in seen:
        if parent == number:
            return True
        seen.add(parent)
        parent = found[parent]["parent"]
    return False
