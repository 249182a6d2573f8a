"""Events in the order of their time, although they arrive a little out of order and in batches of any size.

An event waits until one arrives that is `slack` younger. One that comes later than that is taken as if it had
happened `slack` before the youngest that came before it. So the order depends on the events and on the order
of their arrival, and never on how they were parted into batches. The clock is the host's CLOCK_BOOTTIME, and
nobody can set it back: what is far too late is late, and nothing is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.batch import Batch, Column


@dataclass(frozen=True, slots=True)
class Part:
    """Some events of a batch, by their places: when each happened, and what it is to the engine."""

    batch: Batch
    places: NDArray[np.intp]
    time: NDArray[np.int64]
    what: NDArray[np.int64]

    def take(self, mask: NDArray[np.bool_]) -> Part:
        """Those where a mask is true."""
        return Part(self.batch, self.places[mask], self.time[mask], self.what[mask])


class Ordered:
    """Events to be looked at, in order, out of one batch or several."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        time = _joined([part.time for part in parts], np.int64)
        self._order = np.argsort(time, kind="stable")
        self.time = time[self._order]
        self.what = _joined([part.what for part in parts], np.int64)[self._order]

    def column(self, name: str, which: slice | NDArray[np.intp] = slice(None)) -> Column:
        """A column of the events, or of some of them; zeros if their batches do not have it."""
        order = self._order[which]
        if len(self.parts) == 1:
            (part,) = self.parts
            return _column(part.batch, name, part.places[order])
        return np.concatenate([_column(part.batch, name, part.places) for part in self.parts])[order]

    def rows(self, dtype: np.dtype[Any], which: NDArray[np.intp]) -> Column:
        """All columns of some of the events, as `raw` rows."""
        rows = np.empty(len(which), raw(dtype))
        order, first = self._order[which], 0
        for part in self.parts:
            mine = np.flatnonzero((order >= first) & (order < first + len(part.places)))
            if len(mine):
                rows[mine] = _rows(part.batch, dtype, part.places[order[mine] - first]).view(rows.dtype)
            first += len(part.places)
        return rows

    def sources(self) -> NDArray[np.intp]:
        """The number of the part that each is from."""
        sizes = [len(part.places) for part in self.parts]
        return np.repeat(np.arange(len(self.parts)), sizes)[self._order]


def raw(dtype: np.dtype[Any]) -> np.dtype[np.void]:
    """The same as bytes without fields, which numpy takes and joins twenty times as fast."""
    return np.dtype((np.void, dtype.itemsize))


def _rows(batch: Batch, dtype: np.dtype[Any], places: NDArray[np.intp]) -> Column:
    """All columns at some places. Those that are views of one array of records are copied at once."""
    rows = np.zeros(len(places), dtype)
    names = list(dtype.names or ())
    records = batch["time"].base
    if isinstance(records, np.ndarray) and records.dtype.names and len(records) == len(batch):
        taken = records.view(raw(records.dtype))[places]
        whole, size = rows.view(np.uint8).reshape(len(rows), dtype.itemsize), taken.itemsize
        whole[:, :size] = taken.view(np.uint8).reshape(len(rows), size)
        names = [name for name in names if name in batch.columns and batch[name].base is not records]
    for name in names:
        rows[name] = _column(batch, name, places)
    return rows


def _column(batch: Batch, name: str, places: NDArray[np.intp]) -> Column:
    column = batch.columns.get(name)
    return np.zeros(len(places), np.int64) if column is None else column[places]


def _joined(arrays: list[Column], kind: type[np.generic]) -> Column:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


class Order:
    """Holds events back, with the batches that they are from, until their order is certain."""

    def __init__(self, slack: int) -> None:
        self.slack = slack
        self.late = 0
        self.youngest = 0
        self._waiting: list[Part] = []

    def times(self, batch: Batch) -> NDArray[np.int64]:
        """When each event of a batch is taken to have happened; `youngest` goes on."""
        times = np.array(batch["time"], np.int64)
        if not len(times):
            return times
        youngest = np.maximum.accumulate(times)
        np.maximum(youngest, self.youngest, out=youngest)
        earliest = np.empty_like(youngest)
        earliest[0], earliest[1:] = self.youngest, youngest[:-1]
        earliest -= self.slack
        late = int(np.count_nonzero(times < earliest))
        self.late += late
        self.youngest = int(youngest[-1])
        return np.maximum(times, earliest) if late else times

    def add(self, part: Part) -> None:
        """More events, in the order of their arrival."""
        if len(part.places):
            self._waiting.append(part)

    def release(self, everything: bool = False) -> Ordered:
        """What is certain now, or all that waits."""
        now = np.iinfo(np.int64).max if everything else self.youngest - self.slack
        ready: list[Part] = []
        waiting: list[Part] = []
        for part in self._waiting:
            certain = part.time <= now
            if certain.all():
                ready.append(part)
            elif certain.any():
                ready.append(part.take(certain))
                waiting.append(part.take(~certain))
            else:
                waiting.append(part)
        self._waiting = waiting
        return Ordered(ready)
