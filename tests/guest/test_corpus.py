"""Attacks of several steps with benign twins: each attack is told of and no twin; what may block blocks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.guest.corpus import acting, blocking
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
    """All stories, acted once on this kernel, after the twins alone, by which a sequence was certified."""
    module_guest.run(FURNISH, timeout=300)
    acting.start(module_guest)
    before = acting.rehearse(module_guest)
    blocking.block(module_guest)
    found = acting.act(module_guest, number=before)
    show(kernel, found)
    return found


def show(kernel: str, found: list[Told]) -> None:
    """The table, and the same for machines."""
    columns = ("attack", "detected by", "blocked", "its twin")
    table = Table(*columns, title=f"attacks and benign twins on {kernel}", width=150)
    for each in found:
        twin = [*sorted(each.false), *(["blocked"] * each.twin_blocked)]
        by = ", ".join(sorted(each.attack)) or "nothing"
        table.add_row(each.story.name, by, "yes" if each.blocked else "", ", ".join(twin))
    Console(width=150).print(table)
    detected, blocked = sum(each.detected for each in found), sum(each.blocked for each in found)
    false = sum(bool(each.false) or each.twin_blocked for each in found)
    print(f"{kernel}: of {len(found)} attacks {detected} detected, {blocked} blocked; {false} twins false")
    RESULT.parent.mkdir(exist_ok=True)
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    kept[kernel] = {
        each.story.name: [sorted(each.attack), each.blocked, sorted(each.false), each.twin_blocked]
        for each in found
    }
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_sequence_that_may_block_blocks_its_attack_and_no_twin(told: list[Told]) -> None:
    assert "a downloaded scanner" in {each.story.name for each in told if each.blocked}
    assert [each.story.name for each in told if each.twin_blocked] == []
