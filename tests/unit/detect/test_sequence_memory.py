"""What the engine of sequences remembers by itself: events on the shelf, and who descends from whom."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bpf_lsm.observation import Type
from detect.sequences import SequenceEngine
from detect.sequences.events import ROW, Rows
from detect.sequences.lineage import DEEPEST, Lineage
from detect.sequences.shelf import CHUNK, SPARE, Shelf
from detect.symbols import Symbols
from policies import parse_text
from tests.unit.detect.streams import batch, event
from tests.unit.detect.test_sequences import TAGS, written


def rows(first: int, count: int, *tables: Symbols) -> Rows:
    """Events with the even serial numbers from `first` on, each a second after the one before."""
    serial = np.arange(first, first + 2 * count, 2)
    row = np.zeros(count, ROW)
    row["pid"] = serial
    return Rows(serial, serial * 10, row, tables, np.arange(count) % len(tables))


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


def learnt(*pairs: tuple[int, int], limit: int = 100) -> Lineage:
    """A lineage that learnt these, process and parent."""
    lineage = Lineage(limit)
    lineage.learn(
        np.array([pair[0] for pair in pairs], np.uint64), np.array([p[1] for p in pairs], np.uint64)
    )
    return lineage


def also(lineage: Lineage, process: int, parent: int) -> None:
    """It learns one more."""
    lineage.learn(np.array([process], np.uint64), np.array([parent], np.uint64))


@pytest.mark.parametrize(
    ("pairs", "process", "expected"),
    [
        ((), 5, (5,)),
        (((5, 4), (4, 3), (9, 5)), 9, (9, 5, 4, 3)),
        (((5, 4), (5, 3)), 5, (5, 4)),
        (((5, 5),), 5, (5,)),
        (((5, 4), (4, 5)), 5, (5, 4)),
        ((), 0, (0,)),
    ],
)
def test_ancestors_are_the_process_its_parent_and_so_on(
    pairs: tuple[tuple[int, int], ...], process: int, expected: tuple[int, ...]
) -> None:
    assert learnt(*pairs).ancestors(process) == expected


def test_what_is_learnt_later_goes_on_from_the_end() -> None:
    lineage = learnt((5, 4))
    assert lineage.ancestors(5) == (5, 4)
    also(lineage, 4, 2)
    assert lineage.ancestors(5) == (5, 4, 2)
    also(lineage, 5, 1)
    assert lineage.ancestors(5) == (5, 4, 2)


def test_ancestors_are_the_same_whoever_else_is_asked_for_with_them() -> None:
    family = ((50, 30), (30, 20), (20, 10), (40, 10), (15, 50))
    expected = {50: (50, 30, 20, 10), 20: (20, 10), 10: (10,), 15: (15, 50, 30, 20, 10)}
    for asked in permutations(expected):
        lineage = learnt(*family)
        lineage.prepare(list(asked[:3]))
        assert {process: lineage.ancestors(process) for process in asked} == expected


def test_lineage_is_bounded_in_depth_and_in_number() -> None:
    deep = learnt(*((number, number - 1) for number in range(2, 300)), limit=1000)
    assert deep.ancestors(299) == tuple(range(299, 299 - DEEPEST, -1))
    many = learnt(*((number, 1) for number in range(2, 300)), limit=64)
    assert many.forgotten == 298 - 64 + 4
    assert many.ancestors(299) == (299, 1)
    assert many.ancestors(2) == (2,)
