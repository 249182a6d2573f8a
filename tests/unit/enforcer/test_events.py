"""From a record of the ring to a line on a terminal."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from bpf_lsm.layout import NO_RIGHT, Operation
from enforcer.api import menshen_pb2 as pb
from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.events import Event, as_line, from_line
from enforcer.output import compact
from enforcer.wire import event_message, event_of
from policies.image import Special
from tests.unit.enforcer.conftest import Host
from tests.unit.enforcer.fakes import record

SSH = b"\n\n\n\n\n\n\n\nProtection sshd-config payments/api enforce\n"


def until(done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def denying(host: Host) -> Host:
    host.agent.policy.apply({"ssh.yaml": SSH})
    return host


def deny(host: Host, *records: bytes) -> None:
    seen = host.agent.feed.seen
    host.gate.denials.put(*records)
    until(lambda: host.agent.feed.seen >= seen + len(records))


def test_a_denial_is_one_line_with_its_rule_and_place(denying: Host) -> None:
    deny(denying, record(generation=denying.gate.generation))
    shown = denying.menshen("events", "--kind", "denial")
    line = r"DENY  payments/api open write /etc/ssh/sshd_config  rule sshd-config \(ssh.yaml:9\)  #\d+\n"
    assert re.fullmatch(r"\d\d:\d\d:\d\d " + line, shown.output)


def test_a_missing_special_word_is_named_whatever_else_the_record_says(denying: Host) -> None:
    """Of a mount the record has the flags, of a change of ids the new one; the word is in `class`."""
    fields = {"operation": Operation.MOUNT, "right": NO_RIGHT, "class": Special.MOUNT, "detail": 0x1000}
    deny(denying, record(b"", **fields), record(b"", **fields | {"operation": Operation.GUARD, "detail": 30}))
    words = [event.detail_words for event in denying.agent.feed.old(lambda _: True, last=2)]
    assert words == ["mount", "kill"]


def test_json_lines_are_those_of_the_log(denying: Host) -> None:
    deny(denying, record(generation=denying.gate.generation))
    shown = denying.menshen("events", "--kind", "denial", "-o", "json").output
    logged = [json.loads(line) for line in denying.places.denials_log.read_text().splitlines()]
    assert json.loads(shown) == logged[-1]
    assert logged[-1]["rule_text"] == "Protection sshd-config"


def test_hostile_paths_and_names_are_escaped(denying: Host) -> None:
    deny(denying, record(b"/tmp/\x1b[2J\n\xff\xe2\x80\xae", comm=b"\x1b[31mx"))
    shown = denying.menshen("events", "--kind", "denial").output
    assert "/tmp/\\x1b[2J\\x0a\\xff\\u202e" in shown
    number = shown.strip().rsplit("#", 1)[1]
    why = denying.menshen("why", number).output
    assert '"\\x1b[31mx"' in why
    assert "\x1b" not in shown + why


def test_an_event_of_an_older_generation_keeps_its_rule(denying: Host) -> None:
    old = denying.gate.generation
    denying.agent.policy.apply({"ssh.yaml": b"Protection other-name payments/api enforce\n"})
    deny(denying, record(generation=old))
    assert "rule sshd-config (ssh.yaml:9)" in denying.menshen("events", "--kind", "denial").output


def test_an_event_of_a_forgotten_generation_says_so(denying: Host) -> None:
    deny(denying, record(generation=999, rule=77))
    assert "rule 77 of generation 999" in denying.menshen("events").output


def test_a_record_that_is_not_understood_is_counted_and_the_reading_goes_on(denying: Host) -> None:
    denying.gate.denials.put(b"short")
    deny(denying, record())
    assert denying.agent.readers[0].undecoded == 1
    assert denying.menshen("status").exit_code == 1


def test_a_program_start_is_an_event_but_not_logged(denying: Host) -> None:
    denying.gate.events.put(record(b"/usr/bin/true", kind=3, operation=19, rule=0))
    until(lambda: "exec" in denying.menshen("events").output)
    assert "/usr/bin/true" not in denying.places.denials_log.read_text()


def stub(host: Host) -> tuple[grpc.Channel, pb_grpc.AgentStub]:
    channel = grpc.insecure_channel(f"unix:{host.places.socket}")
    return channel, pb_grpc.AgentStub(channel)  # type: ignore[no-untyped-call]


def test_following_gets_every_event_once(denying: Host) -> None:
    deny(denying, *[record() for _ in range(5)])
    channel, calls = stub(denying)
    stream = calls.StreamEvents(pb.StreamEventsRequest(follow=True, filter=pb.Filter(kinds=["denial"])))
    stream.initial_metadata()
    deny(denying, *[record() for _ in range(2000)])
    got: list[int] = []
    for batch in stream:
        got += [event.id for event in batch.events]
        if len(got) >= 2005:
            break
    stream.cancel()
    channel.close()
    assert got == sorted(set(got))
    assert len(got) == 2005


def test_a_client_that_does_not_read_is_told_its_losses_and_holds_up_nobody(denying: Host) -> None:
    channel, calls = stub(denying)
    slow = calls.StreamEvents(pb.StreamEventsRequest(follow=True, filter=pb.Filter(kinds=["denial"])))
    slow.initial_metadata()
    begin = time.monotonic()
    total = 60_000
    long = record(b"/" + b"x" * 2000)
    for _ in range(total // 1000):
        deny(denying, *[long] * 1000)
    took = time.monotonic() - begin
    got = lost = 0
    for batch in slow:
        got, lost = got + len(batch.events), lost + batch.lost
        if got + lost >= total:
            break
    slow.cancel()
    channel.close()
    assert lost > 0
    assert got + lost == total
    assert took < 60


def test_a_follower_that_goes_away_is_forgotten(denying: Host) -> None:
    channel, calls = stub(denying)
    stream = calls.StreamEvents(pb.StreamEventsRequest(follow=True))
    stream.initial_metadata()
    until(lambda: len(denying.agent.feed._followers) == 1)
    channel.close()
    until(lambda: not denying.agent.feed._followers)


def test_the_end_of_the_agent_ends_the_streams(denying: Host) -> None:
    channel, calls = stub(denying)
    stream = calls.StreamEvents(pb.StreamEventsRequest(follow=True))
    stream.initial_metadata()
    threading.Timer(0.2, denying.agent.feed.close).start()
    assert list(stream) is not None
    channel.close()


def test_an_event_survives_the_wire_and_the_log() -> None:
    event = Event(
        id=7,
        time=1.5,
        kind="denial",
        path=os.fsdecode(b"/\xff\x80"),
        comm="\udc80",
        flags=("foreign",),
        login_uid=0xFFFFFFFF,
        generation=1 << 63,
    )
    assert event_of(event_message(event)) == event
    assert from_line(json.loads(json.dumps(as_line(event)))) == event


LINES = [
    (
        {"operation": "connect", "right": "connect", "address": "10.0.0.9", "port": 6379, "protocol": "tcp"},
        "DENY  a/b connect 10.0.0.9:6379/tcp  rule p (p.yaml:3)  #0",
    ),
    (
        {"kind": "would-deny", "operation": "ptrace", "target": "os/redis", "target_pid": 5},
        "would a/b ptrace toward os/redis pid 5  rule p (p.yaml:3)  #0",
    ),
    (
        {"operation": "bind", "right": "listen", "address": "::1", "port": 80, "protocol": "udp"},
        "DENY  a/b bind listen [::1]:80/udp  rule p (p.yaml:3)  #0",
    ),
    (
        {"operation": "capable", "detail_words": "sys_admin"},
        "DENY  a/b capable sys_admin  rule p (p.yaml:3)  #0",
    ),
    ({"kind": "notice", "text": "one\ntwo\x1b"}, "note  one two\\x1b  #0"),
]


@pytest.mark.parametrize(("fields", "line"), LINES)
def test_compact_lines(fields: dict[str, Any], line: str) -> None:
    plain = {"time": 0, "kind": "denial", "subject": "a/b", "rule_name": "p", "rule_place": "p.yaml:3"}
    event = Event(**{**plain, **fields})
    assert re.sub(r"\x1b\[\d+m", "", compact(event))[9:] == line
