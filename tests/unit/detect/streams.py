"""Small streams of tagged events for tests: events as keyword arguments, batches as the engine takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bpf_lsm.observation import OBSERVATION, Type
from detect.batch import ENRICHED, SYMBOLS, Batch, Tagged
from detect.sequences.reference import Event
from detect.symbols import Symbols

SECOND = 10**9
COLUMNS = np.dtype([*OBSERVATION.descr, *ENRICHED.items()])


def event(time: float, *tags: str, **fields: Any) -> Event:
    """An event at a time in seconds. Fields that are left out are 0 or empty, as in a record."""
    blank: dict[str, Any] = dict.fromkeys(COLUMNS.names or (), 0)
    blank |= dict.fromkeys(SYMBOLS, b"") | {"address": bytes(16), "session": 1}
    return Event(round(time * SECOND), frozenset(tags), blank | fields | {"time": round(time * SECOND)})


def number_at(pid: int, time: float) -> int:
    """As the enrichment numbers a process that was forked then."""
    return round(time * SECOND) >> 16 << 22 | pid


@dataclass(frozen=True)
class Forked:
    """A process, for its events."""

    pid: int
    process: int
    parent: int

    def does(self, kind: Type, time: float, *tags: str, **fields: int) -> Event:
        """An event of it."""
        return event(time, *tags, type=kind, process=self.process, parent=self.parent, **fields)

    def fork(self, pid: int, time: float) -> tuple[Event, Forked]:
        """The event, and the child."""
        child = Forked(pid, number_at(pid, time), self.process)
        return self.does(Type.FORK, time, target_pid=pid), child


def batch(events: Sequence[Event], tags: Sequence[str], symbols: Symbols) -> tuple[Batch, Tagged]:
    """Events as columns, and which tags they carry."""
    rows = np.zeros(len(events), COLUMNS)
    for at, each in enumerate(events):
        for name, value in each.fields.items():
            if name in SYMBOLS:
                rows[name][at] = symbols.intern(value)
            elif name == "address":
                rows[name][at] = np.frombuffer(value, np.uint8)
            else:
                rows[name][at] = value
    numbers = {tag: number for number, tag in enumerate(tags)}
    pairs = sorted((at, numbers[tag]) for at, each in enumerate(events) for tag in each.tags)
    columns = {name: rows[name] for name in COLUMNS.names or ()}
    event_column, tag_column = (np.array([pair[each] for pair in pairs], np.uint32) for each in (0, 1))
    return Batch(columns, symbols), Tagged(event_column, tag_column)


def parts(events: Sequence[Event], cuts: Iterable[int]) -> list[Sequence[Event]]:
    """The events as several batches, cut at these places."""
    at = [0, *sorted(cuts), len(events)]
    return [events[first:last] for first, last in pairwise(at)]
