"""The engine finds what the plain search finds, however the stream is parted and a little out of order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf_lsm.observation import Type
from detect.alert import Alert
from detect.sequences import Limits, SequenceEngine, reference
from detect.sequences.automaton import build
from detect.sequences.reference import Event
from detect.symbols import Symbols
from policies.errors import NOWHERE
from policies.sequence import Captured, Key, Sequence, Step
from tests.unit.detect.streams import SECOND, Forked, batch, event, number_at, parts

TAGS = ("a", "b", "c")
PATHS = (b"/tmp/x", b"/tmp/x", b"/tmp/y", b"")
SLACK = SECOND // 20
PARENTS = {1: 0, 2: 1, 3: 2, 4: 1, 5: 3}
"""A small forest of processes, each with its parent."""


@st.composite
def sequences(draw: st.DrawFn, key: Key) -> Sequence:
    """Two to four steps with all that the language has."""
    steps: list[Step] = []
    names: list[str] = []
    length = draw(st.sampled_from((2, 2, 3, 4)))
    for number in range(length):
        absent = 0 < number < length - 1 and draw(st.integers(0, 3)) == 0
        count = 1 if absent else draw(st.sampled_from((1, 1, 1, 1, 2, 3)))
        where: list[tuple[str, Any]] = []
        compared = draw(st.booleans())
        if names and compared:
            where.append(("path", Captured(draw(st.sampled_from(names)))))
        elif draw(st.integers(0, 4)) == 0:
            where.append(("port", draw(st.integers(0, 2))))
        capture: list[tuple[str, str]] = []
        if not absent and draw(st.integers(0, 2)) == 0:
            names.append(f"v{number}")
            capture.append((f"v{number}", "path"))
        steps.append(
            Step(
                place=NOWHERE,
                name=f"step{number}",
                tags=tuple(draw(st.sets(st.sampled_from(TAGS), min_size=1, max_size=2))),
                tag_places=(),
                count=count,
                distinct=draw(st.sampled_from(("", "port"))) if count > 1 else "",
                within=0 if absent else draw(st.sampled_from((0, 0, 2, 4))) * SECOND,
                absent=absent,
                capture=tuple(capture),
                where=tuple(where),
            )
        )
    within = draw(st.sampled_from((3, 6, 100))) * SECOND
    return Sequence(NOWHERE, "s", NOWHERE, "t", "low", (), key, within, tuple(steps))


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Events in order, about a second apart, some at the same time."""
    now, found = 0.0, []
    for number in range(draw(st.integers(0, 16))):
        now += draw(st.sampled_from((0.0, 0.5, 1.0, 1.0, 2.0)))
        process = draw(st.sampled_from(tuple(PARENTS)))
        found.append(
            event(
                now,
                *draw(st.sets(st.sampled_from(TAGS), min_size=1, max_size=2)),
                session=draw(st.sampled_from((1, 1, 1, 1, 2, 0))),
                process=process,
                parent=PARENTS[process],
                path=draw(st.sampled_from(PATHS)),
                port=draw(st.integers(0, 2)),
                inode=draw(st.sampled_from((0, 7, 7, 7, 8))),
                type=draw(st.sampled_from((Type.EXEC, Type.FILE_WRITE, Type.CONNECT, Type.FORK))),
                tid=number,
            )
        )
    return found


def family() -> list[Event]:
    """The forks that made the forest, before all else."""
    return [event(0, process=each, parent=PARENTS[each], type=Type.FORK, tid=99) for each in PARENTS]


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """Processes that fork, execute, do something and end, one event after another."""
    first = Forked(1, number_at(1, 0), 0)
    live, found, now = [first], list[Event](), 1.0
    for pid in range(2, draw(st.integers(10, 60))):
        now += draw(st.sampled_from((0.02, 0.1, 0.5)))
        who = draw(st.sampled_from(live))
        does = draw(st.sampled_from((Type.FORK, Type.FORK, Type.EXEC, Type.EXIT, Type.EXIT, Type.CONNECT)))
        if does == Type.FORK:
            born, child = who.fork(pid, now)
            found.append(born)
            live.append(child)
        elif does != Type.EXIT:
            tags = draw(st.sets(st.sampled_from(TAGS), min_size=1, max_size=2))
            found.append(who.does(does, now, *tags, inode=draw(st.integers(1, 4)), tid=pid))
        elif who is not first:
            found.append(who.does(Type.EXIT, now))
            live.remove(who)
    return found


