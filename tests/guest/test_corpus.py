"""Attacks of several steps with benign twins: each attack is told of, and no twin is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.guest.corpus import acting
from tests.guest.corpus.acting import Told
from tests.guest.corpus.stories import STORIES
from tests.guest.corpus.world import FURNISH
from tests.guest.guest import Guest

RESULT = Path("build/corpus.json")

pytestmark = pytest.mark.skipif(
    not os.environ.get("MENSHEN_NIGHTLY"), reason="takes three minutes a kernel: MENSHEN_NIGHTLY=1"
)


@pytest.fixture(scope="module")
def told(module_guest: Guest, kernel: str) -> list[Told]:
    """All stories, acted once on this kernel."""
    module_guest.run(FURNISH, timeout=300)
    acting.start(module_guest)
    found = acting.act(module_guest)
    show(kernel, found)
    return found


def show(kernel: str, found: list[Told]) -> None:
    """The table, and the same for machines."""
    table = Table("attack", "told by", "its twin", title=f"attacks and benign twins on {kernel}", width=150)
    for each in found:
        table.add_row(each.story.name, ", ".join(sorted(each.attack)) or "nothing", ", ".join(each.false))
    Console(width=150).print(table)
    detected = sum(each.detected for each in found)
    print(f"{kernel}: {detected} of {len(found)} attacks detected, {sum(bool(e.false) for e in found)} false")
    RESULT.parent.mkdir(exist_ok=True)
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    kept[kernel] = {each.story.name: [sorted(each.attack), sorted(each.false)] for each in found}
    RESULT.write_text(json.dumps(kept, indent=1))


def test_there_are_twenty_stories_with_names_of_their_own() -> None:
    assert len({story.name for story in STORIES}) == len(STORIES) >= 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_attack_is_told_of(told: list[Told]) -> None:
    assert [each.story.name for each in told if not each.detected] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_benign_twin_is_told_of(told: list[Told]) -> None:
    assert {each.story.name: sorted(each.false) for each in told if each.false} == {}
