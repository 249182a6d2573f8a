"""Neighbouring segments made one, a range of sessions at a time: of the events little is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from detect.store import segment
from detect.store.entry import Entry, segment_name
from detect.store.part import Sides, order, shared
from detect.store.schema import GROUP, NAMES, Column, Columns, joined, take
from detect.store.segment import Segment

RANGE: Final = 1 << 14
"""Events of one range of sessions, more only where a single session has more."""


def merge(folder: Path, entries: Sequence[Entry]) -> Entry:
    """One segment of neighbours of one boot. OSError; other errors mean that one of them is damaged."""
    segments = [Segment(folder / entry.name) for entry in entries]
    sides, of_context, of_act = shared([one.sides() for one in segments])
    sides, place = _most_frequent_first(sides, segments, of_act)
    name = segment_name(entries[0].journals[0], entries[-1].journals[1])
    writer = segment.Writer(folder / name, level=3)
    try:
        writer.write("contexts", sides.contexts, sides.values)
        writer.write("acts", sides.acts, sides.values)
        maps = [(context, place[act]) for context, act in zip(of_context, of_act, strict=True)]
        sessions = [np.empty(0, np.uint64)]
        last = clock = 0
        for columns in _whole_groups(_ranges(segments, maps, sides.contexts["session"])):
            writer.write("events", columns)
            sessions.append(sides.contexts["session"][columns["context"]])
            newest = int(np.argmax(columns["time"]))
            if int(columns["time"][newest]) >= last:
                last, clock = int(columns["time"][newest]), int(columns["clock"][newest])
        writer.write("sessions", segment.session_rows(sides.contexts, np.concatenate(sessions)))
        entry = Entry(
            name=name,
            boot=entries[0].boot,
            events=sum(map(len, sessions)),
            size=writer.finish(),
            first=min(one.first for one in entries),
            last=max(one.last for one in entries),
            clock=clock,
            age_mark=max(one.age_mark for one in entries),
        )
        if entry.events != sum(one.events for one in entries):
            raise ValueError(f"{entry.events} events of {sum(one.events for one in entries)}")
        writer.publish(entry)
    except BaseException:
        writer.abandon()
        raise
    return entry


def _most_frequent_first(
    sides: Sides, segments: Sequence[Segment], of_act: Sequence[Column]
) -> tuple[Sides, Column]:
    """The acts in their order, and the new place of each."""
    counts = np.zeros(len(sides.acts["type"]), np.int64)
    for one, numbers in zip(segments, of_act, strict=True):
        found = numbers[one.table("events").read(columns=["act"], use_threads=False)["act"].to_numpy()]
        counts += np.bincount(found, minlength=len(counts))
    by_count = np.argsort(-counts, kind="stable")
    place = np.empty(len(by_count), np.uint32)
    place[by_count] = np.arange(len(by_count))
    return Sides(sides.values, sides.contexts, take(sides.acts, by_count)), place


def _ranges(
    segments: Sequence[Segment], maps: Sequence[tuple[Column, Column]], session: Column
) -> Iterator[dict[str, Column]]:
    """The events of one range of sessions after the other, sorted."""
    indexes = [one.index() for one in segments]
    every = np.concatenate([sessions for sessions, _ in indexes])
    counts = np.concatenate([np.diff(ends, prepend=0) for _, ends in indexes])
    names, where = np.unique(every, return_inverse=True)
    total = np.cumsum(np.bincount(where, weights=counts).astype(np.int64))
    cursors = [_Cursor(one) for one in segments]
    done = 0
    while done < len(names):
        before = int(total[done - 1]) if done else 0
        done = max(done + 1, int(np.searchsorted(total, before + RANGE, side="right")))
        parts = []
        for cursor, (sessions, ends), (context, act) in zip(cursors, indexes, maps, strict=True):
            until = int(np.searchsorted(sessions, names[done - 1], side="right"))
            found = cursor.before(int(ends[until - 1]) if until else 0)
            parts.append({**found, "context": context[found["context"]], "act": act[found["act"]]})
        columns = joined(parts, NAMES["events"])
        yield take(columns, order(columns["time"], session[columns["context"]]))


class _Cursor:
    """Reads the events of a segment once, in their order."""

    def __init__(self, one: Segment) -> None:
        self._groups = one.groups()
        self._rest = next(self._groups)
        self._at = 0

    def before(self, row: int) -> dict[str, Column]:
        """The rows up to this one that were not given yet."""
        count = row - self._at
        pieces = [self._rest]
        have = len(self._rest["time"])
        while have < count:
            pieces.append(next(self._groups))
            have += len(pieces[-1]["time"])
        columns = joined(pieces, NAMES["events"])
        self._rest, self._at = take(columns, slice(count, None)), row
        return take(columns, slice(0, count))


def _whole_groups(ranges: Iterator[dict[str, Column]]) -> Iterator[Columns]:
    """The same rows in whole row groups, but for the last."""
    rest: list[dict[str, Column]] = []
    for columns in ranges:
        rest.append(columns)
        together = joined(rest, NAMES["events"])
        whole = len(together["time"]) // GROUP["events"] * GROUP["events"]
        rest = [take(together, slice(whole, None))]
        if whole:
            yield take(together, slice(0, whole))
    yield from (columns for columns in rest if len(columns["time"]))
