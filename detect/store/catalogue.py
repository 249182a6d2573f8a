"""Which segments there are: one small file, replaced as a whole, so that a reader sees one moment.

What is no longer listed is removed some time later, so that a reader may finish with what it has begun.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from detect.store.entry import (
    ENTRY,
    FILE,
    Entry,
    Listing,
    entry_of,
    journals,
    read_listing,
    write_listing,
)

ASIDE: Final = "damaged"
GRACE: Final = 120.0
"""Seconds that a reader has for what was listed when it began."""


class Catalogue:
    """The list, by its one writer. Safe to use from several threads."""

    def __init__(self, folder: Path, boot: str, boottime: int, wall: int) -> None:
        self.folder = folder
        self.damage: list[str] = []
        """What was found damaged or set aside, in words."""
        self._lock = threading.RLock()
        self._condemned: list[tuple[float, Path]] = []
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ASIDE).mkdir(mode=0o700, exist_ok=True)
        try:
            self.listing = read_listing(folder)
        except ValueError as error:
            self._move_aside(folder / FILE)
            self.damage.append(f"the list of segments was made again: {error}")
            self.listing = Listing(tuple(self._found()))
            write_listing(self.folder, self.listing)
        # While the host is up only CLOCK_BOOTTIME counts; what lay between two boots only the wall can say.
        before = self.listing
        away = max(0, wall - before.wall) if before.wall and before.boot != boot else 0
        self._boot, self._began = boot, boottime
        self._elapsed = before.elapsed + away
        self._remove_strays()

    def now(self, boottime: int) -> int:
        """Nanoseconds that the store has lived, as ages are counted. It never goes back or jumps."""
        return self._elapsed + max(0, boottime - self._began)

    def add(self, entry: Entry, boottime: int, wall: int, replaces: Iterable[Entry] = ()) -> bool:
        """List a segment that is on the disk, in the place of others.

        If one of those was given up meanwhile, the new one is removed instead: what was counted as lost does
        not come back. Whether it was listed.
        """
        with self._lock:
            gone = {one.name for one in replaces}
            if not gone <= {one.name for one in self.listing.segments}:
                shutil.rmtree(self.folder / entry.name, ignore_errors=True)
                return False
            kept = [one for one in self.listing.segments if one.name not in gone]
            segments = tuple(sorted([*kept, entry], key=lambda one: one.journals))
            self._save(replace(self.listing, segments=segments), boottime, wall)
            until = time.monotonic() + GRACE
            self._condemned += [(until, self.folder / name) for name in gone - {entry.name}]
            return True

    def has(self, entry: Entry) -> bool:
        """Whether it is still listed."""
        return entry.name in {one.name for one in self.listing.segments}

    def drop_oldest(self) -> Entry | None:
        """Remove the oldest segment at once. None if there is none left."""
        with self._lock:
            if not self.listing.segments:
                return None
            oldest = self.listing.segments[0]
            # First the room, then the list, for which there may be none: a segment that is listed and not
            # there is no error for readers.
            shutil.rmtree(self.folder / oldest.name, ignore_errors=True)
            for _, path in self._condemned:
                shutil.rmtree(path, ignore_errors=True)
            self._condemned.clear()
            self.listing = replace(self.listing, segments=self.listing.segments[1:])
            with contextlib.suppress(OSError):
                self._save(self.listing)
            return oldest

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Take a damaged segment out of use, and keep it for whoever wants to look."""
        with self._lock:
            self.listing = replace(
                self.listing, segments=tuple(one for one in self.listing.segments if one.name != entry.name)
            )
            self._move_aside(self.folder / entry.name)
            self._save(self.listing)
            self.damage.append(f"segment {entry.name} ({entry.events} events) is damaged: {reason}")

    def last_number(self) -> int:
        """The highest number of a journal that is in use."""
        listed = [entry.journals[1] for entry in self.listing.segments]
        return max([*listed, *journals(self.folder)], default=0)

    def sweep(self, *, everything: bool = False) -> None:
        """Remove what was replaced long enough ago."""
        with self._lock:
            now = time.monotonic()
            for until, path in self._condemned:
                if everything or until <= now:
                    shutil.rmtree(path, ignore_errors=True)
            self._condemned = [one for one in self._condemned if not everything and one[0] > now]

    def size(self) -> int:
        """Bytes of all that is listed or waits for its removal."""
        with self._lock:
            waiting = sum(_size_of(path) for _, path in self._condemned)
            return waiting + sum(entry.size for entry in self.listing.segments)

    def _save(self, listing: Listing, boottime: int | None = None, wall: int = 0) -> None:
        if boottime is not None:
            listing = replace(listing, elapsed=self.now(boottime), wall=wall, boot=self._boot)
        write_listing(self.folder, listing)
        self.listing = listing

    def _move_aside(self, path: Path) -> None:
        there = self.folder / ASIDE / path.name
        number = 0
        while there.exists():
            number += 1
            there = self.folder / ASIDE / f"{path.name}.{number}"
        with contextlib.suppress(FileNotFoundError):
            path.rename(there)

    def _found(self) -> list[Entry]:
        """The segments that are on the disk; of two that hold the same, the merged one."""
        found: list[Entry] = []
        for path in sorted(self.folder.glob(f"[0-9]*/{ENTRY}")):
            try:
                found.append(entry_of(json.loads(path.read_text())))
            except (ValueError, TypeError, KeyError, OSError):
                self._move_aside(path.parent)
        found.sort(key=lambda one: (one.journals[0], -one.journals[1]))
        kept: list[Entry] = []
        for entry in found:
            if not kept or entry.journals[0] > kept[-1].journals[1]:
                kept.append(entry)
        return kept

    def _remove_strays(self) -> None:
        """What a crash left: segments half written, or replaced already."""
        listed = {entry.name for entry in self.listing.segments}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name != ASIDE and path.name not in listed:
                shutil.rmtree(path, ignore_errors=True)
        missing = [entry for entry in self.listing.segments if not (self.folder / entry.name).is_dir()]
        if missing:
            self.damage.append(f"segments that are not there any more: {', '.join(e.name for e in missing)}")
            kept = tuple(entry for entry in self.listing.segments if entry not in missing)
            self.listing = replace(self.listing, segments=kept)


def _size_of(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0
