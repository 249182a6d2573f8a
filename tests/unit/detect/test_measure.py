"""What a sequence would have done in a history, by its tags and as the kernel would follow it."""

from __future__ import annotations

from typing import Any

import pytest

from bpf_lsm.observation import Type
from detect.sequences.library import shipped
from detect.sequences.measure import HOUR, Measured, measure, upper_bound
from detect.sequences.reference import Event
from detect.symbols import Symbols
from policies.sequence import Sequence
from tests.unit.detect.streams import SECOND, batch, event

(STORY,) = (each for each in shipped() if each.name == "download-run-scan")
TAGS = ("temp-write", "temp-made-executable", "exec-from-temp", "script-from-temp", "internal-connect")
TOOL = b"/tmp/tool"


def story(session: int = 7, at: float = 0, ports: tuple[int, ...] = (1, 2, 3)) -> list[Event]:
    """What the sequence is about, as events."""
    address: dict[str, Any] = {"address": bytes([10, 0, 0, 9]).ljust(16, b"\0"), "family": 4, "protocol": 6}
    return [
        event(at + 1, "temp-write", session=session, path=TOOL, type=Type.FILE_WRITE),
        event(at + 2, "temp-made-executable", session=session, path=TOOL, type=Type.FILE_CHMOD),
        event(at + 3, "exec-from-temp", session=session, path=TOOL, exe=TOOL, type=Type.EXEC),
        *(
            event(at + 4 + n, "internal-connect", session=session, port=port, type=Type.CONNECT, **address)
            for n, port in enumerate(ports)
        ),
    ]


def measured(sequence: Sequence, *boots: list[Event]) -> Measured:
    """Boots one after the other, each in two batches."""
    symbols = Symbols()
    history = [
        (f"boot-{number}", *batch(part, TAGS, symbols))
        for number, events in enumerate(boots)
        for part in (events[: len(events) // 2], events[len(events) // 2 :])
    ]
    return measure(sequence, history, TAGS)


def test_a_match_is_found_by_both() -> None:
    found = measured(STORY, story())
    assert (len(found.matches), len(found.blocks), found.found) == (1, 1, 1)
    assert found.blocks[0]["port"] == 3


def test_a_benign_history_has_its_figures() -> None:
    day = [event(hour * 3600, session=1 + hour % 2) for hour in range(25)]
    found = measured(STORY, sorted([*day, *story(ports=(1, 1, 1))], key=lambda each: each.time), day)
    assert found.found == 0
    assert found.events == 25 + 6 + 25
    assert (found.boots, found.sessions) == (2, 5)
    assert found.host_time == 48 * HOUR
    assert found.session_time == (24 + 22 + 24 + 22) * HOUR + 5 * SECOND
    assert found.bound(found.host_time) == pytest.approx(3.0 / 48, rel=0.01)


def test_a_sequence_is_not_joined_across_boots() -> None:
    events = story()
    assert measured(STORY, events[:4], events[4:]).found == 0


def test_the_history_is_named_by_its_events() -> None:
    assert measured(STORY, story()).history == measured(STORY, story()).history
    assert measured(STORY, story()).history != measured(STORY, story(at=1)).history


def test_losses_are_counted_by_boot() -> None:
    lost = [event(n, lost=count) for n, count in enumerate((5, 5, 9, 9))]
    assert measured(STORY, lost, lost).lost == 8


@pytest.mark.parametrize(("matches", "bound"), [(0, 2.9957), (1, 4.7439), (2, 6.2958), (10, 16.9622)])
def test_the_bound_is_the_exact_poisson_one(matches: int, bound: float) -> None:
    assert upper_bound(matches) == pytest.approx(bound, abs=1e-3)
