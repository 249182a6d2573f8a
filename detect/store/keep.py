"""Tidying up: neighbours are merged as in a log-structured merge tree, and what is past its time goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from detect.store import segment
from detect.store.catalogue import Catalogue
from detect.store.clock import Clock
from detect.store.entry import Entry
from detect.store.ledger import Ledger
from detect.store.merge import merge
from detect.store.settings import Apart, StoreSettings, here

_DAY: Final = 86_400 * 10**9
_SMALLEST: Final = 1 << 11


def keep(
    catalogue: Catalogue, settings: StoreSettings, clock: Clock, ledger: Ledger, apart: Apart | None = None
) -> None:
    """Merge while there is something to merge, then hold the limits."""
    while group := choose(catalogue.listing.segments, settings):
        if not _merge(catalogue, group, clock, ledger, apart or here):
            break
        if apart is None:
            segment.release()
    expire(catalogue, settings, clock, ledger)
    catalogue.sweep()


def choose(segments: Sequence[Entry], settings: StoreSettings) -> list[Entry]:
    """Neighbours of one boot and of about one size, the smallest first; empty if there are too few.

    A large one is not written again for a few small ones beside it.
    """
    for level in range(_level(settings.merged_events, settings.merge) + 1):
        run: list[Entry] = []
        for entry in segments:
            fits = _level(entry.events, settings.merge) <= level
            if run and (not fits or entry.boot != run[-1].boot):
                run = []
            if fits:
                run.append(entry)
            if len(run) == settings.merge:
                total, largest = sum(one.events for one in run), max(one.events for one in run)
                if total <= settings.merged_events and 2 * largest <= total:
                    return run
                run = run[1:]
    return []


def _level(events: int, merge: int) -> int:
    level = 0
    while events > _SMALLEST:
        events //= merge
        level += 1
    return level


def _merge(catalogue: Catalogue, group: list[Entry], clock: Clock, ledger: Ledger, apart: Apart) -> bool:
    """Whether the list changed. Without room nothing is merged: that needs some for a while."""
    try:
        entry = apart(merge, catalogue.folder, group)
        if not catalogue.add(entry, clock.boottime(), clock.wall(), replaces=group):
            return True
    except OSError as error:
        if damaged(catalogue, group, ledger, apart):
            return True
        ledger.say(f"segments were not merged: {error}")
        return False
    except Exception:  # whatever pyarrow makes of bytes that are not Parquet
        if damaged(catalogue, group, ledger, apart):
            return True
        raise
    ledger.count("merges", 1)
    return True


def damaged(catalogue: Catalogue, group: Sequence[Entry], ledger: Ledger, apart: Apart | None = None) -> bool:
    """Set aside those that cannot be read. Whether there were any."""
    found = False
    for entry in group:
        reason = (apart or here)(check, catalogue.folder, entry)
        if not catalogue.has(entry):  # given up meanwhile, and counted as that
            found = True
        elif reason:
            catalogue.set_aside(entry, reason)
            ledger.count("damaged", entry.events)
            ledger.say(catalogue.damage[-1])
            found = True
    return found


def check(folder: Path, entry: Entry) -> str:
    """What is wrong with a segment, reading all of it."""
    try:
        found = len(segment.Segment(folder / entry.name).part())
    except MemoryError:
        raise
    except Exception as error:  # whatever pyarrow makes of bytes that are not Parquet
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return "" if found == entry.events else f"{found} events instead of {entry.events}"


def expire(catalogue: Catalogue, settings: StoreSettings, clock: Clock, ledger: Ledger) -> None:
    """Hold the limits of size, age and room on the file system."""
    oldest_mark = catalogue.now(clock.boottime()) - int(settings.max_days * _DAY)
    while segments := catalogue.listing.segments:
        too_old = segments[0].age_mark < oldest_mark
        if not too_old and catalogue.size() <= settings.max_bytes:
            break
        gone = catalogue.drop_oldest()
        ledger.count("expired", gone.events if gone else 0)
    while catalogue.listing.segments and free(catalogue) < settings.min_free:
        gone = catalogue.drop_oldest()
        if gone is not None:
            ledger.lose("shed", gone.events, f"the disk is nearly full: segment {gone.name} was given up")


def free(catalogue: Catalogue) -> int:
    """Bytes that the file system has left."""
    found = os.statvfs(catalogue.folder)
    return found.f_bavail * found.f_frsize
