"""Start, restart, off, and what the agent says of itself."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from importlib import resources
from pathlib import Path

import pytest

from bpf_lsm.errors import GateError
from enforcer import certificates, client
from enforcer.agent import run
from enforcer.api import menshen_pb2 as pb
from enforcer.boot import loading
from enforcer.places import Places
from enforcer.serving.notify import notify, watchdog_interval
from identity import catalogue_file, keys
from identity.catalogue import Catalogue, Entry, Source
from identity.certificate import Certificate, Figures, seal
from identity.executables import sha256
from identity.names import identity_id
from tests.unit.enforcer.conftest import Host, Start, make_agent
from tests.unit.enforcer.fakes import FakeGate, record

POLICY = b"Policy api payments/api enforce\n"


def test_at_start_the_agent_is_itself_and_the_guard_is_armed(host: Host) -> None:
    assert host.gate.adopted == {os.getpid(): identity_id("menshen/agent")}
    assert host.gate.agent == identity_id("menshen/agent")
    assert host.gate.guarded


def test_folders_have_the_modes_that_process_1_gives_them_for_the_watch(host: Host) -> None:
    """It may have no identity, and then the guard refuses it any change."""
    unit = resources.files("enforcer").joinpath("systemd/menshen-watch.service").read_text()
    asked = dict(re.findall(r"^(\w+)DirectoryMode=(\d+)$", unit, re.MULTILINE))
    folders = {"State": host.places.state, "Runtime": host.places.run, "Logs": host.places.log}
    assert {name: path.stat().st_mode & 0o7777 for name, path in folders.items()} == {
        name: int(asked.get(name, "755"), 8) for name in folders
    }


def test_an_agent_that_the_guard_would_not_know_again_does_not_arm_it(places: Places) -> None:
    gate = FakeGate()
    agent = make_agent(gate, places, self_fault=lambda: "it is not enrolled")
    agent.start(adopted=False)
    assert not gate.guarded
    assert not all(ok for _, ok, _ in agent.health())
    agent.stop()


def test_a_program_that_started_while_the_gate_was_loaded_is_named_in_the_log(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    digest = sha256(Path("/proc/self/exe").resolve())
    places.catalogue.parent.mkdir(parents=True)
    entry = Entry(digest, "os/python3.11", Source.PACKAGE, "/usr/bin/python3.11")
    catalogue_file.save(Catalogue([entry]), places.catalogue)
    gate = FakeGate()
    gate.labels[os.getpid()] = 0
    agent = make_agent(gate, places)
    agent.start(adopted=False)
    assert f"{os.getpid()}" in next(r.getMessage() for r in caplog.records if "restarted" in r.getMessage())
    agent.stop()


def test_nobody_is_let_in_whom_the_gate_cannot_look_at(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_pid: int) -> None:
        raise GateError("the table of labels is gone")

    monkeypatch.setattr(host.gate, "label_of", broken)
    assert host.menshen("off", "--reason", "x").exit_code == 1
    assert not host.gate.detached


def test_the_end_of_the_agent_leaves_enforcement(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"api.yaml": POLICY})
    host.agent.stop()
    assert host.gate.closed
    assert not host.gate.detached
    assert host.gate.guarded


def test_off_is_logged_with_who_and_why_before_it_happens(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(host.gate, "off", lambda: logged.append(host.places.audit_log.read_text()))
    done = host.menshen("off", "--reason", "maintenance\x1b of the disk")
    assert done.exit_code == 0
    line = json.loads(logged[0].splitlines()[-1])
    assert (line["action"], line["uid"], line["pid"]) == ("off", os.getuid(), os.getpid())
    assert line["reason"] == "maintenance\x1b of the disk"
    assert "\x1b" not in logged[0]
    assert host.agent.ended.is_set()
    assert host.agent.is_off


def test_off_that_leaves_something_says_so(host: Host) -> None:
    host.gate.refuse = "link 7 of program file_open is still there"
    done = host.menshen("off", "--reason", "x")
    assert done.exit_code == 1
    assert "link 7 of program file_open is still there" in done.output


@pytest.mark.parametrize("arguments", [[], ["--reason", "  "]])
def test_off_needs_a_reason(host: Host, arguments: list[str]) -> None:
    assert host.menshen("off", *arguments).exit_code != 0
    assert not host.gate.detached


def test_a_change_that_cannot_be_logged_is_not_made_but_off_is(host: Host) -> None:
    host.places.audit_log.unlink(missing_ok=True)
    host.places.audit_log.mkdir()
    assert host.menshen("reload").exit_code == 1
    assert host.menshen("off", "--reason", "the disk is full").exit_code == 0
    assert host.gate.detached


def test_status_counts_since_this_image_came_into_force(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"api.yaml": POLICY})
    host.gate.rules[7] = (5, 0)
    host.gate.rows[2] = (5, 0)
    status = json.loads(host.menshen("status", "-o", "json").output)
    assert [(rule["rule"], rule["place"], rule["denied"]) for rule in status["rules"]] == [
        ("api", "api.yaml:1", "5")
    ]
    assert status["subjects"][0]["subject"] == "payments/api"
    again = start(host.gate, adopted=True)
    assert again.agent.tallies.rules(100) == {7: (5, 0)}
    again.agent.policy.apply({"other.yaml": b"Policy other payments/other audit\n"})
    assert again.agent.tallies.rules(100) == {}
    host.gate.rules[7] = (5, 2)
    assert again.agent.tallies.rules(100) == {7: (0, 2)}


def test_status_says_the_mode_in_words(host: Host) -> None:
    assert "everything is allowed" in host.menshen("status").output
    host.agent.policy.apply({"api.yaml": POLICY})
    assert "mode         enforcing\n" in host.menshen("status").output
    host.agent.policy.apply({"b.yaml": b"Policy b payments/b audit\n"})
    assert "enforcing 1 of 2 policies, the others audit" in host.menshen("status").output


def test_list_and_show(host: Host) -> None:
    host.agent.policy.apply({"api.yaml": POLICY})
    assert "payments/api" in host.menshen("policy", "list").output
    assert POLICY.decode() in host.menshen("policy", "show", "api").output
    missing = host.menshen("policy", "show", "nothing")
    assert missing.exit_code == 1
    assert "menshen policy list" in missing.output


def test_why_finds_an_event_in_the_log_after_a_restart(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"api.yaml": POLICY})
    host.gate.denials.put(record(generation=host.gate.generation))
    _until(lambda: "DENY" in host.menshen("events").output)
    number = host.menshen("events", "--kind", "denial").output.strip().rsplit("#", 1)[1]
    host.agent.stop()
    shown = start(host.gate, adopted=True).menshen("why", number)
    assert shown.exit_code == 0
    assert "api.yaml:1" in shown.output
    assert "allow: [write]" in shown.output


def test_an_event_that_is_not_there(host: Host) -> None:
    assert "there is no event 12345" in host.menshen("why", "12345").output


def test_without_an_agent_the_command_says_what_to_do(tmp_path: Path, host: Host) -> None:
    host.places.socket.unlink()
    assert "systemctl start menshen" in host.menshen("status").output
    host.places.socket.touch()
    assert "cannot be reached" in host.menshen("status").output


def test_the_agent_does_not_start_against_menshen_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cmdline").write_text("quiet menshen=off\n")
    monkeypatch.setattr(loading, "CMDLINE", tmp_path / "cmdline")
    assert run.run(tmp_path) == run.OFF


def test_notify_and_watchdog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None


def test_a_reader_that_fails_is_seen_and_goes_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    read = host.gate.denials.read
    moods = iter([OSError("a bad moment")])

    def once(timeout: float | None = 0) -> list[bytes]:
        for mood in moods:
            raise mood
        return read(timeout)

    monkeypatch.setattr(host.gate.denials, "read", once)
    _until(lambda: host.agent.readers[0].failures == 1)
    seen = host.agent.feed.seen
    host.gate.denials.put(record())
    _until(lambda: host.agent.feed.seen > seen)
    assert host.agent.well()


def _until(done: object, seconds: float = 10) -> None:
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_lost_events_are_told_to_the_gate(host: Host) -> None:
    with client.agent(host.places.socket) as stub:
        stub.NoteGaps(pb.NoteGapsRequest(sessions=[7]), timeout=10)
        assert host.gate.gaps == {7}
        stub.NoteGaps(pb.NoteGapsRequest(all=True), timeout=10)
        assert host.gate.gaps == {5, 6, 7}, "those that have begun something"


def test_a_revocation_is_told_to_the_gate_at_once(host: Host) -> None:
    made = Certificate("story", bytes(range(32)), 1, 2, Figures(1, 0, 1, 1, 1, 1, 0, 0, "ab" * 32))
    certificates.keep(host.places.certificates, "story", seal(made, keys.generate()))
    certificates.revoke(host.places.certificates, "story", "it denied the backup")
    assert host.menshen("reload").exit_code == 0
    assert host.gate.revoked == {int.from_bytes(bytes(range(8)), "little")}


def test_calls_that_the_kernel_passed_over_void_the_paths_and_are_told(start: Start) -> None:
    host = start()
    host.agent.tick()
    assert host.gate.voided == 0
    host.gate.counts["passed_over"] = 2
    for _ in range(2):
        host.agent.tick()
    assert host.gate.voided == 1
    assert "passed over 2 calls" in host.menshen("events", "--kind", "notice").output
