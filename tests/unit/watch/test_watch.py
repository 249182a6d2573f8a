"""The watch: events, alerts and figures by its API; slow clients; a batch that cannot be judged; its end."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from bpf_lsm.observation import OBSERVATION, Raw, Type
from detect.batch import Tagged
from detect.decode import Decoder
from detect.enrich import Enricher
from enforcer import client
from enforcer.api import menshen_pb2
from enforcer.api import watch_pb2 as pb
from enforcer.errors import EnforcerError
from enforcer.watch.gate import batch_of
from enforcer.watch.observations import Follower, ObservationFeed, Wanted
from tests.bench.stream import stream
from tests.unit.watch.conftest import ExecRule, Host, until


def observations(host: Host, **wanted: Any) -> list[pb.Observation]:
    request = pb.StreamObservationsRequest(filter=pb.ObservationFilter(**wanted))
    with client.watch(host.places.watch_socket) as stub:
        return [each for batch in stub.StreamObservations(request) for each in batch.observations]


def test_events_come_with_their_names_and_tags(host: Host) -> None:
    host.feed(1000)
    execs = observations(host, types=["exec"])
    assert execs
    assert all(each.exe and each.tags == ["any-exec", "attack.t1059"] for each in execs)
    assert {each.id for each in execs} <= set(range(1, 1001))


def test_a_filter_finds_what_a_plain_search_finds(host: Host) -> None:
    host.feed(1000)
    everything = observations(host)
    assert len(everything) >= 744  # whole batches of 256 are let go
    session = everything[-1].session
    assert observations(host, session=session) == [each for each in everything if each.session == session]
    assert observations(host, tagged=True) == [each for each in everything if each.tags]

    def has(each: pb.Observation, text: bytes) -> bool:
        words = (each.exe, each.args, each.path, each.path2, each.comm, each.parent_exe)
        return any(text in word.lower() for word in words)

    assert observations(host, text="LIB") == [each for each in everything if has(each, b"lib")]


def test_following_begins_with_what_is_kept_and_leaves_nothing_out(host: Host) -> None:
    host.feed(512)
    seen: list[int] = []
    ready = threading.Event()

    def follow() -> None:
        with client.watch(host.places.watch_socket) as stub:
            for batch in stub.StreamObservations(pb.StreamObservationsRequest(follow=True)):
                seen.extend(each.id for each in batch.observations)
                ready.set()
                if len(seen) >= 1024:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert ready.wait(10)
    host.feed(512, seed=2)
    thread.join(10)
    assert seen == list(range(1, 1025))


def test_an_alert_comes_with_its_evidence_and_is_logged(host: Host) -> None:
    host.feed(512)
    with client.watch(host.places.watch_socket) as stub:
        (batch,) = stub.StreamAlerts(pb.StreamAlertsRequest())
    first = batch.alerts[0]
    assert (first.name, first.level, first.place) == ("any-exec", "low", "rules/any-exec.yml:1")
    assert first.chain[0].observation.type == "exec"
    lines = [json.loads(line) for line in host.places.alerts_log.read_text().splitlines()]
    assert [int(line["id"]) for line in lines] == [each.id for each in batch.alerts]
    exe = lines[0]["chain"][0]["observation"]["exe"]
    assert exe.encode() == first.chain[0].observation.exe
    (detection,) = host.ask("ListDetections", pb.ListDetectionsRequest()).detections
    assert detection.matches == len(lines)


def test_only_alerts_of_a_level_can_be_asked_for(host: Host) -> None:
    host.feed(512)
    with client.watch(host.places.watch_socket) as stub:
        (batch,) = stub.StreamAlerts(pb.StreamAlertsRequest(level="high"))
    assert not batch.alerts


def test_the_status_counts_by_type_and_says_what_is_not_seen(host: Host) -> None:
    host.feed(700)
    status = host.status()
    assert sum(tally.generated for tally in status.types) == status.events == 700
    assert all(tally.generated == tally.delivered for tally in status.types)
    assert status.missing == ["file-open: a test"]
    assert status.resident_bytes > 10_000_000
    assert [line.name for line in status.health if not line.ok] == ["gate"]


def test_a_batch_that_cannot_be_judged_is_counted_and_the_next_one_is_seen(host: Host) -> None:
    host.source.fail = True
    until(lambda: host.watch.failures == 1)
    host.feed(256)
    assert any(line.name == "pipeline" and not line.ok for line in host.status().health)


def test_strings_that_are_not_known_are_asked_for_again(host: Host) -> None:
    host.feed(500)
    assert host.source.anew == 0
    (raw,) = stream(100, 2, batch=256)
    due = host.watch.observations.seen + 100
    host.source.put([Raw(raw.records, ())])
    until(lambda: host.watch.observations.seen >= due)
    until(lambda: host.source.anew == 1)


def test_stopping_takes_in_what_is_left_and_closes_the_source(host: Host) -> None:
    host.source.put(list(stream(2_000, batch=100)))
    host.watch.stop()
    assert host.watch.observations.seen == 2_000
    assert host.source.closed


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EnforcerError, match=r"no type 'exek'.*\n.*exec, fork"):
        Wanted(frozenset({"exek"}))


def publish(feed: ObservationFeed, count: int) -> None:
    records = np.zeros(count, OBSERVATION)
    records["type"] = Type.FORK
    batch = Enricher().enrich(Decoder().decode(Raw(records, ())))
    none = np.empty(0, np.uint32)
    feed.publish(batch, Tagged(none, none), ExecRule.tags, 0.0)


def test_a_client_that_is_too_slow_loses_the_oldest_and_is_told_how_many() -> None:
    feed = ObservationFeed(kept=1000, queue=100)
    _, follower = feed.follow(Wanted(), 0)
    for _ in range(4):
        publish(feed, 40)
    taken, lost = follower.take(1000, 0)
    assert lost == 60
    assert [seen.first + at for seen, at in taken] == list(range(61, 161))


def test_only_the_newest_are_kept() -> None:
    feed = ObservationFeed(kept=100)
    for _ in range(10):
        publish(feed, 40)
    found = feed.old(Wanted(), last=50)
    assert [seen.first + at for seen, at in found] == list(range(351, 401))
    assert len(feed.old(Wanted(), last=0)) <= 100


def test_many_small_batches_are_kept_as_few_and_nothing_of_them_is_lost() -> None:
    feed, plain = ObservationFeed(kept=2000), []
    decoder, enricher = Decoder(), Enricher()
    for at in range(1000):
        records = np.zeros(1 + at % 3, OBSERVATION)
        records["type"], records["time"] = Type.FORK, at
        batch = enricher.enrich(decoder.decode(Raw(records, ())))
        event = np.array([len(batch) - 1], np.uint32)
        feed.publish(batch, Tagged(event, np.array([at % 2], np.uint32)), ("even", "odd"), 0.0)
        plain += [
            (at, [("even", "odd")[at % 2]] if one == len(batch) - 1 else []) for one in range(len(batch))
        ]
    found = feed.old(Wanted(), last=0)
    assert [seen.first + at for seen, at in found] == list(range(1, len(plain) + 1))
    assert [(int(seen.batch["time"][at]), seen.tags(at)) for seen, at in found] == plain
    assert len({id(seen) for seen, _ in found}) < 1000 / 16 + 64


def test_small_batches_are_not_joined_over_a_clock_that_was_set() -> None:
    feed, batch = (
        ObservationFeed(kept=1000),
        Enricher().enrich(Decoder().decode(Raw(np.zeros(1, OBSERVATION), ()))),
    )
    none = np.empty(0, np.uint32)
    for at in range(128):
        feed.publish(batch, Tagged(none, none), (), 3600.0 if at >= 32 else 0.0)
    assert [seen.boot for seen, _ in feed.old(Wanted(), last=0)] == [0.0] * 32 + [3600.0] * 96


def test_a_follower_that_wants_nothing_of_a_batch_is_not_woken() -> None:
    feed = ObservationFeed(kept=100)
    _, follower = feed.follow(Wanted(types=frozenset({"exec"})), 0)
    assert isinstance(follower, Follower)
    publish(feed, 10)
    assert follower.take(10, 0) == ([], 0)


def test_a_denial_of_the_gate_is_an_event_like_any_other() -> None:
    event = menshen_pb2.Event(
        id=1,
        kind="denial",
        time=1_000.5,
        subject="payments/api",
        path=b"/etc/\xff",
        exe=b"/opt/api",
        address="10.0.0.9",
        port=443,
        protocol="tcp",
        pid=7,
        rule=12,
        session=5,
    )
    decoder = Decoder()
    row = batch_of([event], decoder.symbols, boot=1_000.0).row(0)
    assert (row["type"], row["result"], row["time"]) == (Type.DENIAL, -13, 500_000_000)
    assert (row["path"], row["exe"], row["pid"], row["rule"]) == ("/etc/\udcff", "/opt/api", 7, 12)
    assert (row["family"], row["address"][:4], row["port"], row["protocol"]) == (4, b"\n\0\0\t", 443, 6)
    assert row["subject"] > 0


def test_sessions_of_which_something_was_lost_are_told_to_the_sequences_and_the_gate(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[int]] = []

    def tell(sessions: set[int], *, all_of_them: bool) -> bool:
        told.append(sessions)
        return len(told) > 1  # the first time the agent cannot be reached

    monkeypatch.setattr(host.watch.gate, "tell_gaps", tell)
    host.source.lost_of = {7: 1, 8: 3}
    until(lambda: len(told) >= 2)
    host.source.lost_of = {7: 1, 8: 4}
    until(lambda: len(told) >= 3)
    assert told == [{7, 8}, {7, 8}, {8}]
    assert host.watch.pipeline.sequences.gaps[-1] == 8  # type: ignore[attr-defined]
