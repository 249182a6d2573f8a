"""Processes and parents by column are those that a walk from event to event finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf_lsm.observation import Flag, Raw, Type
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.processes import PID_LIMIT, Known, Processes, number_of
from tests.bench.stream import stream
from tests.unit.detect.records import raw

Row = dict[str, Any]
Found = list[tuple[int, int, bytes, bytes]]
COLUMNS = ("process", "parent", "parent_exe", "parent_args")


@dataclass(frozen=True)
class One:
    """A process as the walk knows it."""

    number: int
    exe: bytes
    args: bytes
    parent: int = 0
    parent_exe: bytes = b""
    parent_args: bytes = b""


def told(pid: int) -> Known | None:
    return Known(b"/proc/told", b"told\0%d" % pid) if pid % 2 else None


def walk(rows: list[Row], ask: Callable[[int], Known | None]) -> Found:
    """The plain reading: one event at a time."""
    alive: dict[int, One] = {}
    found: Found = []

    def number(pid: int, row: Row) -> int:
        return (int(row["time"]) >> 16) << 22 | pid

    for row in rows:
        pid = row["pid"]
        here = 0 < pid < PID_LIMIT
        if here and pid not in alive:
            stranger = One(number(pid, row), row["exe"], row["args"])
            above, known = alive.get(row["ppid"]), ask(row["ppid"])
            if above:
                stranger = replace(
                    stranger, parent=above.number, parent_exe=above.exe, parent_args=above.args
                )
            elif row["ppid"] and known:
                stranger = replace(stranger, parent_exe=known.exe, parent_args=known.args)
            alive[pid] = stranger
        me = alive[pid] if here else One(0, b"", b"")
        found.append((me.number, me.parent, me.parent_exe, me.parent_args))
        child = row["target_pid"]
        if (
            row["type"] == Type.FORK
            and not row["flags"] & Flag.THREAD
            and 0 < child < PID_LIMIT
            and child != pid
        ):
            exe, args = row["exe"], row["args"]
            alive[child] = One(number(child, row), exe, args, me.number, exe, args)
        elif here and row["type"] == Type.EXEC:
            alive[pid] = replace(me, exe=row["exe"], args=row["args"])
        elif here and row["type"] == Type.EXIT and not row["flags"] & Flag.THREAD:
            alive.pop(pid)
    return found


def by_column(parts: list[Raw], ask: Callable[[int], Known | None], processes: Processes) -> Found:
    decoder, enricher = Decoder(), Enricher(ask=ask, processes=processes)
    found: Found = []
    for part in parts:
        batch = enricher.enrich(decoder.decode(part))
        number, parent, exe, args = (batch[name].tolist() for name in COLUMNS)
        texts = batch.symbols
        found += [(a, b, texts[c], texts[d]) for a, b, c, d in zip(number, parent, exe, args, strict=True)]
    return found


pids = st.one_of(st.integers(1, 6), st.sampled_from([0, PID_LIMIT - 1, PID_LIMIT, 0xFFFF_FFFF]))
kinds = st.sampled_from([Type.FORK, Type.FORK, Type.EXEC, Type.EXIT, Type.FILE_WRITE])
events = st.lists(
    st.fixed_dictionaries(
        {
            "pid": pids,
            "type": kinds,
            "target_pid": pids,
            "ppid": pids,
            "exe": st.sampled_from([b"", b"/bin/a", b"/bin/b"]),
            "args": st.sampled_from([b"", b"a\0-x", b"b"]),
            "flags": st.sampled_from([0, 0, 0, Flag.THREAD]),
        }
    ),
    max_size=60,
)


@given(events, st.lists(st.integers(0, 60), max_size=4))
def test_columns_find_what_a_walk_finds_however_the_stream_is_cut(rows: list[Row], cuts: list[int]) -> None:
    for at, row in enumerate(rows):
        row["time"] = at << 17
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [raw(rows[first:last]) for first, last in pairwise(ends)]
    assert by_column(parts, told, Processes(20)) == walk(rows, told)


def event(kind: Type, pid: int, child: int = 0, exe: bytes = b"/bin/a") -> Row:
    return {"type": kind, "pid": pid, "target_pid": child, "ppid": 1, "exe": exe, "args": b"", "flags": 0}


HANDS: dict[str, list[Row]] = {
    "forked after it acted": [event(Type.EXEC, 5), event(Type.FORK, 2, 5, b"/bin/b"), event(Type.EXEC, 5)],
    "acts after its exit": [event(Type.FORK, 2, 5), event(Type.EXIT, 5), event(Type.FILE_WRITE, 5)],
    "forked twice": [event(Type.FORK, 2, 5), event(Type.FORK, 3, 5, b"/bin/b"), event(Type.EXEC, 5)],
    "forked after its exit": [
        event(Type.FORK, 2, 5),
        event(Type.EXIT, 5),
        event(Type.FORK, 3, 5),
        event(Type.EXEC, 5),
    ],
    "its exit was lost": [
        event(Type.EXEC, 5),
        event(Type.EXEC, 6),
        event(Type.FORK, 6, 5),
        event(Type.EXIT, 5),
    ],
    "a thread ends": [
        event(Type.FORK, 2, 5),
        {**event(Type.EXIT, 5), "flags": Flag.THREAD},
        event(Type.FILE_WRITE, 5),
    ],
    "grandchild of a stranger": [
        event(Type.FORK, 2, 5),
        event(Type.FORK, 5, 6, b"/bin/b"),
        event(Type.EXEC, 6),
    ],
}


@pytest.mark.parametrize("name", HANDS)
def test_a_pid_changes_hands(name: str) -> None:
    rows = [{**row, "time": at << 17} for at, row in enumerate(HANDS[name])]
    assert by_column([raw(rows)], told, Processes(20)) == walk(rows, told)


def test_a_process_goes_on_when_a_thread_of_it_ends() -> None:
    rows = [{**row, "time": at << 17} for at, row in enumerate(HANDS["a thread ends"])]
    (forker, *_), before, after = by_column([raw(rows)], told, Processes(20))
    assert after == before
    assert after[1] == forker


def test_they_agree_on_a_long_stream() -> None:
    parts = list(stream(60_000, batch=7_001))
    texts: dict[int, bytes] = {0: b""}
    rows = []
    for part in parts:
        texts |= {number: value for number, value, _ in part.strings}
        names = ["time", "pid", "type", "target_pid", "ppid", "exe", "args", "flags"]
        for values in part.records[names].tolist():
            row = dict(zip(names, values, strict=True))
            rows.append({**row, "exe": texts[row["exe"]], "args": texts[row["args"]]})
    assert by_column(parts, lambda _: None, Processes()) == walk(rows, lambda _: None)


def fork(parent: int, child: int, time: int) -> Row:
    return {"type": Type.FORK, "pid": parent, "target_pid": child, "time": time << 17}


def test_more_processes_than_places_forget_those_that_were_silent_for_longest() -> None:
    processes = Processes(8)
    decoder, enricher = Decoder(), Enricher(processes=processes)
    rows = [fork(1, child, child) for child in range(2, 40)]
    for first in range(0, len(rows), 2):
        enricher.enrich(decoder.decode(raw(rows[first : first + 2])))
    assert len(processes) <= 8
    assert processes.forgotten >= 39 - 8
    last = enricher.enrich(decoder.decode(raw([{"pid": 39, "time": 99 << 17}, {"pid": 1, "time": 99 << 17}])))
    assert last["process"][0] == number_of(np.array([39]), np.array([39 << 17]))[0]
    assert enricher.lineage.adopted == 1, "pid 1 acted all the time and was never forgotten"


def test_a_part_with_more_births_than_places_is_taken_in_pieces() -> None:
    rows = [fork(1, child, child) for child in range(2, 400)]
    batch = Enricher(processes=Processes(5)).enrich(Decoder().decode(raw(rows)))
    assert len(set(batch["process"].tolist())) == 1


@pytest.mark.parametrize("limit", [0, 1, 1 << 16])
def test_a_table_of_no_use_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="can be remembered"):
        Processes(limit)
