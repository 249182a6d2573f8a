"""What a sequence would have done in a history: its matches, what the kernel would have denied, and how long
the history is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from detect.alert import Alert
from detect.batch import Batch, Tagged
from detect.sequences.automaton import FOREVER
from detect.sequences.engine import SequenceEngine
from detect.sequences.shadow import Shadow
from policies.sequence import Sequence

CONFIDENCE: Final = 0.95
HOUR: Final = 3600 * 10**9


@dataclass(slots=True)
class Measured:
    """A history, and what a sequence made of it. Times are nanoseconds."""

    events: int = 0
    lost: int = 0
    boots: int = 0
    host_time: int = 0
    session_time: int = 0
    sessions: int = 0
    matches: list[Alert] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    """The events that the kernel would have denied."""
    history: str = ""
    """sha256 over the events."""

    @property
    def found(self) -> int:
        """How often it came true, by whichever of the two came true more often."""
        return max(len(self.matches), len(self.blocks))

    def bound(self, time: int) -> float:
        """Upper bound of matches an hour: so many or fewer would have been seen with 5 % probability."""
        return upper_bound(self.found) / (time / HOUR) if time else math.inf


def upper_bound(matches: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided Poisson bound on the mean after `matches` events; 3.0 for none (rule of three)."""
    low, high = 0.0, 10.0 + 3 * matches
    for _ in range(100):
        mean = (low + high) / 2
        terms = np.cumsum([-mean, *(math.log(mean / (n + 1)) for n in range(matches))])
        if float(np.exp(terms).sum()) > 1 - confidence:
            low = mean
        else:
            high = mean
    return high


def measure(
    sequence: Sequence, history: Iterable[tuple[str, Batch, Tagged]], tags: Iterable[str]
) -> Measured:
    """Replay a history: the boot that a batch is of, the batch, and its tags."""
    measured = Measured()
    digest = hashlib.sha256()
    shadow = Shadow(sequence)
    for boot in _by_boot(history):
        engine = SequenceEngine([sequence], list(tags))
        spans = _Spans()
        measured.boots += 1
        shadow.restart()
        for batch, tagged in boot:
            if not len(batch):
                continue
            measured.events += len(batch)
            measured.matches += engine.feed(batch, tagged)
            measured.blocks += shadow.blocks(batch)
            spans.add(batch)
            for name in ("time", "session", "type", "process", "inode", "port"):
                digest.update(np.ascontiguousarray(batch[name]).tobytes())
        measured.matches += engine.drain()
        spans.close(measured)
    measured.history = digest.hexdigest()
    return measured


def _by_boot(
    history: Iterable[tuple[str, Batch, Tagged]],
) -> Iterator[Iterator[tuple[Batch, Tagged]]]:
    """The batches of one boot after the other."""
    source = iter(history)
    waiting = next(source, None)
    while waiting is not None:
        current = waiting[0]

        def of_boot() -> Iterator[tuple[Batch, Tagged]]:
            nonlocal waiting
            while waiting is not None and waiting[0] == current:  # noqa: B023 - used up before the next
                yield waiting[1], waiting[2]
                waiting = next(source, None)

        yield of_boot()


class _Spans:
    """How long a boot and its sessions are in the history."""

    def __init__(self) -> None:
        self.first = FOREVER
        self.last = 0
        self.lost: tuple[int, int] | None = None
        self.sessions: dict[int, tuple[int, int]] = {}

    def add(self, batch: Batch) -> None:
        times = np.ascontiguousarray(batch["time"]).astype(np.int64)
        self.first = min(self.first, int(times.min()))
        self.last = max(self.last, int(times.max()))
        lost = batch["lost"]
        self.lost = (self.lost[0] if self.lost else int(lost[0]), int(lost[-1]))
        sessions, at = np.unique(batch["session"], return_inverse=True)
        first = np.full(len(sessions), np.iinfo(np.int64).max)
        last = np.zeros(len(sessions), np.int64)
        np.minimum.at(first, at, times)
        np.maximum.at(last, at, times)
        for session, begins, ends in zip(sessions.tolist(), first.tolist(), last.tolist(), strict=True):
            before = self.sessions.get(session, (begins, ends))
            self.sessions[session] = (min(before[0], begins), max(before[1], ends))

    def close(self, measured: Measured) -> None:
        measured.host_time += max(0, self.last - self.first)
        self.sessions.pop(0, None)
        measured.sessions += len(self.sessions)
        measured.session_time += sum(last - first for first, last in self.sessions.values())
        if self.lost:
            measured.lost += (self.lost[1] - self.lost[0]) % (1 << 32)
