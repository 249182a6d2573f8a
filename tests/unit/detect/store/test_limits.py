"""No room, no time, no end: what goes first, and that it is said to the last event."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.store import catalogue, entry, journal, keep, segment
from detect.store.entry import Entry, journals, read_listing
from detect.store.history import History
from detect.store.merge import merge
from detect.store.settings import StoreSettings
from detect.store.sql import ask
from detect.store.store import Store
from detect.symbols import Symbols
from tests.unit.detect.store.host import SECOND, HandClock, as_rows, kept, random_batch

DAY = 86_400 * SECOND


def options(folder: Path, **more: Any) -> StoreSettings:
    return StoreSettings(folder=folder, **{"min_free": 0, "seal_events": 200, "merge": 3, **more})


def adds_up(store: Store) -> None:
    """Every event that came is somewhere."""
    found = store.counters
    assert found.appended == found.written + found.queue_full + found.disk_full + found.failed


class Disk:
    """Fails with ENOSPC at the n-th operation that needs room, and for `lasts` operations from there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int, lasts: int) -> None:
        self.done = 0
        self._range = range(fails_at, fails_at + lasts)
        for owner, name in (
            (journal, "_write_all"),
            (journal.Journal, "__init__"),
            (entry, "write_file"),
            (entry, "sync_folder"),
            (catalogue, "write_listing"),
            (segment.Writer, "__init__"),
            (segment.Writer, "write"),
            (segment.Writer, "finish"),
            (segment.Writer, "publish"),
        ):
            monkeypatch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **named: Any) -> Any:
            self.done += 1
            if self.done in self._range:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **named)

        return operation


def fill(folder: Path, notices: list[str]) -> tuple[Store, list[Any]]:
    symbols = Symbols()
    given = [random_batch(seed, 20, symbols, first=seed * 10**6) for seed in range(6)]
    store = Store(options(folder, seal_events=40), notify=notices.append, background=False)
    for batch in given:
        store.append(batch)
        store.tick()
    store.close()
    return store, as_rows(given)


def operations(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    with monkeypatch.context() as patch:
        disk = Disk(patch, 10**9, 0)
        fill(folder, [])
        return disk.done


@pytest.mark.parametrize("lasts", [1, 40])
def test_a_disk_that_is_full_at_any_operation_costs_the_oldest_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasts: int
) -> None:
    count = operations(monkeypatch, tmp_path / "all")
    assert count > 40
    for fails_at in range(1, count + 1, 1 if lasts == 1 else 7):
        folder = tmp_path / str(fails_at)
        notices: list[str] = []
        with monkeypatch.context() as patch:
            Disk(patch, fails_at, lasts)
            try:
                store, expected = fill(folder, notices)
            except OSError:
                assert fails_at <= 3  # the store cannot even be begun, and says so at once
                continue
        adds_up(store)
        found = kept(History(folder))
        lost = store.counters.disk_full + store.counters.shed
        assert len(found) == len(expected) - lost, fails_at
        assert set(found) <= set(expected)
        assert bool(lost) <= any("events lost" in text for text in notices)
        with Store(options(folder), background=False):
            pass
        assert kept(History(folder)) == found
        assert journals(folder) == {}


