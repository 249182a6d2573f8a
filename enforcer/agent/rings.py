"""The threads that empty the kernel's rings: records become events, events go to the feed and the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from bpf_lsm.errors import GateError
from enforcer.agent.gateway import RingLike
from enforcer.agent.resolve import Resolver
from enforcer.events import Event, Kind, as_line
from enforcer.serving.feed import Feed, Numbers
from enforcer.serving.logfile import RotatingLog

log = logging.getLogger("menshen.rings")

_AT_ONCE = 256
"""Records that are published together: after a flood, or a time without an agent, the first do not wait for
the last."""


class Journal:
    """Where every event goes: an id, the feed, and for what is worth keeping the log."""

    def __init__(self, feed: Feed[Event], numbers: Numbers, log: RotatingLog) -> None:
        self._feed = feed
        self._numbers = numbers
        self._log = log
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        """Events by kind."""

    def record(self, make: Sequence[Callable[[int], Event]], *, keep: bool) -> None:
        """Give ids to events and pass them on, in one order for everybody."""
        if not make:
            return
        with self._lock:
            ids = self._numbers.take(len(make))
            events = [build(number) for build, number in zip(make, ids, strict=True)]
            self.counts.update(event.kind for event in events)
            self._feed.publish(events)
            if keep:
                self._log.write(map(as_line, events))

    def notice(self, text: str, *, subject: str = "", path: str = "") -> None:
        """Something that the agent itself has to say."""
        now = round(time.time(), 6)

        def build(number: int) -> Event:
            return Event(id=number, time=now, kind=Kind.NOTICE, subject=subject, path=path, text=text)

        self.record([build], keep=True)


class RingReader:
    """One thread that reads one ring until it is stopped."""

    def __init__(
        self, name: str, ring: RingLike, resolver: Resolver, journal: Journal, *, keep: bool, wait: float
    ) -> None:
        self.name = name
        self._ring = ring
        self._resolver = resolver
        self._journal = journal
        self._keep = keep
        self._wait = wait
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.records = 0
        """That were read."""
        self.undecoded = 0
        self.failures = 0
        self.beat = time.monotonic()
        """When the thread last came round; the watchdog looks at it."""

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is there now has been read."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.beat = time.monotonic()
            try:
                self.drain(self._wait)
            except Exception:  # one bad moment must not end the reading: it is said, and we go on
                self.failures += 1
                log.exception("reading the ring failed")
                self._stop.wait(1)
        with suppress(Exception):  # the end of the process: what is left waits in the ring
            self.drain(0)

    def drain(self, wait: float) -> int:
        """Read once; how many records there were."""
        records = self._ring.read(wait)
        self.records += len(records)
        for begin in range(0, len(records), _AT_ONCE):
            some = records[begin : begin + _AT_ONCE]
            self._journal.record([build for raw in some if (build := self._builder(raw))], keep=self._keep)
        return len(records)

    def _builder(self, raw: bytes) -> Callable[[int], Event] | None:
        from bpf_lsm.events import decode  # noqa: PLC0415

        try:
            record = decode(raw)
        except GateError:
            self.undecoded += 1
            return None
        return lambda number: self._resolver.event(record, number)
