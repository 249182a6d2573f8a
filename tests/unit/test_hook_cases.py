"""Every program of the object has its allowed and its denied case in the guest."""

from __future__ import annotations

from pathlib import Path

from tests.guest import hook_cases

ROOT = Path(__file__).resolve().parents[2]


def test_every_program_is_named_by_a_case_or_says_where_it_is_tried() -> None:
    programs = hook_cases.programs()
    assert len(programs) > 60
    without = {name for name, cases in hook_cases.answering(programs).items() if not cases}
    assert without == {*hook_cases.LIFE, *hook_cases.ELSEWHERE}


def test_no_case_names_a_program_that_is_gone() -> None:
    assert {case.hook for case in hook_cases.closed()} <= hook_cases.programs()
    assert set(hook_cases.ELSEWHERE) <= hook_cases.programs()
    assert all((ROOT / path).exists() for path in hook_cases.ELSEWHERE.values())
