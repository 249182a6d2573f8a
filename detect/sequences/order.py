"""Events in the order of their time, although they arrive a little out of order and in batches of any size.

An event waits until one arrives that is `slack` younger. One that comes later than that is taken as if it had
happened `slack` before the youngest that came before it. So the order depends on the events and on the order
of their arrival, and never on how they were parted into batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import OBSERVATION
from detect.batch import ENRICHED, Batch
from detect.symbols import Symbols

ROW: Final = np.dtype([*OBSERVATION.descr, *ENRICHED.items()])
"""One event as it is kept: all its columns."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Events to be looked at, in order: when, what they are to the engine, and all of their columns."""

    time: NDArray[np.int64]
    what: NDArray[np.int64]
    rows: NDArray[Any]
    symbols: list[Symbols]
    """Of each."""


class Order:
    """Holds events back until their order is certain."""

    def __init__(self, slack: int) -> None:
        self.slack = slack
        self.late = 0
        self.youngest = 0
        self._waiting = Ordered(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, ROW), [])

    def times(self, batch: Batch) -> NDArray[np.int64]:
        """When each event of a batch is taken to have happened; `youngest` goes on."""
        times = np.ascontiguousarray(batch["time"]).astype(np.int64)
        if not len(times):
            return times
        youngest = np.maximum.accumulate(times)
        np.maximum(youngest, self.youngest, out=youngest)
        earliest = np.empty_like(youngest)
        earliest[0], earliest[1:] = self.youngest, youngest[:-1]
        earliest -= self.slack
        self.late += int(np.count_nonzero(times < earliest))
        self.youngest = int(youngest[-1])
        return np.maximum(times, earliest)

    def add(
        self, batch: Batch, at: NDArray[np.intp], time: NDArray[np.int64], what: NDArray[np.int64]
    ) -> None:
        """Events of a batch, by their places in it, in the order of their arrival."""
        if not len(at):
            return
        rows = np.empty(len(at), ROW)
        for name in ROW.names or ():
            rows[name] = batch.columns[name][at] if name in batch.columns else 0
        held = self._waiting
        self._waiting = Ordered(
            np.concatenate((held.time, time)),
            np.concatenate((held.what, what)),
            np.concatenate((held.rows, rows)),
            held.symbols + [batch.symbols] * len(at),
        )

    def release(self, everything: bool = False) -> Ordered:
        """What is certain now, or all that waits."""
        held = self._waiting
        now = np.iinfo(np.int64).max if everything else self.youngest - self.slack
        certain = held.time <= now
        ready = np.flatnonzero(certain)
        ready = ready[np.argsort(held.time[ready], kind="stable")]
        rest = np.flatnonzero(~certain)
        self._waiting = _take(held, rest)
        return _take(held, ready)


def _take(ordered: Ordered, at: NDArray[np.intp]) -> Ordered:
    symbols = ordered.symbols
    return Ordered(
        ordered.time[at], ordered.what[at], ordered.rows[at], [symbols[each] for each in at.tolist()]
    )