TMPFS = """
import sys
from pathlib import Path
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.symbols import Symbols
from tests.unit.detect.store.host import random_batch
notices = []
symbols = Symbols()
options = StoreSettings(folder=Path(sys.argv[1]) / "events", min_free=0, seal_events=2000, merge=3)
with Store(options, notify=notices.append, background=False) as store:
    for seed in range(60):
        store.append(random_batch(seed, 500, symbols, first=seed * 1_000_000))
        store.tick()
found = store.counters
assert found.appended == 30_000 == found.written + found.disk_full, found
assert found.failed == 0, notices
assert found.shed > 0 and any("the disk is full" in text for text in notices), (found, notices)
from detect.store.history import History
from detect.store.merge import merge
history = History(options.folder)
times = [int(batch["time"][at]) for _, batch in history.replay() for at in (0, -1)]
assert history.skipped == []
kept = sum(len(batch) for _, batch in history.replay())
assert kept == found.written - found.shed, (kept, found)
assert times[-1] >= 59_000_000, "the newest events are there"
print("kept", kept)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_real_disk_that_is_full_keeps_the_newest(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        done = subprocess.run(
            [sys.executable, "-c", TMPFS, str(tmp_path)], capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 2000


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    symbols = Symbols()
    given = [random_batch(seed, 200, symbols, first=seed * 10**6) for seed in range(20)]
    with Store(options(tmp_path, max_bytes=400_000, merge=100), background=False) as store:
        for batch in given:
            store.append(batch)
            store.tick()
        assert store.bytes <= 400_000
        assert store.counters.expired > 0
        left = 4000 - store.counters.expired
    assert kept(History(tmp_path)) == as_rows(given[-(left // 200) :])


def test_the_oldest_go_before_the_file_system_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    with Store(options(tmp_path), notify=notices.append, background=False) as store:
        for seed in range(4):
            store.append(random_batch(seed, 200, Symbols(), first=seed * 10**6))
            store.seal()
        monkeypatch.setattr(keep, "free", lambda catalogue: 0 if len(catalogue.listing.segments) > 2 else 1)
        monkeypatch.setattr(keep, "choose", lambda *_: [])
        store.keep()
        assert store.counters.shed == 0  # min_free is 0
        keep.expire(store._catalogue, options(tmp_path, min_free=1), store.clock, store._ledger)
        assert store.counters.shed == 400
    assert sum("nearly full" in text for text in notices) == 2


@pytest.mark.parametrize(
    ("jump", "days", "expected"),
    [
        (0, 0, 400),
        (0, 5, 400),
        (0, 12, 200),  # the first went after ten days
        (0, 30, 0),
        (3650 * DAY, 5, 400),  # the wall is set ahead by ten years: nothing is older for it
        (-3650 * DAY, 5, 400),
        (-3650 * DAY, 12, 200),
        (3650 * DAY, 12, 200),
    ],
)
def test_events_go_by_age_whatever_the_wall_clock_is_set_to(
    tmp_path: Path, jump: int, days: int, expected: int
) -> None:
    clock = HandClock()
    with Store(options(tmp_path, max_days=10, merge=100), clock=clock, background=False) as store:
        store.append(random_batch(0, 200, Symbols()))
        store.seal()
        clock.now += 5 * DAY
        clock.date += 5 * DAY + jump
        store.append(random_batch(1, 200, Symbols(), first=10**6))
        store.seal()
        clock.now += max(0, days - 5) * DAY
        clock.date += max(0, days - 5) * DAY
        store.keep()
        assert store.events == expected
        assert store.counters.expired == 400 - expected


@pytest.mark.parametrize(("away", "expected"), [(0, 200), (5, 200), (11, 0), (-1000, 200)])
def test_between_two_boots_the_wall_counts_but_never_backwards(
    tmp_path: Path, away: int, expected: int
) -> None:
    clock = HandClock()
    with Store(options(tmp_path, max_days=10), clock=clock, background=False) as store:
        store.append(random_batch(0, 200, Symbols()))
    after = HandClock(boottime=5 * SECOND, wall=clock.date + away * DAY)
    after.boot = type(after.boot)(int=7)
    with Store(options(tmp_path, max_days=10), clock=after, background=False) as store:
        store.keep()
        assert store.events == expected


def test_two_boots_are_kept_apart_and_replayed_one_after_the_other(tmp_path: Path) -> None:
    for number in (1, 2):
        clock = HandClock(boottime=SECOND)
        clock.boot = type(clock.boot)(int=number)
        with Store(options(tmp_path, merge=2), clock=clock, background=False) as store:
            for seed in range(4):
                store.append(random_batch(seed, 200, Symbols(), first=seed * 10**6))
                store.tick()
    history = History(tmp_path)
    boots = [boot for boot, _ in history.replay()]
    assert boots == sorted(boots)
    assert len(set(boots)) == 2
    assert [boot for boot, _ in history.session(1)] == sorted(set(boots))
    assert list(ask(history, "SELECT count(DISTINCT boot) FROM events").rows) == [(2,)]


def segments(*events: int, boot: str = "a") -> list[Entry]:
    return [Entry(f"{at:06}-{at:06}", boot, count, 1, 0, 1, 0, 0) for at, count in enumerate(events, start=1)]


@pytest.mark.parametrize(
    ("listed", "merged"),
    [
        (segments(), []),
        (segments(100, 100), []),
        (segments(100, 100, 100), [1, 2, 3]),
        (segments(100_000, 100, 100, 100), [2, 3, 4]),
        (segments(100, 100, 100_000, 100), []),  # neighbours only
        (segments(100_000, 100_000, 90_000, 100), [1, 2, 3]),
        (segments(900_000, 900_000, 900_000), []),  # large enough
        (segments(100, 100) + segments(100, boot="b"), []),
    ],
)
def test_neighbours_of_about_one_size_are_merged(listed: list[Entry], merged: list[int]) -> None:
    found = keep.choose(listed, StoreSettings(merge=3))
    assert [entry.journals[0] for entry in found] == merged


def test_merging_comes_to_an_end(tmp_path: Path) -> None:
    settings = StoreSettings(merge=4)
    listed: list[Entry] = []
    for number in range(1, 2000):
        listed.append(Entry(f"{number:06}-{number:06}", "a", 100_000, 1, 0, 1, 0, 0))
        while group := keep.choose(listed, settings):
            first, last = listed.index(group[0]), listed.index(group[-1])
            whole = Entry(
                entry.segment_name(group[0].journals[0], group[-1].journals[1]),
                "a",
                sum(one.events for one in group),
                1, 0, 1, 0, 0,
            )  # fmt: skip
            listed[first : last + 1] = [whole]
    assert len(listed) < 1999 * 100_000 / settings.merged_events * 3 + 3 * settings.merge


def readers(folder: Path, stop: threading.Event, failures: list[str]) -> Iterator[threading.Thread]:
    def read() -> None:
        seen = 0
        while not stop.is_set():
            try:
                history = History(folder)
                count = sum(len(batch) for _, batch in history.replay())
                by_sql = next(iter(ask(History(folder), "SELECT count(*) FROM events").rows))[0]
                found = sum(len(part) for _, part in history.session(1))
                if history.skipped or count < seen or by_sql < count or count % 100 or not found:
                    failures.append(f"{count} after {seen}, {by_sql} by SQL, {history.skipped}")
                seen = count
            except Exception as error:
                failures.append(repr(error))

    for _ in range(2):
        yield threading.Thread(target=read)


def test_reading_while_writing_sees_every_moment_whole(tmp_path: Path) -> None:
    symbols = Symbols()
    given = [random_batch(seed, 100, symbols, first=seed * 10**6) for seed in range(80)]
    stop, failures = threading.Event(), list[str]()
    with Store(options(tmp_path, merge=2)) as store:
        store.append(given[0])
        store.flush()
        threads = list(readers(tmp_path, stop, failures))
        for thread in threads:
            thread.start()
        for batch in given[1:]:
            store.append(batch)
            time.sleep(0.02)
        store.flush()
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert kept(History(tmp_path)) == as_rows(given)
    assert store.counters.merges > 3


def test_a_queue_that_is_full_counts_what_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    real = journal._write_all

    def slow(fd: int, data: list[bytes]) -> None:
        hold.wait(20)
        real(fd, data)

    monkeypatch.setattr(journal, "_write_all", slow)
    notices: list[str] = []
    with Store(options(tmp_path, queue_events=300), notify=notices.append) as store:
        for seed in range(10):
            store.append(random_batch(seed, 100, Symbols(), first=seed * 10**6))
        hold.set()
        store.flush()
        adds_up(store)
        assert store.counters.queue_full >= 600
        assert "the disk does not keep up" in notices[0]


def test_a_disk_that_fails_is_told_and_the_store_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = journal._write_all, [True]

    def failing(fd: int, data: list[bytes]) -> None:
        if broken[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd, data)

    monkeypatch.setattr(journal, "_write_all", failing)
    with Store(options(tmp_path)) as store:
        store.append(random_batch(0, 100, Symbols()))
        store.flush()
        broken[0] = False
        after = random_batch(1, 100, Symbols(), first=10**6)
        store.append(after)
        store.flush()
        adds_up(store)
        assert store.counters.failed == 100
        assert store.problems
    assert kept(History(tmp_path)) == as_rows([after])


def test_a_clock_of_events_that_jumps_both_ways_loses_nothing(tmp_path: Path) -> None:
    symbols = Symbols()
    given = [
        random_batch(seed, 100, symbols, first=first)
        for seed, first in enumerate([10**12, 5, 2**62, 10**6, 2**61, 0, 10**12])
    ]
    with Store(options(tmp_path), background=False) as store:
        for batch in given:
            store.append(batch)
            store.tick()
    assert kept(History(tmp_path)) == as_rows(given)
    time_ = np.concatenate([batch["time"] for _, batch in History(tmp_path).replay()])
    assert (time_[1:] >= time_[:-1]).all()


def test_what_is_given_up_during_a_merge_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def meanwhile(folder: Path, group: list[Entry]) -> Entry:
        merged = merge(folder, group)
        store._catalogue.drop_oldest()
        return merged

    with Store(options(tmp_path, merge=3), background=False) as store:
        for seed in range(3):
            store.append(random_batch(seed, 200, Symbols(), first=seed * 10**6))
        monkeypatch.setattr(keep, "merge", meanwhile)
        store.keep()
        assert store.counters.merges == 0
        assert store.counters.damaged == 0
    assert len(kept(History(tmp_path))) == 400


def test_a_segment_that_goes_while_it_is_merged_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def meanwhile(folder: Path, group: list[Entry]) -> Entry:
        store._catalogue.drop_oldest()
        return merge(folder, group)

    with Store(options(tmp_path, merge=3), background=False) as store:
        for seed in range(3):
            store.append(random_batch(seed, 200, Symbols(), first=seed * 10**6))
        monkeypatch.setattr(keep, "merge", meanwhile)
        store.keep()
        assert store.counters.damaged == 0
        assert not store.problems
    assert len(kept(History(tmp_path))) == 400


def test_a_listing_is_replaced_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path, [])
    before = read_listing(tmp_path)
    (tmp_path / "catalogue.json.new").write_text("{")  # a crash in the middle of writing it
    assert read_listing(tmp_path) == before
    Store(options(tmp_path), background=False).close()
    assert [one.name for one in read_listing(tmp_path).segments] == [one.name for one in before.segments]
