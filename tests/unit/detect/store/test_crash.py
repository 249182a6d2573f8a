"""Whatever ends the watch in the middle, what was written before is there, and the store says what is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.store import journal
from detect.store.entry import ENTRY, FILE, journals
from detect.store.history import History, StoreError
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.symbols import Symbols
from tests.unit.detect.store.host import as_rows, kept, random_batch

WRITER = """
import sys
from pathlib import Path
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.symbols import Symbols
from tests.unit.detect.store.host import random_batch
symbols = Symbols()
store = Store(StoreSettings(folder=Path(sys.argv[1]), min_free=0, seal_events=2000, merge=3))
for number in range(100_000):
    store.append(random_batch(number, 200, symbols, first=number * 1_000_000))
    store.flush()
    print(number, flush=True)
"""


Three = tuple[bytes, list[int], list[list[tuple[object, ...]]]]


def options(folder: Path, seal_events: int = 10**6) -> StoreSettings:
    return StoreSettings(folder=folder, min_free=0, seal_events=seal_events, merge=3)


@pytest.mark.parametrize("after", [3, 17, 41])
def test_kill_9_loses_nothing_that_was_flushed(tmp_path: Path, after: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        done = -1
        while done < after:
            done = int(writer.stdout.readline())
        time.sleep(0.02 * (after % 5))
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    done = int(rest[-1]) if rest else done
    symbols = Symbols()
    flushed = [random_batch(number, 200, symbols, first=number * 1_000_000) for number in range(done + 1)]
    notices: list[str] = []
    for _ in range(2):  # before and after recovery
        found = kept(History(tmp_path))
        assert len(found) % 200 == 0
        assert set(as_rows(flushed)) <= set(found)
        with Store(options(tmp_path), notify=notices.append):
            pass
    assert journals(tmp_path) == {}


def written(folder: Path) -> Three:
    """A journal of three records: its bytes, where each ends, and what is in it up to there."""
    symbols = Symbols()
    given = [random_batch(seed, 3, symbols, first=seed * 10**6) for seed in range(3)]
    store = Store(options(folder), background=False)
    ends = []
    for batch in given:
        store.append(batch)
        [path] = journals(folder).values()
        ends.append(path.stat().st_size)
    return path.read_bytes(), ends, [as_rows(given[:number]) for number in range(4)]


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory,
) -> Three:
    return written(tmp_path_factory.mktemp("three"))


def test_a_journal_that_is_torn_at_any_byte_keeps_the_records_before(
    three: Three,
) -> None:
    data, ends, _ = three
    for cut in range(len(data) + 1):
        content = journal.decode(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert len(content.events) == whole
        assert content.torn == cut - (
            ends[whole - 1] if whole else min(cut, journal.HEADER.size) * (cut >= 24)
        )


@settings(max_examples=300)
@given(st.data())
def test_a_journal_that_is_altered_anywhere_keeps_the_records_before(
    three: Three, data: st.DataObject
) -> None:
    whole, ends, _ = three
    at = data.draw(st.integers(journal.HEADER.size, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    altered = bytearray(whole)
    altered[at] ^= 1 << bit
    content = journal.decode(bytes(altered) + data.draw(st.binary(max_size=40)))
    assert len(content.events) == sum(end <= at for end in ends)


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader_of_journals(data: bytes) -> None:
    content = journal.decode(journal.HEADER.pack(journal.MAGIC, bytes(16)) + data)
    assert content.size + content.torn == journal.HEADER.size + len(data)


@pytest.mark.parametrize("cut", [5, 24, 100, -1])
def test_the_store_begins_again_after_a_torn_journal_and_says_so(tmp_path: Path, cut: int) -> None:
    data, ends, rows = written(tmp_path / "before")
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "000007.journal").write_bytes(data[:cut])
    notices: list[str] = []
    store = Store(options(folder), notify=notices.append, background=False)
    records = sum(end <= len(data[:cut]) for end in ends)
    expected = rows[records]
    assert kept(History(folder)) == expected
    assert [("in the middle of a record" in text) for text in notices] == [True] * (cut != 24)
    assert store.counters.torn_bytes == len(data[:cut]) - (ends[records - 1] if records else 24 * (cut >= 24))
    more = random_batch(9, 5, Symbols(), first=10**9)
    store.append(more)
    assert journals(folder).keys() == {8}
    store.close()
    assert kept(History(folder)) == sorted([*expected, *as_rows([more])])


def test_a_journal_that_is_none_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "000003.journal").write_bytes(b"something else entirely, from elsewhere")
    notices: list[str] = []
    Store(options(tmp_path), notify=notices.append, background=False).close()
    assert (tmp_path / "damaged/000003.journal").exists()
    assert "moved to damaged/" in notices[0]


def filled(folder: Path) -> list[tuple[object, ...]]:
    """A store of three segments, and all that is in it."""
    symbols = Symbols()
    given = [random_batch(seed, 400, symbols, first=seed * 10**6) for seed in range(3)]
    with Store(StoreSettings(folder=folder, min_free=0, seal_events=1), background=False) as store:
        for batch in given:
            store.append(batch)
    return as_rows(given)


@pytest.mark.parametrize("table", ["events", "contexts", "acts", "sessions"])
@pytest.mark.parametrize("harm", ["empty", "short", "zeros", "flipped", "gone"])
def test_a_damaged_segment_is_left_out_by_readers_and_set_aside_by_the_store(
    tmp_path: Path, table: str, harm: str
) -> None:
    filled(tmp_path)
    path = tmp_path / "000002-000002" / f"{table}.parquet"
    data = path.read_bytes()
    middle = len(data) // 3
    bad = {
        "empty": b"",
        "short": data[: len(data) // 2],
        "zeros": bytes(len(data)),
        "flipped": data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :],
    }
    path.unlink()
    if harm in bad:
        path.write_bytes(bad[harm])
    history = History(tmp_path)
    found = sum(len(batch) for _, batch in history.replay())
    assert found == 800
    assert "000002-000002 (400 events)" in history.skipped[0]
    notices: list[str] = []
    with Store(StoreSettings(folder=tmp_path, min_free=0, merge=3), notify=notices.append) as store:
        store.keep()
        assert store.counters.damaged == 400
    assert any("000002-000002" in text for text in notices)
    assert (tmp_path / "damaged/000002-000002").is_dir()
    after = History(tmp_path)
    assert sum(len(batch) for _, batch in after.replay()) == 800
    assert after.skipped == []


@pytest.mark.parametrize("harm", ["{", "[]", '{"segments": 5}', '{"segments": [{"name": "../x"}]}', ""])
def test_a_list_that_cannot_be_read_is_made_again_from_the_segments(tmp_path: Path, harm: str) -> None:
    expected = filled(tmp_path)
    (tmp_path / FILE).write_text(harm)
    with pytest.raises(StoreError):
        History(tmp_path)
    notices: list[str] = []
    Store(options(tmp_path), notify=notices.append, background=False).close()
    assert "was made again" in notices[0]
    assert kept(History(tmp_path)) == expected


def test_an_entry_that_cannot_be_read_costs_its_segment_only(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / FILE).write_text("")
    (tmp_path / "000001-000001" / ENTRY).write_text("{}")
    Store(options(tmp_path), background=False).close()
    assert len(kept(History(tmp_path))) == 800
    assert (tmp_path / "damaged/000001-000001").is_dir()


def test_what_a_crash_left_half_done_is_cleared_away(tmp_path: Path) -> None:
    expected = filled(tmp_path)
    half = tmp_path / "000009-000009.new"
    half.mkdir()
    (half / "events.parquet").write_bytes(b"PAR1")
    unlisted = tmp_path / "000010-000010"
    unlisted.mkdir()
    Store(options(tmp_path), background=False).close()
    assert not half.exists()
    assert not unlisted.exists()
    assert kept(History(tmp_path)) == expected


def test_a_journal_that_was_sealed_before_the_crash_is_not_kept_twice(tmp_path: Path) -> None:
    symbols = Symbols()
    batch = random_batch(1, 50, symbols)
    store = Store(options(tmp_path), background=False)
    store.append(batch)
    [path] = journals(tmp_path).values()
    data = path.read_bytes()
    store.close()
    path.write_bytes(data)
    assert kept(History(tmp_path)) == as_rows([batch])
    Store(options(tmp_path), background=False).close()
    assert not path.exists()
    assert kept(History(tmp_path)) == as_rows([batch])
