"""A store for tests: random events, a clock that is set by hand, and what should come out again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from bpf_lsm.observation import OBSERVATION, Type
from detect.batch import ENRICHED, SYMBOLS, Batch
from detect.store.clock import Clock
from detect.store.history import History
from detect.symbols import Symbols

COLUMNS = np.dtype([*OBSERVATION.descr, *ENRICHED.items()])
SECOND = 10**9
BOOT = uuid.UUID("11111111-2222-3333-4444-555555555555")
STRINGS = [
    b"",
    b"/usr/bin/curl",
    b"curl\0-o\0/tmp/x",
    b"/tmp/\xff\xfe",
    b"back\\slash \\x41",
    "/home/ünï/\u202eexe".encode(),
    b"\x1b[31m<script>alert(1)</script>",
    b"line\nbreak",
    b"(lost)",
    b"\\lost",
]


class HandClock(Clock):
    """Stands still until it is told otherwise."""

    def __init__(self, boottime: int = 1000 * SECOND, wall: int = 1_800_000_000 * SECOND) -> None:
        self.now, self.date, self.boot = boottime, wall, BOOT
        self._offset = None

    def boottime(self) -> int:
        return self.now

    def wall(self) -> int:
        return self.date


def random_batch(seed: int, count: int, symbols: Symbols, *, sessions: int = 5, first: int = 0) -> Batch:
    """Events in which every column varies, over its whole range; `time` rises from `first`."""
    random = np.random.default_rng(seed)
    rows = np.frombuffer(random.bytes(count * COLUMNS.itemsize), COLUMNS).copy()
    numbers = np.array(symbols.intern_all(STRINGS), np.uint32)
    for name in SYMBOLS:
        rows[name] = numbers[random.integers(0, len(numbers), count)]
        rows[name][::17] = 2  # a string that was lost
    rows["time"] = first + np.cumsum(random.integers(0, 1000, count))
    rows["session"] = random.integers(0, sessions, count)
    rows["process"] = rows["session"] * 100 + random.integers(0, 4, count)
    rows["family"] = random.choice([0, 1, 4, 6], count)
    rows["address"][rows["family"] == 4, 4:] = 0
    rows["type"] = random.choice([*Type], count)
    return Batch({name: rows[name] for name in COLUMNS.names or ()}, symbols)


def as_rows(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    """Events as plain values with strings as bytes, in an order of their own, to be compared."""
    found: list[tuple[Any, ...]] = []
    for batch in batches:
        columns: list[list[Any]] = []
        for name in sorted(batch.columns):
            column = batch[name].tolist()
            if name in SYMBOLS:
                columns.append([(symbol in {1, 2}, batch.symbols[symbol]) for symbol in column])
            elif name == "address":
                columns.append([bytes(one) for one in column])
            else:
                columns.append(column)
        found += zip(*columns, strict=True)
    return sorted(found)


def kept(history: History) -> list[tuple[Any, ...]]:
    """All that a store has, in the same form."""
    assert history.skipped == []
    return as_rows(batch for _, batch in history.replay())
