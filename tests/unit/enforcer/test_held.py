"""What is held: told by the command line, counted after each apply, closed on request only."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bpf_lsm.events import Event, decode
from bpf_lsm.layout import EventKind, LabelFlag, Operation
from bpf_lsm.tasks import Label
from enforcer.agent import held as held_module
from identity.names import identity_id
from policies.image import Right
from tests.unit.enforcer.conftest import Host, Start
from tests.unit.enforcer.fakes import FakeGate, record

API = b"Policy api payments/api enforce\n"
OBEDIENT = "import sys; print(flush=True); sys.stdin.read()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); " + OBEDIENT


def holding(pid: int, path: bytes = b"/etc/shadow", **fields: Any) -> Event:
    """One thing that process `pid` holds, as the gate tells it."""
    given = {"operation": Operation.HOLD, "pid": pid, "right": Right.READ, "detail": 7, **fields}
    return decode(record(path, **given))


def connection(ours: socket.socket) -> Event:
    """A connection of this process."""
    address, port = ours.getpeername()
    raw = list(ipaddress.IPv4Address(address).packed) + [0] * 12
    return holding(
        os.getpid(), b"", right=Right.CONNECT, detail=ours.fileno(), family=4, protocol=6, port=port,
        address=raw, inode=os.fstat(ours.fileno()).st_ino,
    )  # fmt: skip


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
    ):
        theirs, _ = server.accept()
        with theirs:
            theirs.settimeout(5)
            yield ours, theirs


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    code = getattr(request, "param", OBEDIENT)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def audited(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.places.audit_log.read_text().splitlines()]


def test_each_is_told_with_its_descriptor_and_its_rule(host: Host) -> None:
    host.agent.policy.apply({"api.yaml": API})
    host.gate.holds = [
        holding(71, b"/etc/sha\x1bdow", generation=host.gate.generation),
        holding(71, b"/usr/lib/x.so", operation=Operation.HOLD_MAPPED, right=Right.MAP_EXEC, detail=0),
        holding(72, b"/tmp/y", kind=EventKind.WOULD_DENY, subject=identity_id("other")),
    ]
    text = host.menshen("held").output.splitlines()
    assert text[1].split() == [
        "payments/api", "71", "7", "read", "/etc/sha\\x1bdow", "api", "(api.yaml:1)", "enforce",
    ]  # fmt: skip
    assert text[2].split()[2:4] == ["mapped", "map-exec"]
    assert text[3].split()[-1] == "audit"
    lines = json.loads(host.menshen("held", "-o", "json").output)
    assert [(one["pid"], one["descriptor"], one["path"]) for one in lines] == [
        (71, 7, "/etc/sha\x1bdow"), (71, None, "/usr/lib/x.so"), (72, 7, "/tmp/y"),
    ]  # fmt: skip
    assert lines[0]["rule_place"] == "api.yaml:1"


@pytest.mark.parametrize(
    ("options", "pids"),
    [((), [71, 72]), (("--pid", "72"), [72]), (("--subject", "payments/*"), [71]), (("--subject", "x"), [])],
)
def test_some_can_be_asked_for(host: Host, options: tuple[str, ...], pids: list[int]) -> None:
    host.agent.policy.apply({"api.yaml": API})
    host.gate.holds = [holding(71), holding(72, subject=identity_id("other"))]
    shown = json.loads(host.menshen("held", "-o", "json", *options).output)
    assert [one["pid"] for one in shown] == pids


def test_nothing_is_said_to_be_nothing(host: Host) -> None:
    assert "nothing is held" in host.menshen("held").output


def test_apply_counts_it_and_closes_nothing(host: Host, process: subprocess.Popen[str]) -> None:
    host.gate.holds = [holding(process.pid), holding(process.pid, kind=EventKind.WOULD_DENY)]
    host.places.root.joinpath("api.yaml").write_bytes(API)
    done = host.menshen("policy", "apply", str(host.places.root / "api.yaml"))
    assert "2 held already that are not allowed: menshen held" in done.output
    assert "2 that are not allowed" in host.menshen("status").output
    assert host.agent.held.tally == {("file", "enforce"): 1, ("file", "audit"): 1}
    assert process.poll() is None
    assert all(line["action"] != "close-held" for line in audited(host))


def test_what_comes_into_force_at_the_start_or_by_reload_is_counted_too(start: Start) -> None:
    gate = FakeGate()
    gate.holds = [holding(71)]
    host = start(gate)
    assert host.agent.held.total == 1
    gate.holds = []
    (host.places.policies / "api.yaml").write_bytes(API)
    assert host.menshen("reload").exit_code == 0
    assert host.agent.held.total == 0


def test_a_gate_that_cannot_look_is_a_fault_and_not_zero(host: Host) -> None:
    host.gate.refuse = "no such program"
    assert host.menshen("held").exit_code == 1
    assert host.agent.held.total is None
    shown = host.menshen("status")
    assert "not known" in shown.output
    assert "no such program" in shown.output


def test_close_shuts_the_connection_and_leaves_the_file(
    host: Host, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    host.gate.holds = [connection(ours), holding(os.getpid())]
    ours.send(b"before")
    assert theirs.recv(100) == b"before"
    done = json.loads(host.menshen("held", "--close", "-o", "json").output)
    assert [one["done"][:4] for one in done] == ["shut", "left"]
    assert theirs.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        ours.send(b"after")
    assert audited(host)[-1]["action"] == "close-held"
    assert "shut for" in host.places.denials_log.read_text()


def test_a_descriptor_that_is_another_one_by_now_is_not_shut(
    host: Host, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    one = connection(ours)
    other = holding(os.getpid(), b"", **{
        "right": Right.CONNECT, "detail": theirs.fileno(), "family": 4, "inode": one.inode,
        "address": list(ipaddress.IPv4Address("127.0.0.1").packed) + [0] * 12,
    })  # fmt: skip
    host.gate.holds = [other]
    assert "another one by now" in host.menshen("held", "--close").output
    assert ours.send(b"still") == 5


@pytest.mark.parametrize(
    ("process", "said"),
    [(OBEDIENT, "ended by SIGTERM"), (STUBBORN, "ended by SIGKILL")],
    indirect=["process"],
)
def test_end_ends_the_process_that_holds_a_file(
    host: Host, process: subprocess.Popen[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_module, "PATIENCE", 0.5)
    host.gate.labels[process.pid] = identity_id("payments/api")
    host.gate.holds = [holding(process.pid), holding(process.pid, b"/etc/other")]
    done = json.loads(host.menshen("held", "--end", "-o", "json").output)
    assert [one["done"] for one in done] == [said, said]
    assert process.wait(5) < 0


def test_who_runs_another_program_by_now_is_not_ended(host: Host, process: subprocess.Popen[str]) -> None:
    host.gate.labels[process.pid] = identity_id("other")
    host.gate.holds = [holding(process.pid)]
    assert "another program by now" in host.menshen("held", "--end").output
    assert process.poll() is None


def test_menshen_itself_is_not_ended(
    host: Host, process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    label = Label(identity_id("payments/api"), 0, LabelFlag.WATCH)
    monkeypatch.setattr(host.gate, "label_of", lambda _pid: label)
    assert host.agent.held._refusal(process.pid, label.identity)


def test_who_a_policy_confines_may_look_and_not_close(host: Host) -> None:
    host.gate.labels[os.getpid()] = identity_id("payments/api")
    host.agent.policy.apply({"api.yaml": API})
    host.gate.holds = [holding(os.getpid())]
    assert host.menshen("held").exit_code == 0
    assert "confines" in host.menshen("held", "--close").output
