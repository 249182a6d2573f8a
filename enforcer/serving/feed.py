"""The newest events, and those who follow them. Publishing never waits for anybody."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from enforcer.errors import EnforcerError
from identity.files import write_atomically

KEPT = 10_000
QUEUE = 8_192
MAX_FOLLOWERS = 24
_BLOCK = 1_000_000


class Numbers:
    """Event ids that are never given twice, also not after a restart: a block of them is reserved on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._next = int(path.read_text())
        except (OSError, ValueError):
            self._next = 1
        self._end = self._next
        self._lock = threading.Lock()

    def take(self, count: int) -> range:
        """The next `count` ids."""
        with self._lock:
            taken = range(self._next, self._next + count)
            if taken.stop > self._end:
                self._end = taken.stop + _BLOCK
                with suppress(OSError):  # a full disk: ids may come again after a restart, events go on
                    write_atomically(self._path, b"%d\n" % self._end)
            self._next = taken.stop
            return taken


class Kept(Protocol):
    """What a feed keeps: it has a number."""

    @property
    def id(self) -> int:
        """Never given twice; a later one is larger."""


T = TypeVar("T", bound=Kept)
Wanted = Callable[[T], bool]


class Follower(Generic[T]):
    """One client's queue. When it is full the oldest goes and is counted."""

    def __init__(self, wanted: Wanted[T], room: int) -> None:
        self._wanted = wanted
        self._room = room
        self._queue: deque[T] = deque()
        self._lost = 0
        self._closed = False
        self._change = threading.Condition()

    def offer(self, events: Sequence[T]) -> None:
        """Put in what this client wants."""
        wanted = [event for event in events if self._wanted(event)]
        if not wanted:
            return
        with self._change:
            self._queue.extend(wanted)
            while len(self._queue) > self._room:
                self._queue.popleft()
                self._lost += 1
            self._change.notify()

    def take(self, limit: int, timeout: float) -> tuple[list[T], int]:
        """Up to `limit` events and how many were lost before them; none when `timeout` or the end comes."""
        until = time.monotonic() + timeout
        with self._change:
            while not self._queue and not self._closed and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            lost, self._lost = self._lost, 0
            return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))], lost

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._closed

    def close(self) -> None:
        """Wake the client: there is an end."""
        with self._change:
            self._closed = True
            self._change.notify()


class Feed(Generic[T]):
    """A bounded buffer of the newest events, and its followers."""

    def __init__(self, kept: int = KEPT, queue: int = QUEUE) -> None:
        self._events: deque[T] = deque(maxlen=kept)
        self._queue = queue
        self._followers: set[Follower[T]] = set()
        self._lock = threading.Lock()
        self.seen = 0

    def publish(self, events: Sequence[T]) -> None:
        """Keep events, and offer them to everyone who follows."""
        with self._lock:
            self._events.extend(events)
            self.seen += len(events)
            followers = list(self._followers)
            for follower in followers:
                follower.offer(events)

    def find(self, number: int) -> T | None:
        """The event with this id, if it is still kept."""
        with self._lock:
            return next((event for event in reversed(self._events) if event.id == number), None)

    def old(self, wanted: Wanted[T], *, since: int = 0, last: int = 0) -> list[T]:
        """What is kept and wanted, oldest first; the newest `last` of it."""
        with self._lock:
            found = [event for event in self._events if event.id > since and wanted(event)]
        return found[-last:] if last else found

    def follow(self, wanted: Wanted[T], *, since: int = 0, last: int = 0) -> tuple[list[T], Follower[T]]:
        """What is kept, and a follower that gets everything after it: no event twice, none left out."""
        with self._lock:
            if len(self._followers) >= MAX_FOLLOWERS:
                raise EnforcerError(f"there are {MAX_FOLLOWERS} followers already", "end one of them first")
            found = [event for event in self._events if event.id > since and wanted(event)]
            follower: Follower[T] = Follower(wanted, self._queue)
            self._followers.add(follower)
        return (found[-last:] if last else found), follower

    def leave(self, follower: Follower[T]) -> None:
        """This follower is gone."""
        with self._lock:
            self._followers.discard(follower)

    def close(self) -> None:
        """There will be no more events."""
        with self._lock:
            for follower in self._followers:
                follower.close()
