"""From journals to listed segments, with room made for them where there is none."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from detect.store import journal, seal
from detect.store.catalogue import ASIDE, Catalogue
from detect.store.clock import Clock
from detect.store.entry import journals
from detect.store.journal import Content
from detect.store.ledger import Ledger
from detect.store.seal import Sealed
from detect.store.segment import Memory
from detect.store.settings import Apart

FULL: Final = {errno.ENOSPC, errno.EDQUOT}

Found = TypeVar("Found")


class Sealer:
    """Seals journals. One that cannot be sealed stays: readers see it, and `seal_files` tries it again."""

    def __init__(self, catalogue: Catalogue, clock: Clock, ledger: Ledger, apart: Apart) -> None:
        """Journals' files are sealed `apart`."""
        self.left = False
        """Whether a journal that should be sealed is not."""
        self.waiting: dict[int, int] = {}
        """Events of journals that are left, by number, as far as it is known."""
        self._apart = apart
        self._memory = Memory()
        self._catalogue = catalogue
        self._clock = clock
        self._ledger = ledger

    def leave(self, number: int, events: int) -> None:
        """A journal that nobody writes any more is for `seal_files`."""
        self.waiting[number] = events
        self.left = True

    def seal(self, number: int, path: Path, content: Content) -> None:
        """Seal a journal that nobody writes any more, from memory and here."""

        def work() -> Sealed:
            if not content.count():
                return Sealed()
            return Sealed(seal.seal(self._catalogue.folder, number, content, self._now()))

        self._seal(number, path, work)
        self._memory.release()

    def seal_files(self, below: int | None = None) -> None:
        """Seal every journal on the disk, or those with numbers below this one: after a crash, when there was
        no room, or because they were left."""
        self.left = False
        listed = [entry.journals for entry in self._catalogue.listing.segments]
        for number, path in journals(self._catalogue.folder).items():
            if below is not None and number >= below:
                continue
            if any(first <= number <= last for first, last in listed):
                path.unlink(missing_ok=True)
            else:
                what = (seal.seal_file, self._catalogue.folder, number, path, self._now())
                self._seal(number, path, partial(self._apart, *what))

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

    def _now(self) -> int:
        return self._catalogue.now(self._clock.boottime())

    def _seal(self, number: int, path: Path, work: Callable[[], Sealed]) -> None:
        catalogue, clock = self._catalogue, self._clock
        try:
            found = self.with_room(work, keep=path)
            if (entry := found.entry) is not None:
                self.with_room(lambda: catalogue.add(entry, clock.boottime(), clock.wall()), keep=path)
        except FileNotFoundError:
            return  # it was given up meanwhile
        except OSError as error:
            self.left = True
            self._ledger.say(f"{path.name} stays unsealed: {error.strerror or error}")
            return
        self.waiting.pop(number, None)
        if found.fault:
            path.rename(catalogue.folder / ASIDE / path.name)
            self._ledger.say(f"{path.name} cannot be read and was moved to {ASIDE}/: {found.fault}")
            return
        if found.torn:
            self._ledger.count("torn_bytes", found.torn)
            self._ledger.say(
                f"{path.name} ended in the middle of a record: "
                f"{found.torn} bytes after {found.size} are cut off"
            )
        self._ledger.count("sealed", entry.events if entry else 0)
        path.unlink(missing_ok=True)

    def _give_up(self, keep: Path | None) -> bool:
        """Make room by the oldest segment, or the oldest journal that waits to be sealed."""
        oldest = self._catalogue.drop_oldest()
        if oldest is not None:
            why = f"the disk is full: segment {oldest.name} was given up"
            self._ledger.lose("shed", oldest.events, why)
            return True
        if not self.left:
            return False
        waiting = [each for each in journals(self._catalogue.folder).items() if each[1] != keep]
        for number, path in waiting[:-1]:  # the last may be the one that is written
            self.waiting.pop(number, None)
            events = journal.read(path).count()
            path.unlink()
            self._ledger.lose("shed", events, f"the disk is full: {path.name} was given up")
            return True
        return False
