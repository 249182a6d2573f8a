"""The kernel programs and the evaluator give the same verdict and the same rule for every access.

Random policies, random accesses as several identities, on a real kernel: what a call returned and every event
that it made are held against what the evaluator says of the same image. The seed is printed;
MENSHEN_AGREEMENT_SEED plays one again, MENSHEN_AGREEMENT_ACCESSES says how many accesses at least.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.guest.agreement import match, world
from tests.guest.agreement.stage import Stage
from tests.guest.guest import Guest

SEED = os.environ.get("MENSHEN_AGREEMENT_SEED") or str(random.SystemRandom().randrange(1 << 32))
ACCESSES = int(os.environ.get("MENSHEN_AGREEMENT_ACCESSES", "10000"))
AT_ONCE = 10
"""Rounds of one run of the actors."""


@pytest.fixture(scope="module")
def stage(module_guest: Guest) -> Stage:
    """Actors on a guest, the gate loaded."""
    stage = Stage(module_guest, world.ACTORS, world.tools(), world.ROOT.decode())
    stage.prepare()
    module_guest.snapshot(match.PREPARED)
    return stage


@pytest.mark.slow
@pytest.mark.timeout(1200 + ACCESSES // 15)
def test_the_kernel_and_the_evaluator_agree(stage: Stage, kernel: str) -> None:
    print(f"MENSHEN_AGREEMENT_SEED={SEED}")
    began, number = time.monotonic(), 0
    judged = denied = reported = 0
    while judged < ACCESSES:
        matches = [match.make(f"{SEED}/{number + at}") for at in range(AT_ONCE)]
        number += AT_ONCE
        for one, found in zip(matches, match.play(stage, matches), strict=True):
            judged, denied, reported = judged + found.judged, denied + found.denied, reported + found.reported
            if found.differences:
                small, difference = match.shrink(stage, one, found.differences[0])
                more = len(found.differences) - 1
                pytest.fail(
                    f"seed {SEED}, round {one.seed}, kernel {kernel}, {len(small.accesses)} accesses\n"
                    f"{difference}\n({more} more differences in this round)\n{small.text}"
                )
    print(
        f"{kernel}: {judged} accesses, {denied} denied, {reported - denied} only reported, "
        f"{time.monotonic() - began:.0f} s"
    )
    assert denied > judged / 20
    assert judged - reported > judged / 20
