"""The store as others read it: segments and what is not sealed yet, while the watch goes on writing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from detect.batch import Batch
from detect.store import journal
from detect.store.entry import Entry, Listing, boot_text, journals, read_listing
from detect.store.part import Batches, Part, merged, of_content
from detect.store.schema import Column
from detect.store.segment import Segment
from detect.symbols import Symbols

_TRIES: Final = 10
_OPEN: Final = 32
"""Segments that are kept open."""
CHUNK: Final = 1 << 14
"""Events of one batch of a replay, about."""
REPLAY_SYMBOLS: Final = 1 << 22


class StoreError(Exception):
    """The store cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store of one moment."""

    listing: Listing
    tail: tuple[tuple[str, int, Part], ...]
    """Boot, number of the journal, and what is in it."""


class History:
    """Reads a store. `skipped` says what could not be read, and is empty if all could."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped: list[str] = []
        self._segments: OrderedDict[str, Segment] = OrderedDict()
        self._broken: set[str] = set()
        self.snapshot = self._take()

    def refresh(self) -> None:
        """See what was written since."""
        self.snapshot = self._take()

    def readable(self) -> list[Entry]:
        """The segments whose files can be opened."""
        found = []
        for entry in self.snapshot.listing.segments:
            segment = self._segment(entry)
            if segment is None:
                continue
            try:
                segment.open()
                found.append(entry)
            except Exception as error:  # whatever pyarrow makes of bytes that are not Parquet
                self._skip(entry, error)
        return found

    def verify(self) -> None:
        """Read all of every segment, and skip from now on what is damaged."""
        for entry in self.readable():
            self._load(entry)

    def session(self, session: int) -> list[tuple[str, Part]]:
        """The events of a session, a part for each boot in which there are any; in each by time."""
        found: list[tuple[str, Part]] = []
        for entry in self.snapshot.listing.segments:
            part = self._of_segment(entry, session)
            if part is not None:
                found.append((entry.boot, part))
        for boot, _, tail in self.snapshot.tail:
            mine = np.flatnonzero(tail.sessions() == np.uint64(session))
            if len(mine):
                found.append((boot, tail.rows(mine)))
        together = []
        for boot, group in groupby(found, key=lambda one: one[0]):
            parts = [part for _, part in group]
            whole = parts[0] if len(parts) == 1 else merged(parts)
            order = np.argsort(whole.events["time"], kind="stable")
            together.append((boot, whole.rows(order)))
        return together

    def replay(self, symbols: Symbols | None = None) -> Iterator[tuple[str, Batch]]:
        """Everything in the order of time, with the boot that the times belong to.

        At most the segments that overlap in time are in memory. All batches share `symbols`; where its
        `overflowed` has grown, there were more distinct strings than it can tell apart.
        """
        symbols = symbols or Symbols(REPLAY_SYMBOLS)
        sources: list[tuple[str, int, Entry | Part]] = [
            (entry.boot, entry.first, entry) for entry in self.snapshot.listing.segments
        ]
        sources += [(boot, int(part.events["time"].min()), part) for boot, _, part in self.snapshot.tail]
        for boot, group in groupby(sources, key=lambda one: one[0]):
            waiting = sorted(((first, at, one) for at, (_, first, one) in enumerate(group)))
            yield from ((boot, batch) for batch in self._replay_boot(waiting, symbols))

    def _replay_boot(self, waiting: list[tuple[int, int, Entry | Part]], symbols: Symbols) -> Iterator[Batch]:
        active: list[_Cursor] = []
        while waiting or active:
            ends = [cursor.end() for cursor in active]
            until = min(ends) if ends else waiting[0][0] + 1
            if waiting and waiting[0][0] < until:
                part = self._load(waiting.pop(0)[2])
                if part is not None:
                    active.append(_Cursor(part, symbols))
                continue
            batches = [batch for cursor in active if (batch := cursor.before(until)) is not None]
            active = [cursor for cursor in active if not cursor.done]
            if batches:
                yield _by_time(batches)

    def _load(self, source: Entry | Part) -> Part | None:
        if isinstance(source, Part):
            return source
        segment = self._segment(source)
        try:
            return segment.part() if segment else None
        except MemoryError:
            raise
        except Exception as error:  # whatever pyarrow makes of bytes that are not Parquet
            self._skip(source, error)
            return None

    def _of_segment(self, entry: Entry, session: int) -> Part | None:
        segment = self._segment(entry)
        if segment is None:
            return None
        try:
            return segment.session(session)
        except MemoryError:
            raise
        except Exception as error:  # whatever pyarrow makes of bytes that are not Parquet
            self._skip(entry, error)
            return None

    def _segment(self, entry: Entry) -> Segment | None:
        if entry.name in self._broken:
            return None
        if entry.name not in self._segments:
            self._segments[entry.name] = Segment(self.folder / entry.name)
            while len(self._segments) > _OPEN:
                self._segments.popitem(last=False)
        self._segments.move_to_end(entry.name)
        return self._segments[entry.name]

    def _skip(self, entry: Entry, error: Exception) -> None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        self.skipped.append(f"segment {entry.name} ({entry.events} events) cannot be read: {reason}")
        self._broken.add(entry.name)
        self._segments.pop(entry.name, None)

    def _take(self) -> Snapshot:
        """A journal is listed as a segment before it goes: if the list did not change while the journals were
        read, nothing was missed."""
        if not self.folder.is_dir():
            raise StoreError(f"there is no store in {self.folder}")
        for _ in range(_TRIES):
            try:
                listing = read_listing(self.folder)
                tail = self._tail(listing)
                if read_listing(self.folder).segments == listing.segments:
                    return Snapshot(listing, tail)
            except FileNotFoundError:
                continue
            except (ValueError, OSError) as error:
                raise StoreError(f"cannot read the store: {error}") from None
        raise StoreError(f"{self.folder} changes too quickly to be read")

    def _tail(self, listing: Listing) -> tuple[tuple[str, int, Part], ...]:
        sealed = [entry.journals for entry in listing.segments]
        found = []
        for number, path in journals(self.folder).items():
            if any(first <= number <= last for first, last in sealed):
                continue
            try:
                content = journal.read(path)
            except ValueError as error:
                self.skipped.append(f"{path.name} cannot be read: {error}")
                continue
            if content.events:
                found.append((boot_text(content.boot), number, of_content(content)))
        return tuple(found)


class _Cursor:
    """How far a part has been replayed."""

    def __init__(self, part: Part, symbols: Symbols) -> None:
        self._order = np.argsort(part.events["time"], kind="stable")
        self._time = part.events["time"][self._order]
        self._batches = Batches(part, symbols)
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._time)

    def end(self) -> int:
        """The time up to which one chunk goes."""
        return int(self._time[min(self._at + CHUNK, len(self._time)) - 1]) + 1

    def before(self, until: int) -> Batch | None:
        """What is earlier than that, and was not given yet."""
        first, self._at = self._at, int(np.searchsorted(self._time, np.uint64(until)))
        return self._batches.batch(self._order[first : self._at]) if self._at > first else None


def _by_time(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    columns: dict[str, Column] = {
        name: np.concatenate([batch[name] for batch in batches]) for name in batches[0].columns
    }
    return Batch(columns, batches[0].symbols).take(np.argsort(columns["time"], kind="stable"))
