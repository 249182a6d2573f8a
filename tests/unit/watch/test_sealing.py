"""Sealing and merging in another process: the same history, whatever becomes of that process."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from detect.batch import Batch
from detect.store import seal
from detect.store.entry import journals
from detect.store.history import History
from detect.store.seal import Sealed
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.symbols import Symbols
from enforcer.watch import sealing as sealing_module
from enforcer.watch.sealing import Sealing
from tests.unit.detect.store.host import as_rows, kept, random_batch

BATCHES = 12


@pytest.fixture
def sealing() -> Iterator[Sealing]:
    found = Sealing()
    found.start()
    yield found
    found.stop()


def batches() -> list[Batch]:
    symbols = Symbols()
    return [random_batch(number, 200, symbols, first=number * 1_000_000) for number in range(BATCHES)]


def fill(folder: Path, sealing: Sealing, *, background: bool = True) -> list[str]:
    """A store of some batches, sealed after every two of them and merged; what it had to say."""
    notices: list[str] = []
    settings = StoreSettings(folder=folder, min_free=0, seal_events=400, merge=3)
    with Store(settings, notify=notices.append, background=background, apart=sealing) as store:
        for batch in batches():
            store.append(batch)
            if not background:
                store.tick()
        store.flush()
        assert store.events == BATCHES * 200
    return notices


@pytest.mark.parametrize("background", [False, True])
def test_what_is_sealed_and_merged_apart_is_what_was_given(
    tmp_path: Path, sealing: Sealing, background: bool
) -> None:
    assert fill(tmp_path, sealing, background=background) == []
    assert journals(tmp_path) == {}
    assert sorted(kept(History(tmp_path))) == as_rows(batches())
    if not background:
        assert len(History(tmp_path).snapshot.listing.segments) < BATCHES // 2


seal_file = seal.seal_file


def killed_once(folder: Path, number: int, path: Path, age_mark: int) -> Sealed:
    """As seal_file, but its first caller is killed in the end: the segment is there, and nobody is told."""
    found = seal_file(folder, number, path, age_mark)
    try:
        (folder.parent / "was-killed").touch(exist_ok=False)
    except FileExistsError:
        return found
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_one_that_is_killed_in_the_middle_loses_nothing(
    tmp_path: Path, sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "seal_file", killed_once)
    (notice,) = fill(tmp_path / "store", sealing, background=False)
    assert "stays unsealed: the process that seals gave no answer" in notice
    assert journals(tmp_path / "store") == {}
    assert sorted(kept(History(tmp_path / "store"))) == as_rows(batches())


def test_a_store_whose_helper_is_gone_keeps_its_journals(tmp_path: Path, sealing: Sealing) -> None:
    sealing.stop()
    notices = fill(tmp_path, sealing, background=False)
    assert notices
    assert all("stays unsealed" in notice for notice in notices)
    assert len(journals(tmp_path)) == BATCHES // 2
    assert sorted(kept(History(tmp_path))) == as_rows(batches())


def test_a_torn_journal_is_cut_and_told(tmp_path: Path, sealing: Sealing) -> None:
    fill(tmp_path, Sealing(), background=False)  # without a helper: nothing is sealed
    torn = min(journals(tmp_path).values())
    torn.write_bytes(torn.read_bytes()[:-100])
    notices: list[str] = []
    with Store(StoreSettings(folder=tmp_path, min_free=0), notify=notices.append, apart=sealing) as store:
        assert store.counters.torn_bytes > 0
    assert "ended in the middle of a record" in notices[0]
    assert len(kept(History(tmp_path))) == (BATCHES - 1) * 200


def test_what_is_no_journal_is_put_aside(tmp_path: Path, sealing: Sealing) -> None:
    (tmp_path / "000007.journal").write_bytes(b"x" * 100)
    notices: list[str] = []
    with Store(StoreSettings(folder=tmp_path, min_free=0), notify=notices.append, apart=sealing):
        pass
    assert "000007.journal cannot be read and was moved to" in notices[0]


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ForeignError(Exception):
    """A library's, which cannot be pickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def foreign() -> None:
    raise ForeignError(1, 2)


def test_errors_come_back_as_what_the_store_can_judge(sealing: Sealing) -> None:
    with pytest.raises(OSError, match="No space left") as said:
        sealing(full)
    assert said.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="ForeignError: 1 and 2"):
        sealing(foreign)
    with pytest.raises(OSError, match="gave no answer") as gone:
        sealing(os._exit, 1)
    assert gone.value.errno == errno.ECHILD
    assert sealing(os.getppid) == sealing._helper.pid


def test_a_worker_that_waited_too_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing_module, "IDLE", 0.05)
    found = Sealing()
    found.start()
    try:
        first = found(os.getpid)
        (worker,) = found._idle
        assert worker.poll(5), "it did not end"
        assert found(os.getpid) != first
    finally:
        found.stop()
