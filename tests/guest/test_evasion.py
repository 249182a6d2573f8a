"""The catalogue of evasions, tried on every kernel in every variant: what is closed is denied by its rule."""

from __future__ import annotations

import os

import pytest

from tests.guest.evasion import cases, judge
from tests.guest.evasion.stage import Played, Stage
from tests.guest.guest import Guest

pytestmark = pytest.mark.skipif(
    not os.environ.get("MENSHEN_EVASION"),
    reason="in progress: not yet seen to pass on every kernel; MENSHEN_EVASION=all runs it",
)
ONLY = os.environ.get("MENSHEN_EVASION", "")
"""Variants to try, or `all`."""


def release_of(guest: Guest) -> tuple[int, int]:
    """6.12 as (6, 12)."""
    major, minor = guest.kernel.release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


@pytest.mark.timeout(900)
def test_every_case_ends_as_the_catalogue_says(module_guest: Guest) -> None:
    release = release_of(module_guest)
    variants = cases.VARIANTS if ONLY == "all" else ONLY.split(",")
    wanted = [
        (case, variant) for variant in variants for case in cases.cases() if case.exists(variant, release)
    ]
    stage = Stage(module_guest, list(cases.cases()))
    stage.prepare()
    played = stage.play(wanted)
    problems = [
        f"{one.variant:9} {one.case.id} ({one.case.hook}, {one.case.denial}): {told}"
        for one in played
        if (told := judge.problem(one, stage.evaluator))
    ]
    print(summary(played, problems))
    assert not problems, f"{len(problems)} of {len(played)}\n" + "\n".join(problems)


def summary(played: list[Played], problems: list[str]) -> str:
    """In figures."""
    still_open = sum(one.case.is_open(one.variant) for one in played)
    classes = {one.case.klass for one in played}
    return f"{len(played)} cases in {len(classes)} classes, {still_open} open, {len(problems)} wrong"
