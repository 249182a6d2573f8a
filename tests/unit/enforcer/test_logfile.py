"""Logs: bounded, whole lines, and a full disk is a count and not an end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from enforcer.serving.logfile import AuditLog, RotatingLog, newest_first


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_rotation_keeps_the_newest_in_bounded_space(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = RotatingLog(path, limit=200, keep=3)
    for number in range(100):
        log.write([{"id": number}])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert sum(one.stat().st_size for one in files) <= 4 * 200
    newest = [line["id"] for line in newest_first(path, 3)]
    assert newest == sorted(newest, reverse=True)
    assert newest[0] == 99


def test_one_large_write_is_rotated_too(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log", limit=200, keep=2)
    log.write({"id": number} for number in range(40))
    assert (tmp_path / "log").stat().st_size <= 200
    assert next(newest_first(tmp_path / "log", 2))["id"] == 39


def test_writing_goes_on_after_a_restart(tmp_path: Path) -> None:
    for number in range(2):
        log = RotatingLog(tmp_path / "log", limit=1000, keep=1)
        log.write([{"id": number}])
        log.close()
    assert numbers(tmp_path / "log") == [0, 1]


def test_a_log_that_cannot_be_written_counts_its_losses(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "missing" / "log", limit=1000, keep=1)
    log.write([{"id": 1}, {"id": 2}])
    assert log.lost == 2
    (tmp_path / "missing").mkdir()
    log.write([{"id": 3}])
    assert (log.lost, numbers(tmp_path / "missing" / "log")) == (2, [3])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_counts(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log", limit=1000, keep=1)
    log._handle = os.open("/dev/full", os.O_WRONLY)
    log.write([{"id": 1}])
    assert log.lost == 1


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"id": 1}\n{"id": 2}\n{"id": 3, "pa')
    assert [line["id"] for line in newest_first(tmp_path / "log", 1)] == [2, 1]


def test_hostile_strings_stay_on_their_line(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log", limit=10_000, keep=1)
    log.write([{"path": 'a\n{"id": 9}\x1b[2J\u2028\udcff'}])
    content = (tmp_path / "log").read_bytes()
    assert content.count(b"\n") == 1
    assert content.isascii()


def test_an_audit_line_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        AuditLog(tmp_path / "missing" / "log").write({"action": "off"})
