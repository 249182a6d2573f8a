"""The store as the watch writes it: a journal, segments."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.batch import Batch, Tagged
from detect.store import keep
from detect.store.catalogue import Catalogue
from detect.store.clock import Clock
from detect.store.entry import journal_path
from detect.store.journal import Journal
from detect.store.ledger import Counters, Ledger
from detect.store.sealer import FULL, Sealer
from detect.store.settings import Apart, StoreSettings, here

SYNC_SECONDS: Final = 1.0
"""Seconds of events that a loss of power may take. A crash of the watch takes only those in the queue."""
RETRY_SECONDS: Final = 30.0
"""Seconds until what could not be sealed is tried again."""


class Store:
    """Keeps what it is given. `append` does not wait: two threads write and tidy up.

    `tags` are the names of the tags that come with the batches, by number. `notify` is called with a
    sentence when something is lost or damaged. With `background` off everything is done in `append` and
    `tick`, by the caller's thread. What takes Arrow is done `apart`, or in this process if that is None.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        tags: Sequence[str] = (),
        clock: Clock | None = None,
        notify: Callable[[str], None] = lambda _: None,
        background: bool = True,
        apart: Apart | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self._tags = tags
        self._background = background
        self._ledger = Ledger(notify)
        self._catalogue = Catalogue(
            settings.folder, str(self.clock.boot), self.clock.boottime(), self.clock.wall()
        )
        for text in self._catalogue.damage:
            self._ledger.say(text)
        self._apart = apart
        self._sealer = Sealer(self._catalogue, self.clock, self._ledger, apart or here)
        self._number = self._catalogue.last_number()
        self._sealer.seal_files()
        self._journal: Journal | None = None
        self._began = self._synced = self._tried = 0.0
        self._queue: deque[tuple[Batch, NDArray[np.uint32]]] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._keeper_wake = threading.Event()
        self._closing = False
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
        self._ledger.count("appended", len(batch))
        item = (batch, tag_symbols(batch, tagged, self._tags))
        if not self._background:
            self._write(*item)
            return
        with self._wake:
            if self._waiting and self._waiting + len(batch) > self.settings.queue_events:
                self._ledger.lose("queue_full", len(batch), "the disk does not keep up")
                return
            self._queue.append(item)
            self._waiting += len(batch)
            self._wake.notify()

    @property
    def counters(self) -> Counters:
        """What was done and lost."""
        return self._ledger.counters

    @property
    def problems(self) -> Sequence[str]:
        """What was lost or damaged, in words; the newest last."""
        return tuple(self._ledger.problems)

    @property
    def events(self) -> int:
        """That are kept."""
        open_now = self._journal.count if self._journal is not None else 0
        left = sum(list(self._sealer.waiting.values()))
        return open_now + left + sum(entry.events for entry in self._catalogue.listing.segments)

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
        if self._apart is None:
            self._sealer.seal(self._number, written.path, written.content())
        else:
            self._sealer.leave(self._number, written.count)
        self._keeper_wake.set()

    def keep(self) -> None:
        """Seal what was left, merge, and remove what is past the limits, until there is nothing to do."""
        if self._apart is not None and self._sealer.left:
            self._sealer.seal_files(self._below())
        keep.keep(self._catalogue, self.settings, self.clock, self._ledger, self._apart)

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
        if self._apart is not None:
            self._sealer.seal_files()
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
            self._guard(self._sync, 0)
            self._guard(self._seal_if_due, 0)

    def _keep_loop(self) -> None:
        while not self._closing:
            self._keeper_wake.wait(timeout=RETRY_SECONDS)
            self._keeper_wake.clear()
            self._guard(self.keep, 0)

    def _guard(self, work: Callable[[], None], events: int) -> None:
        """A failure costs what it costs and is told; the thread goes on."""
        try:
            work()
        except Exception as error:
            counter = "disk_full" if isinstance(error, OSError) and error.errno in FULL else "failed"
            reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
            self._ledger.lose(counter, events, reason)

    # the writer's work

    def _write(self, batch: Batch, tags: NDArray[np.uint32]) -> None:
        self._guard(lambda: self._write_batch(batch, tags), len(batch))
        if self._journal is not None and self._journal.count >= self.settings.seal_events:
            self._guard(self.seal, 0)

    def _write_batch(self, batch: Batch, tags: NDArray[np.uint32]) -> None:
        if self._journal is not None and self._journal.symbols is not batch.symbols:
            self.seal()
        self._sealer.with_room(lambda: self._open(batch).append(batch.columns, tags, self.clock.offset()))
        self._ledger.count("written", len(batch))

    def _open(self, batch: Batch) -> Journal:
        if self._journal is None:
            path = journal_path(self.settings.folder, self._number + 1)
            self._journal = Journal(path, self.clock.boot.bytes, batch.symbols)
            self._number += 1
            self._began = self._synced = time.monotonic()
        return self._journal

    def _sync(self) -> None:
        if self._journal is not None and time.monotonic() - self._synced >= SYNC_SECONDS:
            self._synced = time.monotonic()
            self._journal.sync()

    def _seal_if_due(self) -> None:
        now = time.monotonic()
        if self._journal is not None and now - self._began >= self.settings.seal_seconds:
            self.seal()
        if self._apart is None and self._sealer.left and now - self._tried >= RETRY_SECONDS:
            self._tried = now
            self._sealer.seal_files(self._below())

    def _below(self) -> int:
        """Journals with numbers below this one are written no more. For another thread: the number first."""
        number = self._number
        return number if self._journal is not None else number + 1


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
