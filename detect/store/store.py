"""The store as the watch writes it: recent events in memory, a journal, segments."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from detect.batch import Batch, Tagged
from detect.store import journal, keep, seal
from detect.store.catalogue import Catalogue
from detect.store.clock import Clock
from detect.store.entry import Entry, journal_path, journals
from detect.store.journal import Journal
from detect.store.settings import StoreSettings

SYNC_SECONDS: Final = 1.0
"""Seconds of events that a loss of power may take. A crash of the watch takes only those in the queue."""
PROBLEMS: Final = 20
FULL: Final = {errno.ENOSPC, errno.EDQUOT}

Found = TypeVar("Found")


@dataclass(slots=True)
class Counters:
    """What the store did since it was opened, in events unless it says otherwise."""

    appended: int = 0
    written: int = 0
    sealed: int = 0
    queue_full: int = 0
    """Not kept: the disk did not keep up."""
    disk_full: int = 0
    """Not kept: no room, and nothing left to give up for it."""
    shed: int = 0
    """Given up before their time for want of room."""
    expired: int = 0
    """Past the limits of size or age."""
    damaged: int = 0
    """In segments that were set aside."""
    torn_bytes: int = 0
    merges: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


class Store:
    """Keeps what it is given. `append` does not wait: two threads write and tidy up.

    `tags` are the names of the tags that come with the batches, by number. `notify` is called with a
    sentence when something is lost or damaged. With `background` off
    everything is done in `append` and `tick`, by the caller's thread.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        tags: Sequence[str] = (),
        clock: Clock | None = None,
        notify: Callable[[str], None] = lambda _: None,
        background: bool = True,
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.counters = Counters()
        self.recent: deque[Batch] = deque()
        self._tags = tags
        self._told = notify
        self.problems: deque[str] = deque(maxlen=PROBLEMS)
        """What was lost or damaged, in words; the newest last."""
        self._background = background
        self._catalogue = Catalogue(
            settings.folder, str(self.clock.boot), self.clock.boottime(), self.clock.wall()
        )
        self._journal: Journal | None = None
        self._began = 0.0
        self._synced = 0.0
        self._queue: deque[tuple[Batch, NDArray[np.uint32]]] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._keeper_wake = threading.Event()
        self._closing = False
        for text in self._catalogue.damage:
            self._notify(text)
        self._number = self._recover()
        self._threads: list[threading.Thread] = []
        if background:
            for name, work in (("store-writer", self._write_loop), ("store-keeper", self._keep_loop)):
                self._threads.append(threading.Thread(target=work, name=name, daemon=True))
                self._threads[-1].start()

    # what the watch calls

    def append(self, batch: Batch, tagged: Tagged | None = None) -> None:
        """Keep a batch."""
        if not len(batch):
            return
        self.counters.appended += len(batch)
        self._remember(batch)
        item = (batch, tag_symbols(batch, tagged, self._tags))
        if not self._background:
            self._write(*item)
            return
        with self._wake:
            if self._waiting and self._waiting + len(batch) > self.settings.queue_events:
                self._lose("queue_full", len(batch), "the disk does not keep up")
                return
            self._queue.append(item)
            self._waiting += len(batch)
            self._wake.notify()

    @property
    def events(self) -> int:
        """That are kept."""
        open_now = self._journal.count if self._journal is not None else 0
        return open_now + sum(entry.events for entry in self._catalogue.listing.segments)

    @property
    def bytes(self) -> int:
        """On disk."""
        open_now = self._journal.size if self._journal is not None else 0
        return open_now + self._catalogue.size()

    def tick(self) -> None:
        """What time asks for, where there is no thread for it: once a second or so."""
        self._sync()
        self._seal_if_due()
        self.keep()

    def seal(self) -> None:
        """Seal what there is now. For the tests and the end; not beside the background threads."""
        written, self._journal = self._journal, None
        if written is None:
            return
        written.close()
        if not written.count:
            written.path.unlink()
            return
        number = self._number
        content = written.content()
        try:
            self._with_room(
                lambda: self._list(seal.seal(self.settings.folder, number, content, self._age_mark()))
            )
        except OSError as error:
            self._lose("disk_full", 0, f"journal {number} stays unsealed: {error.strerror}")
            return
        self.counters.sealed += written.count
        written.path.unlink()
        self._keeper_wake.set()

    def keep(self) -> None:
        """Merge, and remove what is past the limits, until there is nothing to do."""
        keep.keep(self._catalogue, self.settings, self.clock, self.counters, self._notify)

    def flush(self) -> None:
        """Have the disk keep all that was appended, without sealing it."""
        if self._background:
            with self._wake:
                self._wake.wait_for(lambda: not self._waiting)
        if self._journal is not None:
            self._journal.sync()

    def close(self) -> None:
        """Write and seal everything, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._keeper_wake.set()
        for thread in self._threads:
            thread.join()
        self.seal()
        self._catalogue.sweep(everything=True)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the threads

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closing, timeout=SYNC_SECONDS)
                item = self._queue.popleft() if self._queue else None
                if item is None and self._closing:
                    return
            if item is not None:
                self._write(*item)
                with self._wake:
                    self._waiting -= len(item[0])
                    self._wake.notify_all()
            self._sync()
            self._seal_if_due()

    def _keep_loop(self) -> None:
        while not self._closing:
            self._keeper_wake.wait(timeout=30)
            self._keeper_wake.clear()
            self.keep()

    # the writer's work

    def _write(self, batch: Batch, tags: NDArray[np.uint32]) -> None:
        if self._journal is not None and self._journal.symbols is not batch.symbols:
            self.seal()
        columns = dict(batch.columns)
        try:
            self._with_room(lambda: self._open(batch).append(columns, tags, self.clock.offset()))
        except OSError as error:
            self._lose("disk_full", len(batch), error.strerror or str(error))
            return
        self.counters.written += len(batch)
        if self._journal is not None and self._journal.count >= self.settings.seal_events:
            self.seal()

    def _open(self, batch: Batch) -> Journal:
        if self._journal is None:
            path = journal_path(self.settings.folder, self._number + 1)
            self._journal = Journal(path, self.clock.boot.bytes, batch.symbols)
            self._number += 1
            self._began = self._synced = time.monotonic()
        return self._journal

    def _sync(self) -> None:
        if self._journal is not None and time.monotonic() - self._synced >= SYNC_SECONDS:
            self._journal.sync()
            self._synced = time.monotonic()

    def _seal_if_due(self) -> None:
        if self._journal is not None and time.monotonic() - self._began >= self.settings.seal_seconds:
            self.seal()

    def _recover(self) -> int:
        """Seal what an earlier run left. The highest number that was ever used."""
        folder = self.settings.folder
        found = journals(folder)
        listed = [entry.journals for entry in self._catalogue.listing.segments]
        for number, path in found.items():
            if any(first <= number <= last for first, last in listed):
                path.unlink()
                continue
            try:
                content = journal.read(path)
            except ValueError as error:
                path.rename(folder / "damaged" / path.name)
                self._notify(f"{path} cannot be read and was moved to damaged/: {error}")
                continue
            if content.torn:
                self.counters.torn_bytes += content.torn
                self._catalogue.count(torn_bytes=content.torn)
                self._notify(
                    f"{path} ended in the middle of a record: "
                    f"{content.torn} bytes after {content.size} are cut off"
                )
            if content.events:
                self._with_room(
                    lambda number=number, content=content: self._list(  # type: ignore[misc]
                        seal.seal(folder, number, content, self._age_mark())
                    )
                )
            path.unlink()
        return max([*found, *(last for _, last in listed)], default=0)

    def _list(self, entry: Entry) -> None:
        self._catalogue.add(entry, self.clock.boottime(), self.clock.wall())

    def _age_mark(self) -> int:
        return self._catalogue.now(self.clock.boottime())

    def _with_room(self, work: Callable[[], Found]) -> Found:
        """Do it; while the disk is full, give up the oldest segment for it. OSError if there is none left."""
        while True:
            try:
                return work()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                oldest = self._catalogue.drop_oldest()
                if oldest is None:
                    raise
                self._lose("shed", oldest.events, f"the disk is full: segment {oldest.name} was given up")

    def _lose(self, counter: str, events: int, why: str) -> None:
        setattr(self.counters, counter, getattr(self.counters, counter) + events)
        self._catalogue.count(**{counter: events})
        self._notify(f"{events} events lost: {why}")

    def _notify(self, text: str) -> None:
        self.problems.append(text)
        self._told(text)

    def _remember(self, batch: Batch) -> None:
        self.recent.append(batch)
        total = sum(map(len, self.recent))
        while len(self.recent) > 1 and total > self.settings.recent_events:
            total -= len(self.recent.popleft())


def tag_symbols(batch: Batch, tagged: Tagged | None, names: Sequence[str]) -> NDArray[np.uint32]:
    """The tags of each event as one symbol: their names, a comma between two."""
    found = np.zeros(len(batch), np.uint32)
    if tagged is None or not len(tagged.event):
        return found
    events, first = np.unique(tagged.event, return_index=True)
    tags: list[Any] = tagged.tag.tolist()
    ends = [*first[1:].tolist(), len(tags)]
    known: dict[tuple[int, ...], int] = {}
    symbols = []
    for begin, end in zip(first.tolist(), ends, strict=True):
        key = tuple(tags[begin:end])
        if key not in known:
            known[key] = batch.symbols.intern(",".join(names[tag] for tag in key).encode())
        symbols.append(known[key])
    found[events] = symbols
    return found
