"""The newest events and those who follow them, as batches: an event that nobody looks at costs nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.batch import SYMBOLS, Batch, Tagged
from enforcer.errors import EnforcerError
from enforcer.serving.feed import MAX_FOLLOWERS

TOGETHER: Final = 64
"""Small batches that are kept as one: a batch takes 7 KB whatever is in it, and a quiet host makes many."""
SMALL: Final = 256
"""Events of the batches that this is worth it for."""
CLOCK: Final = 0.1
"""Seconds by which the host's clock may have been set between events that are kept as one."""
_TYPES = {each.word: int(each) for each in Type}
_SEARCHED = ("exe", "args", "path", "path2", "comm", "parent_exe", "identity", "container")


@dataclass(frozen=True, slots=True)
class Observed:
    """A batch with its tags, and the number of its first event; the others follow it."""

    first: int
    batch: Batch
    tagged: Tagged
    names: Sequence[str]
    """Of the tags, by number."""
    boot: float
    """Seconds since the epoch at which the host's clock began, as it was known when the events came."""

    def tags(self, at: int) -> list[str]:
        """Of one event."""
        low, high = np.searchsorted(self.tagged.event, [at, at + 1])
        return [self.names[tag] for tag in self.tagged.tag[low:high]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events somebody wants; what is empty does not filter."""

    types: frozenset[str] = frozenset()
    text: str = ""
    """Part of a string of the event, or of one of its tags; capitals do not matter."""
    session: int = 0
    tagged: bool = False

    def __post_init__(self) -> None:
        if unknown := sorted(self.types - set(_TYPES)):
            raise EnforcerError(
                f"there is no type {unknown[0]!r} of events", f"there are {', '.join(_TYPES)}"
            )

    def of(self, seen: Observed) -> NDArray[np.int64]:
        """The places of the events that are wanted."""
        batch, wanted = seen.batch, np.ones(len(seen.batch), bool)
        if self.types:
            wanted &= np.isin(batch["type"], [_TYPES[word] for word in self.types])
        if self.session:
            wanted &= batch["session"] == self.session
        if self.tagged:
            wanted &= np.isin(np.arange(len(batch)), seen.tagged.event)
        if self.text and wanted.any():
            wanted &= self._has_text(seen)
        return np.nonzero(wanted)[0]

    def _has_text(self, seen: Observed) -> NDArray[np.bool_]:
        """Each distinct string is searched once."""
        needle, batch = self.text.casefold(), seen.batch
        found = np.zeros(len(batch), bool)
        for name in _SEARCHED:
            assert name in SYMBOLS
            distinct, back = np.unique(batch[name], return_inverse=True)
            has = [needle in batch.symbols.text(symbol).casefold() for symbol in distinct.tolist()]
            found |= np.array(has)[back]
        named = [needle in name.casefold() for name in seen.names]
        if any(named):
            found[seen.tagged.event[np.array(named)[seen.tagged.tag]]] = True
        return found


class Follower:
    """One client's queue of batches, bounded by its events: the oldest go and are counted."""

    def __init__(self, wanted: Wanted, room: int) -> None:
        self._wanted = wanted
        self._room = room
        self._queue: deque[tuple[Observed, NDArray[np.int64]]] = deque()
        self._events = 0
        self._lost = 0
        self._closed = False
        self._change = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._closed

    def offer(self, seen: Observed) -> None:
        """Put in what this client wants."""
        places = self._wanted.of(seen)
        if not len(places):
            return
        with self._change:
            self._queue.append((seen, places))
            self._events += len(places)
            while self._events > self._room:
                old, rest = self._queue.popleft()
                surplus = min(self._events - self._room, len(rest))
                self._events -= surplus
                self._lost += surplus
                if surplus < len(rest):
                    self._queue.appendleft((old, rest[surplus:]))
            self._change.notify()

    def take(self, limit: int, timeout: float) -> tuple[list[tuple[Observed, int]], int]:
        """Up to `limit` events, as a batch and a place each, and how many were lost before them."""
        until = time.monotonic() + timeout
        taken: list[tuple[Observed, int]] = []
        with self._change:
            while not self._queue and not self._closed and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            lost, self._lost = self._lost, 0
            while self._queue and len(taken) < limit:
                seen, places = self._queue.popleft()
                now, later = places[: limit - len(taken)], places[limit - len(taken) :]
                taken += [(seen, at) for at in now.tolist()]
                if len(later):
                    self._queue.appendleft((seen, later))
            self._events -= len(taken)
        return taken, lost

    def close(self) -> None:
        """Wake the client: there is an end."""
        with self._change:
            self._closed = True
            self._change.notify()


class ObservationFeed:
    """The newest batches, up to a number of events, and their followers."""

    def __init__(self, kept: int, queue: int = 8_192) -> None:
        self._kept = kept
        self._queue = queue
        self._batches: deque[Observed] = deque()
        self._held = 0
        self._apart = 0
        """Small batches at the end that are not kept as one yet."""
        self._followers: set[Follower] = set()
        self._lock = threading.Lock()
        self.seen = 0

    def publish(self, batch: Batch, tagged: Tagged, names: Sequence[str], boot: float) -> None:
        """Keep a batch, and offer it to everyone who follows."""
        with self._lock:
            new = Observed(self.seen + 1, batch, tagged, names, boot)
            self.seen += len(batch)
            self._batches.append(new)
            self._held += len(batch)
            self._apart = self._apart + 1 if len(batch) < SMALL else 0
            if self._apart == TOGETHER:
                self._gather()
            while self._held > self._kept and len(self._batches) > 1:
                self._held -= len(self._batches.popleft().batch)
            for follower in self._followers:
                follower.offer(new)

    def _gather(self) -> None:
        """The small batches at the end as one, unless strings or the clock have changed meanwhile."""
        self._apart = 0
        parts = list(self._batches)[-TOGETHER:]
        if len(parts) == TOGETHER and all(_alike(parts[0], each) for each in parts):
            for _ in parts:
                self._batches.pop()
            self._batches.append(_joined(parts))

    def old(self, wanted: Wanted, last: int) -> list[tuple[Observed, int]]:
        """What is kept and wanted, oldest first; the newest `last` of it (0: all)."""
        with self._lock:
            batches = list(self._batches)
        return list(_newest(batches, wanted, last or self._kept))[::-1]

    def follow(self, wanted: Wanted, last: int) -> tuple[list[tuple[Observed, int]], Follower]:
        """What is kept, and a follower that gets everything after it."""
        with self._lock:
            if len(self._followers) >= MAX_FOLLOWERS:
                raise EnforcerError(f"there are {MAX_FOLLOWERS} followers already", "end one of them first")
            batches = list(self._batches)
            follower = Follower(wanted, self._queue)
            self._followers.add(follower)
        return list(_newest(batches, wanted, last or self._kept))[::-1], follower

    def leave(self, follower: Follower) -> None:
        """This follower is gone."""
        with self._lock:
            self._followers.discard(follower)

    def close(self) -> None:
        """There will be no more events."""
        with self._lock:
            for follower in self._followers:
                follower.close()


def _newest(batches: list[Observed], wanted: Wanted, last: int) -> Iterator[tuple[Observed, int]]:
    for seen in reversed(batches):
        for at in wanted.of(seen)[::-1].tolist():
            if last <= 0:
                return
            last -= 1
            yield seen, at


def _alike(one: Observed, other: Observed) -> bool:
    return (
        one.batch.symbols is other.batch.symbols
        and one.batch.columns.keys() == other.batch.columns.keys()
        and one.names == other.names
        and abs(one.boot - other.boot) < CLOCK
    )


def _joined(parts: Sequence[Observed]) -> Observed:
    """Batches that follow each other, as one."""
    first = parts[0]
    columns = {name: np.concatenate([each.batch[name] for each in parts]) for name in first.batch.columns}
    tagged = Tagged(
        np.concatenate([each.tagged.event + np.uint32(each.first - first.first) for each in parts]),
        np.concatenate([each.tagged.tag for each in parts]),
    )
    return Observed(first.first, Batch(columns, first.batch.symbols), tagged, first.names, parts[-1].boot)
