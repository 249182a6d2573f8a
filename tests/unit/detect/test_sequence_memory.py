"""What the engine of sequences remembers by itself: events on the shelf, and who descends from whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest

from bpf_lsm.observation import Type
from detect.sequences import Counters, Limits, SequenceEngine, reference
from detect.sequences.automaton import build
from detect.sequences.events import ROW, Rows
from detect.sequences.lineage import DEEPEST, Lineage
from detect.sequences.order import raw
from detect.sequences.reference import Event
from detect.sequences.shelf import CHUNK, SPARE, Shelf
from detect.symbols import Symbols
from policies import parse_text
from tests.unit.detect.streams import Forked, batch, event, number_at
from tests.unit.detect.test_sequences import TAGS, written


def rows(first: int, count: int, *tables: Symbols) -> Rows:
    """Events with the even serial numbers from `first` on, each a second after the one before."""
    serial = np.arange(first, first + 2 * count, 2)
    row = np.zeros(count, ROW)
    row["pid"] = serial
    return Rows(serial, serial * 10, row.view(raw(ROW)), tables, np.arange(count) % len(tables))


def test_the_shelf_gives_back_what_was_put_there_whatever_else_is_let_go() -> None:
    shelf, tables = Shelf(), [Symbols() for _ in range(3)]
    parts = [
        rows(0, 10, tables[0]),
        rows(20, CHUNK, tables[1], tables[2]),
        rows(9000, 5, tables[0]),
        rows(9100, 3, tables[2]),
    ]
    for part in parts:
        shelf.put(part)
    kept = np.array([2, 18, 20, 4000, 4002, 20 + 2 * CHUNK - 2, 9008, 9100, 9102])
    for _ in range(2):
        shelf.retain(kept)
        for serial in kept.tolist():
            part = next(each for each in reversed(parts) if each.serial[0] <= serial)
            time, found = shelf.get(serial)
            assert time == serial * 10
            assert np.frombuffer(found.row, ROW)["pid"] == serial
            assert found.symbols is part.tables[(serial - int(part.serial[0])) // 2 % len(part.tables)]
    assert [shelf.since(time) for time in (0, 21, 181, 91_020, 91_021)] == [2, 18, 20, 9102, float("inf")]


def test_the_shelf_is_crowded_by_what_nobody_needs() -> None:
    shelf = Shelf()
    shelf.put(rows(0, SPARE + 15, Symbols()))
    assert not shelf.crowded(10)
    assert shelf.crowded(9)
    shelf.retain(np.empty(0, np.int64))
    assert not shelf.crowded(0)


def test_first_steps_are_remembered_through_any_number_of_later_ones() -> None:
    watch = SequenceEngine(
        parse_text(written("- {name: a, tag: write}\n- {name: b, tag: run}")).sequences, TAGS
    )
    symbols, flood = Symbols(), 3 * SPARE
    watch.feed(*batch([event(1, "write", session=7, tid=70, type=Type.FILE_WRITE)], TAGS, symbols))
    for first in range(0, flood, 4096):
        many = [event(2 + at / flood, "write", session=8) for at in range(first, first + 4096)]
        assert not watch.feed(*batch(many, TAGS, symbols))
    last = [event(4, "run", session=7), event(4, "run", session=8)]
    found = {alert.session: alert for alert in watch.feed(*batch(last, TAGS, symbols)) + watch.drain()}
    assert found[7].chain[0].event["tid"] == 70
    assert 2 < found[8].chain[0].event["time"] / 10**9 < 4


def act(lineage: Lineage, processes: list[int], parents: list[int]) -> None:
    """These fork."""
    lineage.act(np.array(processes, np.uint64), np.array(parents, np.uint64))


def learnt(*pairs: tuple[int, int], limit: int = 100) -> Lineage:
    """A lineage that learnt these, process and parent."""
    lineage = Lineage(limit, Counters())
    act(lineage, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return lineage


def ancestors(lineage: Lineage, process: int) -> tuple[int, ...]:
    """As an event of the process asks for them."""
    return lineage.ancestors(process, lineage.above(process)[1] if len(lineage.above(process)) > 1 else 0)


@pytest.mark.parametrize(
    ("pairs", "process", "expected"),
    [
        ((), 5, (5,)),
        (((5, 4), (4, 3), (9, 5)), 9, (9, 5, 4, 3)),
        (((5, 4), (5, 3)), 5, (5, 4)),
        (((5, 5),), 5, (5,)),
        (((5, 4), (4, 5)), 5, (5, 4)),
    ],
)
def test_ancestors_are_the_process_its_parent_and_so_on(
    pairs: tuple[tuple[int, int], ...], process: int, expected: tuple[int, ...]
) -> None:
    assert ancestors(learnt(*pairs), process) == expected


def test_what_is_learnt_later_goes_on_from_the_end() -> None:
    lineage = learnt((5, 4))
    assert lineage.above(5) == (5, 4)
    act(lineage, [4], [2])
    assert lineage.above(5) == (5, 4, 2)
    act(lineage, [5], [1])
    assert lineage.above(5) == (5, 4, 2)


def test_ancestors_are_the_same_whoever_else_is_asked_for_with_them() -> None:
    family = ((50, 30), (30, 20), (20, 10), (40, 10), (15, 50))
    expected = {50: (50, 30, 20, 10), 20: (20, 10), 10: (10,), 15: (15, 50, 30, 20, 10)}
    for asked in permutations(expected):
        lineage = learnt(*family)
        assert {process: lineage.above(process) for process in asked} == {
            process: expected[process] for process in asked
        }


def test_lineage_is_bounded_in_depth() -> None:
    deep = learnt(*((number, number - 1) for number in range(2, 300)), limit=1000)
    assert deep.above(299) == tuple(range(299, 299 - DEEPEST, -1))
    assert deep.ancestors(300, 299) == tuple(range(300, 300 - DEEPEST, -1))


@dataclass(frozen=True)
class Crowd:
    """How a crowd of processes that all live comes about."""

    parent: Callable[[int], int]
    has_child: bool
    executes: bool
    keeps_idle: bool
    """Whether a service that does nothing, and has a child, is remembered through it."""


CROWDS = {
    "each forks the next": Crowd(lambda each: each - 1, has_child=False, executes=False, keeps_idle=True),
    "each has one child": Crowd(lambda _: 1, has_child=True, executes=False, keeps_idle=True),
    "each is a leaf": Crowd(lambda _: 1, has_child=False, executes=False, keeps_idle=True),
    "each runs a program": Crowd(lambda _: 1, has_child=False, executes=True, keeps_idle=False),
}


@pytest.mark.parametrize("name", CROWDS)
def test_of_too_many_that_live_those_are_forgotten_that_were_unused_longest(name: str) -> None:
    crowd, counters = CROWDS[name], Counters()
    lineage = Lineage(128, counters)
    lineage.born(np.array([3, 5], np.uint64), np.array([2, 4], np.uint64))
    act(lineage, [4], [1])
    for first in range(100, 1100, 10):
        young = range(first, first + 10)
        if crowd.has_child:
            lineage.born(np.array(young, np.uint64) + np.uint64(5000), np.array(young, np.uint64))
        if crowd.executes:
            lineage.executed(list(young), list(young), list(young))
        act(lineage, [2, *young], [1, *map(crowd.parent, young)])
        lineage.bound(0)
        assert len(lineage) <= 128
    assert counters.processes_forgotten >= 1000 - 128
    assert lineage.above(2) == (2, 1), "it forks all the time"
    assert lineage.above(4) == ((4, 1) if crowd.keeps_idle else (4,))


def test_those_that_are_known_again_when_they_act_are_forgotten_first() -> None:
    lineage = learnt((20, 10), (10, 1), *((number, 1) for number in range(100, 200)), limit=64)
    act(lineage, [20], [10])
    lineage.bound(0)
    assert lineage.above(20) == (20, 10, 1)
    act(lineage, [150], [1])
    assert lineage.above(150) == (150, 1)


def test_children_of_seen_forks_are_bounded_too() -> None:
    counters = Counters()
    lineage = Lineage(16, counters)
    for first in range(100, 1000, 50):
        lineage.born(np.arange(first, first + 50, dtype=np.uint64), np.full(50, 7, np.uint64))
        lineage.bound(0)
    assert counters.processes_forgotten >= 900 - 4 * 16 - 50


def flooded() -> list[Event]:
    """A service writes, executes a file and makes a daemon by way of one that ends; then there is a flood of
    forks that end at once; then the daemon, which was quiet, acts."""
    service = Forked(2, number_at(2, 0), 1)
    begun = service.does(Type.EXEC, 1, "write", inode=77)
    middle_born, middle = service.fork(3, 2)
    daemon_born, daemon = middle.fork(4, 3)
    found = [begun, middle_born, daemon_born, middle.does(Type.EXIT, 3.5)]
    shell = Forked(5, number_at(5, 0), 1)
    for at in range(300):
        time = 10 + at
        job_born, job = shell.fork(100 + at, time)
        child_born, child = job.fork(500 + at, time + 0.1)
        found += [job_born, child_born, job.does(Type.EXEC, time + 0.15, inode=1000 + at)]
        found += [child.does(Type.EXIT, time + 0.2), job.does(Type.EXIT, time + 0.3)]
    return [*found, daemon.does(Type.CONNECT, 400, "run", tid=4711)]


@pytest.mark.parametrize("key", ["tree", "file"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_flood_of_forks_does_not_make_the_engine_forget_a_services_lineage(key: str, size: int) -> None:
    text = written("- {name: a, tag: write}\n- {name: b, tag: run}").replace("key: session", f"key: {key}")
    (sequence,) = parse_text(text).sequences
    events = flooded()
    assert [events[match.last].fields["tid"] for match in reference.find(build(sequence), events)] == [4711]
    watch, symbols = SequenceEngine([sequence], TAGS, Limits(processes=64)), Symbols()
    found = []
    for first in range(0, len(events), size):
        found += watch.feed(*batch(events[first : first + size], TAGS, symbols))
        assert watch.processes <= 64
    found += watch.drain()
    assert [int(alert.chain[-1].event["tid"]) for alert in found] == [4711]
    assert watch.counters.processes_forgotten == 0
