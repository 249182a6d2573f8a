"""The pins' mount is put back where it was, as often as somebody takes it away."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enforcer.agent.keeper import Keeper


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A bpffs with something in it."""
    place = tmp_path / "bpf"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    (place / "menshen").mkdir()
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_a_mount_that_is_taken_away_is_back_at_once_and_it_is_said(place: Path) -> None:
    said: list[str] = []
    Keeper(place, said.append).start()
    for times in (1, 2, 3):
        subprocess.run(["umount", "-l", place], check=True)
        assert within(5, lambda times=times: len(said) == times)  # type: ignore[misc]
        assert (place / "menshen").is_dir()
    assert said[0] == f"{place} was unmounted, which takes tampering: it is mounted again"


def test_where_its_place_is_gone_too_it_is_put_back_when_that_is_there_again(place: Path) -> None:
    said: list[str] = []
    keeper = Keeper(place, said.append)
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()
    assert not keeper.check()
    place.mkdir()
    assert keeper.check()
    assert (place / "menshen").is_dir()
    assert not keeper.check()
