"""A recording of an afternoon: denials, events, an incident that was blocked, and names meant to deceive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from tui.replay import encode

BEGIN: Final = 1_764_080_000.0
SESSION: Final = 0x5F1C2A
HOSTILE: Final = b"/tmp/\x1b[2J\x1b]0;owned\x07\xe2\x80\xae\xff\nnew"
"""Clears a screen, sets its title, turns the writing direction, is no UTF-8, and breaks the line."""


def messages() -> Iterator[tuple[float, str, Any]]:
    """At, stream, message."""
    yield 0.0, "agent", status()
    yield 0.0, "watch", watch_status()
    yield 0.0, "policies", policies()
    yield 0.1, "event", event(1, "notice", text="the agent started, generation 7 is in force")
    yield 0.4, "observation", seen(1, "exec", exe=b"/usr/bin/curl", args=b"curl\0-o\0/tmp/x\0http://x/")
    yield 0.6, "event", denial(2, b"/etc/ssh/sshd_config", "sshd-config", "ssh.yaml:5")
    yield 0.7, "event", denial(3, HOSTILE, "payments-api", "payments.yaml:9", kind="would-deny")
    yield 0.8, "observation", seen(2, "file-write", exe=b"/usr/bin/curl", path=b"/tmp/x")
    yield 0.9, "observation", seen(3, "file-chmod", exe=b"/usr/bin/chmod", path=b"/tmp/x")
    yield 1.0, "observation", seen(4, "connect", exe=b"/tmp/x", address="10.0.0.9", port=6379, protocol="tcp")
    yield 1.1, "alert", alert()


def status() -> pb.StatusReply:
    return pb.StatusReply(
        mode="enforcing",
        generation=7,
        version="0.1.0",
        kernel="6.12.111",
        identities=2_041,
        counters={"denied": 12, "would_deny": 3, "denials_lost": 0, "events_lost": 0},
        hooks=["file_open"] * 68,
        guard=True,
        health=[
            pb.HealthLine(name="policies", ok=True, text="what lies on disk is in force"),
            pb.HealthLine(name="guard", ok=True, text="armed"),
            pb.HealthLine(name="log", ok=False, text="4 lines could not be written"),
        ],
    )


def watch_status() -> wpb.WatchStatusReply:
    tally = wpb.TypeTally(type="exec", generated=120, delivered=118, allowed=2)
    lossy = wpb.TypeTally(type="connect", generated=4_000, delivered=3_990, lost=10)
    return wpb.WatchStatusReply(
        host="pay-7",
        version="0.1.0",
        sources="tracepoints only",
        missing=["file-open: no LSM programs on this kernel"],
        types=[tally, lossy],
        rules=41,
        sequences=10,
        sessions=17,
        processes=212,
        stored_events=1_204_331,
        stored_bytes=10_200_000,
        resident_bytes=88_000_000,
        cpu_seconds=12.5,
    )


def policies() -> pb.ListPoliciesReply:
    return pb.ListPoliciesReply(
        generation=7,
        policies=[
            pb.PolicySummary(
                name="sshd-config", kind="Protection", file="ssh.yaml", line=5, mode="enforce", denied=12
            ),
            pb.PolicySummary(
                name="payments-api",
                kind="Policy",
                subject="payments/api",
                file="payments.yaml",
                line=1,
                mode="audit",
                would_deny=3,
            ),
        ],
    )


def event(number: int, kind: str, **more: Any) -> pb.Event:
    return pb.Event(id=number, kind=kind, time=BEGIN + number, **more)


def denial(number: int, path: bytes, rule: str, place: str, kind: str = "denial") -> pb.Event:
    return event(
        number,
        kind,
        subject="payments/api",
        operation="open",
        right="write",
        path=path,
        pid=288,
        comm=b"api",
        rule_name=rule,
        rule_place=place,
        rule_text='  - {deny: [write], paths: ["/etc/ssh/**"]}',
        session=SESSION,
    )


def seen(number: int, kind: str, **more: Any) -> wpb.Observation:
    return wpb.Observation(
        id=number, type=kind, time=BEGIN + 10 + number, session=SESSION, pid=310 + number, **more
    )


def alert() -> wpb.Alert:
    steps = {
        "written": seen(2, "file-write", exe=b"/usr/bin/curl", path=b"/tmp/x"),
        "made executable": seen(3, "file-chmod", exe=b"/usr/bin/chmod", path=b"/tmp/x"),
        "connects inside": seen(4, "connect", exe=b"/tmp/x", address="10.0.0.9", port=6379, protocol="tcp"),
    }
    return wpb.Alert(
        id=1,
        time=BEGIN + 14,
        source="sequence",
        name="download-run-scan",
        title="A download was run and reaches inward",
        level="critical",
        session=SESSION,
        place="download-run-scan.yaml:1",
        chain=[wpb.AlertStep(step=step, observation=observation) for step, observation in steps.items()],
        blocked=True,
        tags=["attack.t1105", "attack.t1046"],
    )


def write(path: Path) -> Path:
    """The recording as a file."""
    path.write_text("".join(encode(*message) + "\n" for message in messages()))
    return path
