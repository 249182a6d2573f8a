"""Who may be who: from keys and files on the host to the kernel's table, and back out when the time comes."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from enforcer.agent import tasks
from enforcer.places import Places
from identity import catalogue_file
from identity.catalogue import Catalogue, Entry, Source
from identity.names import identity_id
from tests.unit.enforcer.conftest import Start


def entry(name: str, content: bytes, expires: int | None = None) -> Entry:
    return Entry(hashlib.sha256(content).digest(), name, Source.ENROLLED, f"/opt/{name}", expires)


def keep(places: Places, *entries: Entry) -> None:
    places.catalogue.parent.mkdir(parents=True, exist_ok=True)
    catalogue_file.save(Catalogue(entries), places.catalogue)


def test_the_kernel_gets_what_the_catalogue_holds_before_the_image(start: Start, places: Places) -> None:
    keep(places, entry("a/b", b"one"), entry("a/c", b"two"))
    host = start()
    assert set(host.gate.catalogue.values()) == {identity_id("a/b"), identity_id("a/c")}


def test_what_has_expired_goes_at_its_time_and_it_is_said(
    start: Start, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(places, entry("a/b", b"one", expires=int(time.time()) + 1000), entry("a/c", b"two"))
    host = start()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2000)
    host.agent.credentials._clock = time.time
    assert host.agent.due() == 0
    host.agent.tick()
    assert set(host.gate.catalogue.values()) == {identity_id("a/c")}
    shown = host.menshen("events", "--kind", "notice").output
    assert "the credential of a/b has expired" in shown


def test_what_expired_by_a_clock_that_was_wrong_is_valid_again_when_it_is_right(
    start: Start, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(places, entry("a/b", b"one", expires=int(time.time()) + 1000))
    host = start(rescan=3600)
    real = time.time
    for ahead, valid in ((0, True), (2000, False), (0, True), (-100_000, True)):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        host.agent.credentials._clock = time.time
        host.agent.tick()
        assert set(host.gate.catalogue.values()) == ({identity_id("a/b")} if valid else set())
        assert host.agent.due() <= 3600
    assert host.menshen("events", "--kind", "notice").output.count("the clock was set by") == 3


def test_the_agent_wakes_for_the_next_expiry(start: Start, places: Places) -> None:
    keep(places, entry("a/b", b"one", expires=int(time.time()) + 5))
    host = start(rescan=3600)
    assert 0 < host.agent.due() <= 5


def test_reload_takes_in_a_changed_catalogue(start: Start, places: Places) -> None:
    keep(places, entry("a/b", b"one"))
    host = start()
    keep(places, entry("a/d", b"three"))
    done = host.menshen("reload")
    assert done.output.startswith("1 programs by digest: 1 new, 1 gone")
    assert set(host.gate.catalogue.values()) == {identity_id("a/d")}


def test_a_corrupt_catalogue_leaves_the_old_one_in_force(start: Start, places: Places) -> None:
    keep(places, entry("a/b", b"one"))
    host = start()
    places.catalogue.write_bytes(b"rubbish\n")
    done = host.menshen("reload")
    assert done.exit_code == 1
    assert "the catalogue is corrupt" in done.output
    assert set(host.gate.catalogue.values()) == {identity_id("a/b")}


def test_a_broken_trust_root_is_said_with_its_place(start: Start, places: Places) -> None:
    host = start()
    (places.trust / "root.yaml").write_text("apiVersion: menshen/v1\nkind: Nonsense\n")
    done = host.menshen("reload")
    assert done.exit_code == 1
    assert "root.yaml:" in done.output


def test_a_restart_changes_nothing_that_still_holds(
    start: Start, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(places, entry("a/b", b"one"))
    host = start()
    monkeypatch.setattr(host.gate, "set_credentials", lambda *_: pytest.fail("there was no gap to make"))
    again = start(host.gate, adopted=True)
    assert again.agent.due() == 0
    again.agent.tick()
    assert again.agent.due() > 0


def process(proc: Path, number: int, program: Path) -> None:
    folder = proc / str(number)
    folder.mkdir(parents=True)
    (folder / "exe").symlink_to(program)
    (folder / "cmdline").write_bytes(b"/opt/trusted-script\0")


def test_running_processes_are_who_their_executable_is_and_never_their_command_line(tmp_path: Path) -> None:
    programs = {"python": b"interpreter", "nginx": b"server", "unknown": b"what"}
    for name, content in programs.items():
        (tmp_path / name).write_bytes(content)
    proc = tmp_path / "proc"
    for number, name in enumerate(("python", "nginx", "nginx", "unknown"), start=100):
        process(proc, number, tmp_path / name)
    (proc / "2").mkdir()
    (proc / "self").mkdir()
    known = {hashlib.sha256(programs[name]).digest(): len(name) for name in ("python", "nginx")}
    executables = tasks.Executables(proc)
    found = executables.look(known.get)
    keys = {name: (tmp_path / name).stat() for name in programs}
    assert found.by_file == {
        (keys["python"].st_dev, keys["python"].st_ino): 6,
        (keys["nginx"].st_dev, keys["nginx"].st_ino): 5,
    }
    assert found.by_pid == {100: 6, 101: 5, 102: 5}
    assert found.unidentified == {str(tmp_path / "unknown"): 1}
    (tmp_path / "nginx").write_bytes(b"another program")
    assert executables.look(known.get).by_pid == {100: 6}
