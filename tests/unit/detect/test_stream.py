"""The stream of the benches: the same each time, and such as a host could make."""

from __future__ import annotations

import numpy as np

from bpf_lsm.observation import STRING_FIELDS, STRING_FIRST, Flag, Type
from tests.bench.stream import stream
from tests.bench.vocabulary import SERVICES

EVENTS = 100_003


def test_the_same_seed_gives_the_same_stream_and_another_another() -> None:
    one, two, other = (list(stream(20_000, seed)) for seed in (7, 7, 8))
    assert all(a.records.tobytes() == b.records.tobytes() for a, b in zip(one, two, strict=True))
    assert [raw.strings for raw in one] == [raw.strings for raw in two]
    assert one[0].records.tobytes() != other[0].records.tobytes()


def test_exactly_as_many_records_as_asked_for_in_the_order_of_time() -> None:
    parts = list(stream(EVENTS, chunk=1 << 15, batch=1000))
    times = np.concatenate([raw.records["time"] for raw in parts])
    assert len(times) == EVENTS
    assert (np.diff(times.astype(np.int64)) >= 0).all()


def test_a_string_is_announced_before_the_record_that_names_it() -> None:
    known: set[int] = set()
    for raw in stream(5 * EVENTS):
        known |= {number for number, _, _ in raw.strings}
        for name in STRING_FIELDS:
            named = set(np.unique(raw.records[name]).tolist())
            assert {number for number in named if number >= STRING_FIRST} <= known


def test_a_process_is_forked_before_it_acts_and_silent_after_its_exit() -> None:
    alive = {1, *range(301, 300 + len(SERVICES))}
    for raw in stream(EVENTS):
        for record in raw.records[["pid", "type", "target_pid", "flags"]]:
            pid, kind, child, _ = record.tolist()
            assert pid in alive
            if kind == Type.FORK:
                assert child not in alive
                alive.add(child)
            elif kind == Type.EXIT:
                alive.remove(pid)


def test_the_mix_is_that_of_a_busy_host() -> None:
    records = np.concatenate([raw.records for raw in stream(EVENTS)])
    share = np.bincount(records["type"], minlength=80) / len(records)
    assert 0.27 < share[[Type.FORK, Type.EXEC, Type.EXIT]].sum() < 0.34
    assert share[Type.FILE_WRITE] > 0.3
    assert share[Type.CONNECT] > 0.05
    assert (records["flags"] & Flag.ADOPTED != 0).mean() > 0.1