def alerts(sequence: Sequence, batches: list[Any]) -> list[Alert]:
    """What the engine says to a stream that is parted so."""
    engine = SequenceEngine([sequence], TAGS, Limits(slack=SLACK))
    symbols = Symbols()
    found = [alert for part in batches for alert in engine.feed(*batch(part, TAGS, symbols))]
    return found + engine.drain()


def last_events(found: list[Alert]) -> list[int]:
    """Which events completed them."""
    return [int(alert.chain[-1].event["tid"]) for alert in found]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_engine_finds_what_the_plain_search_finds(data: st.DataObject) -> None:
    sequence = data.draw(st.sampled_from(Key).flatmap(sequences))
    events = family() + data.draw(streams())
    expected = [int(events[match.last].fields["tid"]) for match in reference.find(build(sequence), events)]
    hypothesis.event(f"{min(len(expected), 2)} matches or more")
    assert last_events(alerts(sequence, [events])) == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_parting_into_batches_gives_the_same_alerts(data: st.DataObject) -> None:
    sequence = data.draw(st.sampled_from(Key).flatmap(sequences))
    events = family() + data.draw(streams())
    # Who descends from whom is learnt as it arrives: for that, later than the slack is too late.
    shuffle = sequence.key is Key.SESSION and data.draw(st.booleans())
    shuffled = data.draw(st.permutations(events)) if shuffle else events
    cuts = data.draw(st.sets(st.integers(0, len(events))))
    assert alerts(sequence, parts(shuffled, cuts)) == alerts(sequence, [shuffled])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_events_that_arrive_a_little_out_of_order_make_no_difference(data: st.DataObject) -> None:
    sequence = data.draw(st.sampled_from(Key).flatmap(sequences))
    events = [
        replace(each, time=at * SECOND + each.time // 1000, fields={**each.fields, "tid": at})
        for at, each in enumerate(family() + data.draw(streams()))
    ]
    for each in events:
        each.fields["time"] = each.time  # type: ignore[index]
    delays = data.draw(st.lists(st.integers(0, SLACK), min_size=len(events), max_size=len(events)))
    arrived = [events[at] for at in sorted(range(len(events)), key=lambda at: events[at].time + delays[at])]
    cuts = data.draw(st.sets(st.integers(0, len(events))))
    assert alerts(sequence, parts(arrived, cuts)) == alerts(sequence, [events])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_chain_of_an_alert_is_a_match_by_itself(data: st.DataObject) -> None:
    sequence = data.draw(st.just(Key.SESSION).flatmap(sequences))
    events = data.draw(streams())
    by_number = {int(each.fields["tid"]): each for each in events}
    for alert in alerts(sequence, [events]):
        chain = [by_number[int(link.event["tid"])] for link in alert.chain]
        assert chain == sorted(chain, key=lambda each: each.fields["tid"])
        assert [match.last for match in reference.find(build(sequence), chain)] == [len(chain) - 1]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_while_nobody_is_forgotten_the_bound_of_processes_makes_no_difference(data: st.DataObject) -> None:
    sequence = data.draw(st.sampled_from((Key.TREE, Key.FILE)).flatmap(sequences))
    events = data.draw(lives())
    engine, symbols = SequenceEngine([sequence], TAGS, Limits(slack=SLACK, processes=4)), Symbols()
    cuts = data.draw(st.sets(st.integers(0, len(events))))
    found = [each for part in parts(events, cuts) for each in engine.feed(*batch(part, TAGS, symbols))]
    hypothesis.event(f"forgotten: {engine.counters.processes_forgotten > 0}")
    if engine.counters.processes_forgotten == 0:
        expected = [int(events[m.last].fields["tid"]) for m in reference.find(build(sequence), events)]
        hypothesis.event(f"{min(len(expected), 2)} matches or more")
        assert last_events(found + engine.drain()) == expected
