"""What is shipped is in force; what a host adds comes to it, or is refused as a whole and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf_lsm.observation import Type
from enforcer.watch import detections
from enforcer.watch.settings import WatchSettings
from tests.unit.detect.library_cases import CASES

RULE = """\
title: A test
name: of-this-host
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image: /opt/odd}
  condition: selection
level: low
"""


def settings(folder: Path, text: str = RULE) -> WatchSettings:
    (folder / "rules").mkdir()
    (folder / "rules/own.yml").write_text(text)
    return WatchSettings(rules=(str(folder / "rules"),), sequences=())


def test_the_rules_of_a_host_come_to_those_that_are_shipped(tmp_path: Path) -> None:
    found = detections.load(settings(tmp_path))
    names = {each.name for each in found.rules}
    assert "of-this-host" in names
    assert len(names) > 40
    assert not found.problems
    assert {each.name for each in found.shown() if each.kind == "rule"} == names


def test_a_faulty_rule_of_a_host_leaves_what_is_shipped_in_force_and_says_where(tmp_path: Path) -> None:
    found = detections.load(settings(tmp_path, RULE.replace("Image", "Imege")))
    assert "of-this-host" not in {each.name for each in found.rules}
    assert len(found.rules) > 40
    (problem,) = found.problems
    assert "own.yml:5:" in problem


def watched(path: bytes, reads: set[bytes]) -> bool:
    """What the kernel programs do with an entry."""
    folder, _, name = path.rpartition(b"/")
    inner = folder.rpartition(b"/")[2] + b"/"
    return bool({path, name, folder + b"/", inner} & reads)


READING = sorted(
    name for name, cases in CASES.items() if all(each["type"] == Type.FILE_OPEN for each in cases[0])
)


@pytest.mark.parametrize("name", READING)
def test_what_a_shipped_rule_about_reading_matches_is_watched_for_reading(name: str) -> None:
    reads = set(detections.read_list(detections.SHIPPED / "reads.txt"))
    assert any(watched(each["path"], reads) for each in CASES[name][0])


def test_there_are_rules_about_reading() -> None:
    assert len(READING) > 8
