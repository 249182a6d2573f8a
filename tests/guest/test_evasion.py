"""The catalogue of evasions, tried on every kernel in every variant: what is closed is denied by its rule.

The same cases, by program of the object: each lets something pass, and the same is denied by its rule.
`tests/unit/test_hook_cases.py` fails for a program that has none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from tests.guest import hook_cases
from tests.guest.evasion import cases, judge
from tests.guest.evasion.stage import Played, Stage
from tests.guest.guest import Guest

CHOSEN = os.environ.get("MENSHEN_EVASION", "")
VARIANTS = CHOSEN.split(",") if CHOSEN else cases.VARIANTS
"""To try some only, by hand."""

HOOKS = sorted({case.hook for case in hook_cases.closed()})

pytestmark = pytest.mark.timeout(900)  # the first test plays them all


@dataclass(frozen=True)
class Outcome:
    """What became of the whole catalogue on one kernel."""

    stage: Stage
    played: list[Played]

    def problems(self, wanted: list[Played]) -> list[str]:
        """Of some, what did not end as the catalogue says."""
        return [
            f"{one.variant:9} {one.case.id} ({one.case.hook}, {one.case.denial_in(one.variant)}): {told}"
            for one in wanted
            if (told := judge.problem(one, self.stage.evaluator))
        ]


def release_of(guest: Guest) -> tuple[int, int]:
    """6.12 as (6, 12)."""
    major, minor = guest.kernel.release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


@pytest.fixture(scope="module")
def outcome(module_guest: Guest) -> Outcome:
    """A guest with the gate loaded, on which every case was played."""
    release = release_of(module_guest)
    every = list(cases.cases())
    stage = Stage(module_guest, every)
    stage.prepare()
    wanted = [(case, variant) for variant in VARIANTS for case in every if case.exists(variant, release)]
    return Outcome(stage, stage.play(wanted))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_case_ends_as_the_catalogue_says(outcome: Outcome, variant: str) -> None:
    wanted = [one for one in outcome.played if one.variant == variant]
    problems = outcome.problems(wanted)
    still_open = sum(one.case.is_open(variant) for one in wanted)
    print(f"{variant}: {len(wanted)} cases, {still_open} open, {len(problems)} wrong")
    assert wanted
    assert not problems, f"{len(problems)} of {len(wanted)}\n" + "\n".join(problems)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_program_allows_and_denies_by_the_rule(outcome: Outcome, hook: str) -> None:
    own = [
        one
        for one in outcome.played
        if one.case.hook == hook and not one.case.open and one.variant == hook_cases.variant_of(one.case)
    ]
    if not own:
        assert CHOSEN or hook in hook_cases.SINCE, "no case of it exists on this kernel"
        pytest.skip("this kernel has no such call, or its variant is not tried")
    problems = outcome.problems(own)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("program", hook_cases.LIFE)
def test_the_gates_own_program_does_what_it_is_for(outcome: Outcome, program: str) -> None:
    assert outcome.stage.life[program] == ["denied", "allowed"]
