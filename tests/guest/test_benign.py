"""What a host does all day: no verdict blocks any of it, and what the rules say of it is counted."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import pytest
from rich.console import Console
from rich.table import Table

from detect.sequences.library import shipped
from tests.guest.corpus import acting, blocking
from tests.guest.corpus.benign import ACTIVITIES, FURNISH
from tests.guest.guest import Guest

ROUNDS = int(os.environ.get("MENSHEN_BENIGN_ROUNDS", "1"))
"""After the first, from which the sequence is certified."""

COUNT = "SELECT count(*) AS events, (max(boottime) - min(boottime)) / 3.6e12 AS hours FROM events"

pytestmark = pytest.mark.skipif(
    not os.environ.get("MENSHEN_NIGHTLY"), reason="takes a quarter of an hour a kernel: MENSHEN_NIGHTLY=1"
)


@dataclass(frozen=True)
class Seen:
    """What there was, and what was said of it."""

    events: int
    hours: float
    alerts: Counter[tuple[str, str]]
    """By level and name."""
    denied: int
    certified: str


@pytest.fixture(scope="module")
def seen(module_guest: Guest, kernel: str) -> Seen:
    """A round as the history; the sequence set to block; then the others."""
    module_guest.run(FURNISH, timeout=300)
    acting.start(module_guest)
    act(module_guest, 0)
    known = {name for level, name in alerts(module_guest) if level in acting.GRAVE}
    certified = blocking.block(module_guest, known)
    for number in range(ROUNDS):
        act(module_guest, number + 1)
    (counted,) = acting.lines(module_guest, f'menshen hunt -o json "{COUNT}"')
    denied = len(blocking.denied(module_guest))
    found = Seen(int(counted["events"]), float(counted["hours"]), alerts(module_guest), denied, certified)
    show(kernel, found)
    return found


def act(guest: Guest, turn: int) -> None:
    numbers = range(turn * len(ACTIVITIES), (turn + 1) * len(ACTIVITIES))
    for number, script in zip(numbers, ACTIVITIES.values(), strict=True):
        done = acting.run(guest, number, script, seconds=400)
        assert done.status == 0, (script, done.stdout[-600:], done.stderr[-600:])
    acting.settle(guest, numbers[-1])


def alerts(guest: Guest) -> Counter[tuple[str, str]]:
    """Those that no twin of an attack gave."""
    return Counter((one["level"], one["name"]) for one in acting.lines(guest, "menshen alerts -o json -n 0"))


def show(kernel: str, found: Seen) -> None:
    """The table of false alerts, and the sentence."""
    table = Table(
        "level", "rule or sequence", "alerts", title=f"alerts of a benign host on {kernel}", width=100
    )
    for (level, name), count in found.alerts.most_common():
        table.add_row(level, name, str(count))
    Console(width=100).print(table)
    print(f"{kernel}: {found.denied} blocking verdicts in {found.events} events over {found.hours:.3f} hours")


def test_the_sequence_is_certified_by_the_first_round_and_set_to_block(seen: Seen) -> None:
    assert f"{blocking.SEQUENCE} may block" in seen.certified


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_verdict_blocks_any_of_it(seen: Seen) -> None:
    assert seen.events > 5000, "too little to say anything"
    assert seen.denied == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_sequence_comes_true(seen: Seen) -> None:
    assert {name for _, name in seen.alerts} & {each.name for each in shipped()} == set()
