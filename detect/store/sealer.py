"""From journals to listed segments, with room made for them where there is none."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from detect.store import journal, seal
from detect.store.catalogue import ASIDE, Catalogue
from detect.store.clock import Clock
from detect.store.entry import journals
from detect.store.journal import Content
from detect.store.ledger import Ledger
from detect.store.segment import Memory

FULL: Final = {errno.ENOSPC, errno.EDQUOT}

Found = TypeVar("Found")


class Sealer:
    """Seals journals. One that cannot be sealed stays: readers see it, and `seal_files` tries it again."""

    def __init__(self, catalogue: Catalogue, clock: Clock, ledger: Ledger) -> None:
        self._memory = Memory()
        self.left = False
        """Whether a journal that should be sealed is not."""
        self._catalogue = catalogue
        self._clock = clock
        self._ledger = ledger

    def seal(self, number: int, path: Path, content: Content) -> None:
        """Seal a journal that nobody writes any more."""
        events = content.count()
        try:
            if events:
                self._seal(number, path, content)
        except OSError as error:
            self.left = True
            self._ledger.say(f"{path.name} stays unsealed: {error.strerror or error}")
            return
        self._ledger.count("sealed", events)
        self._memory.release()
        path.unlink(missing_ok=True)

    def seal_files(self, current: Path | None = None) -> None:
        """Seal every journal on the disk but the current one: after a crash, or when there was no room."""
        self.left = False
        listed = [entry.journals for entry in self._catalogue.listing.segments]
        for number, path in journals(self._catalogue.folder).items():
            if path == current:
                continue
            if any(first <= number <= last for first, last in listed):
                path.unlink(missing_ok=True)
            elif (content := self._read(path)) is not None:
                self.seal(number, path, content)

    def with_room(self, work: Callable[[], Found], keep: Path | None = None) -> Found:
        """Do it; while the disk is full, give up the oldest for it. OSError if there is nothing left.

        `keep` is the journal that the work is about.
        """
        while True:
            try:
                return work()
            except OSError as error:
                if error.errno not in FULL or not self._give_up(keep):
                    raise

    def _seal(self, number: int, path: Path, content: Content) -> None:
        catalogue, clock = self._catalogue, self._clock
        now = catalogue.now(clock.boottime())
        entry = self.with_room(lambda: seal.seal(catalogue.folder, number, content, now), keep=path)
        self.with_room(lambda: catalogue.add(entry, clock.boottime(), clock.wall()), keep=path)

    def _read(self, path: Path) -> Content | None:
        try:
            content = journal.read(path)
        except FileNotFoundError:
            return None  # it was given up meanwhile
        except (ValueError, OSError) as error:
            path.rename(self._catalogue.folder / ASIDE / path.name)
            self._ledger.say(f"{path.name} cannot be read and was moved to {ASIDE}/: {error}")
            return None
        if content.torn:
            self._ledger.count("torn_bytes", content.torn)
            self._ledger.say(
                f"{path.name} ended in the middle of a record: "
                f"{content.torn} bytes after {content.size} are cut off"
            )
        return content

    def _give_up(self, keep: Path | None) -> bool:
        """Make room by the oldest segment, or the oldest journal that waits to be sealed."""
        oldest = self._catalogue.drop_oldest()
        if oldest is not None:
            why = f"the disk is full: segment {oldest.name} was given up"
            self._ledger.lose("shed", oldest.events, why)
            return True
        if not self.left:
            return False
        waiting = [path for path in journals(self._catalogue.folder).values() if path != keep]
        for path in waiting[:-1]:  # the last may be the one that is written
            events = journal.read(path).count()
            path.unlink()
            self._ledger.lose("shed", events, f"the disk is full: {path.name} was given up")
            return True
        return False
