"""What is put into a store comes out of it, whatever it was and however it was kept meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bpf_lsm.observation import OBSERVATION
from detect.batch import ENRICHED, SYMBOLS, Batch, Tagged
from detect.store import schema
from detect.store.history import History
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.symbols import Symbols
from tests.unit.detect.store.host import HandClock, as_rows, kept, random_batch


def settings(folder: Path, **more: float) -> StoreSettings:
    return StoreSettings(folder=folder, **{"min_free": 0, **more})  # type: ignore[arg-type]


def batches(symbols: Symbols, count: int = 8, size: int = 300) -> list[Batch]:
    return [random_batch(seed, size, symbols, first=seed * 10**6) for seed in range(count)]


def test_every_column_of_an_event_is_kept() -> None:
    names = {*schema.NAMES["events"], *schema.NAMES["contexts"], *schema.NAMES["acts"]}
    assert {*(OBSERVATION.names or ()), *ENRICHED} - names == {"tid"}  # as `thread`
    texts = {*schema.TEXTS["contexts"], *schema.TEXTS["acts"]}
    assert texts - {"address", "tags"} == set(SYMBOLS)


@pytest.mark.parametrize("seal_events", [1, 500, 10**6])
@pytest.mark.parametrize("merge", [2, 8])
def test_what_goes_in_comes_out(tmp_path: Path, seal_events: int, merge: int) -> None:
    given = batches(Symbols())
    with Store(settings(tmp_path, seal_events=seal_events, merge=merge), background=False) as store:
        for batch in given:
            store.append(batch)
            store.tick()
        assert store.events == 2400
        assert kept(History(tmp_path)) == as_rows(given)
    history = History(tmp_path)
    assert history.snapshot.tail == ()
    assert kept(history) == as_rows(given)


def test_a_session_is_found_in_every_segment_and_in_what_is_not_sealed(tmp_path: Path) -> None:
    given = batches(Symbols(), count=9)
    with Store(settings(tmp_path, seal_events=1000, merge=3), background=False) as store:
        for batch in given:
            store.append(batch)
            store.tick()
        history = History(tmp_path)
        assert history.snapshot.tail
        assert len(history.snapshot.listing.segments) == 2
        for session in range(5):
            [(boot, part)] = history.session(session)
            assert boot == str(store.clock.boot)
            time = part.events["time"]
            assert (np.diff(time.astype(np.int64)) >= 0).all()
            assert len(part) == sum(np.count_nonzero(batch["session"] == session) for batch in given)
        assert history.session(77) == []


def test_a_replay_is_in_the_order_of_time_though_events_came_late(tmp_path: Path) -> None:
    symbols = Symbols()
    given = [random_batch(seed, 500, symbols, first=(seed // 2) * 100_000) for seed in range(10)]
    with Store(settings(tmp_path, seal_events=500, merge=3), background=False) as store:
        for batch in given:
            store.append(batch)
            store.tick()
        time = np.concatenate([batch["time"] for _, batch in History(tmp_path).replay()]).astype(np.int64)
    assert len(time) == 5000
    assert (np.diff(time) >= 0).all()


def test_tags_are_kept_by_name(tmp_path: Path) -> None:
    batch = random_batch(1, 10, Symbols())
    tagged = Tagged(np.array([2, 2, 7], np.uint32), np.array([0, 1, 1], np.uint32))
    with Store(settings(tmp_path), tags=("outbound", "temp-write"), background=False) as store:
        store.append(batch, tagged)
    part = [part for session in range(5) for _, part in History(tmp_path).session(session)]
    found = [
        (time, text)
        for one in part
        for time, text in zip(
            one.events["time"].tolist(),
            one.values.take(one.acts["tags"][one.events["act"]]).to_pylist(),
            strict=True,
        )
        if text
    ]
    times = batch["time"].tolist()
    assert sorted(found) == [(times[2], "outbound,temp-write"), (times[7], "temp-write")]


def test_batches_of_another_table_of_symbols_are_kept_too(tmp_path: Path) -> None:
    given = [random_batch(seed, 50, Symbols()) for seed in range(3)]
    with Store(settings(tmp_path), background=False) as store:
        for batch in given:
            store.append(batch)
    assert kept(History(tmp_path)) == as_rows(given)


def test_the_threads_keep_everything_too(tmp_path: Path) -> None:
    given = batches(Symbols(), count=30)
    with Store(settings(tmp_path, seal_events=1000, merge=3)) as store:
        for batch in given:
            store.append(batch)
        store.flush()
        assert kept(History(tmp_path)) == as_rows(given)
    assert kept(History(tmp_path)) == as_rows(given)
    assert store.counters.queue_full == 0
    assert store.counters.sealed == 9000


def test_the_wall_that_is_set_while_the_host_is_up_changes_times_from_then_on_only(tmp_path: Path) -> None:
    clock = HandClock()
    given = batches(Symbols(), count=3)
    with Store(settings(tmp_path), clock=clock, background=False) as store:
        for batch, wall in zip(given, (clock.date, clock.date + 10**15, clock.date - 10**15), strict=True):
            clock.date = wall
            store.append(batch)
    offsets = [
        offset
        for session in range(5)
        for _, part in History(tmp_path).session(session)
        for offset in part.events["clock"].tolist()
    ]
    base = HandClock().date - HandClock().now
    assert {offset - base for offset in offsets} == {0, 10**15, -(10**15)}
