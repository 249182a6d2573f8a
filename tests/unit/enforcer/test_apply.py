"""A set of policies comes into force whole, or nothing changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from enforcer.errors import EnforcerError
from enforcer.places import Places
from tests.unit.enforcer.conftest import Host, Start
from tests.unit.enforcer.fakes import FakeGate

SSH = b"Protection sshd-config unidentified enforce\n"
API = b"Policy payments-api payments/api audit\n"


def in_force(host: Host) -> list[str]:
    image = host.gate.image()
    return [] if image is None else [row[0] for row in json.loads(image)]


def on_disk(places: Places) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in places.policies.iterdir()}


def test_applied_files_are_in_force_and_on_disk(host: Host) -> None:
    done = host.agent.policy.apply({"ssh.yaml": SSH, "api.yaml": API})
    assert in_force(host) == ["payments-api", "sshd-config"]
    assert on_disk(host.places) == {"ssh.yaml": SSH, "api.yaml": API}
    assert done.generation == host.gate.generation
    assert "+payments-api" in done.summary


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"wrong\n", "wrong.yaml:1:1"), (b"Policy a locks-out enforce\n", "lock out")],
    ids=["does not compile", "locks out"],
)
def test_a_set_that_is_refused_leaves_the_old_one(host: Host, content: bytes, said: str) -> None:
    host.agent.policy.apply({"ssh.yaml": SSH})
    before = (host.gate.generation, in_force(host), on_disk(host.places))
    with pytest.raises(EnforcerError, match=said):
        host.agent.policy.apply({"wrong.yaml": content})
    assert (host.gate.generation, in_force(host), on_disk(host.places)) == before


def test_a_set_that_the_gate_refuses_leaves_the_old_one(host: Host) -> None:
    host.agent.policy.apply({"ssh.yaml": SSH})
    host.gate.refuse = "no room"
    with pytest.raises(Exception, match="no room"):
        host.agent.policy.apply({"api.yaml": API})
    assert in_force(host) == ["sshd-config"]
    assert on_disk(host.places) == {"ssh.yaml": SSH}
    assert not host.places.pending.exists()


def test_an_image_too_large_for_the_gate_is_refused_with_the_setting_to_change(host: Host) -> None:
    host.gate.capacity = 10
    with pytest.raises(EnforcerError, match="image_capacity"):
        host.agent.policy.apply({"ssh.yaml": SSH})


def test_a_lock_out_can_be_forced(host: Host) -> None:
    host.agent.policy.apply({"a.yaml": b"Policy a locks-out enforce\n"}, force=True)
    assert in_force(host) == ["a"]


def test_a_forced_set_comes_back_at_the_next_start_unforced(start: Start) -> None:
    first = start()
    first.agent.policy.apply({"a.yaml": b"Policy a locks-out enforce\n"}, force=True)
    again = start(FakeGate())
    assert in_force(again) == ["a"]
    assert not again.agent.policy.fault


def test_a_dry_run_changes_nothing(host: Host) -> None:
    done = host.agent.policy.apply({"ssh.yaml": SSH}, dry_run=True)
    assert done.summary == "+sshd-config"
    assert on_disk(host.places) == {}
    assert in_force(host) == []


def test_the_same_set_again_is_no_new_generation(host: Host) -> None:
    first = host.agent.policy.apply({"ssh.yaml": SSH})
    second = host.agent.policy.apply({"ssh.yaml": SSH})
    assert (second.generation, second.summary) == (first.generation, "no change")


def test_a_document_moves_to_the_file_that_names_it_last(host: Host) -> None:
    host.agent.policy.apply({"all.yaml": SSH + b"---\n" + API})
    host.agent.policy.apply({"ssh.yaml": SSH})
    assert on_disk(host.places) == {"all.yaml": b"---\n" + API, "ssh.yaml": SSH}


def test_replace_removes_what_is_not_named(host: Host) -> None:
    host.agent.policy.apply({"ssh.yaml": SSH, "api.yaml": API})
    host.agent.policy.apply({"api.yaml": API}, replace=True)
    assert on_disk(host.places) == {"api.yaml": API}


@pytest.mark.parametrize(
    "name", ["../x.yaml", "a/b.yaml", ".hidden.yaml", "x.txt", "", "x.yaml\n", "a" * 200]
)
def test_names_that_are_no_file_names_are_refused(host: Host, name: str) -> None:
    with pytest.raises(EnforcerError, match="cannot be the name"):
        host.agent.policy.apply({name: SSH})


def test_a_crash_between_acceptance_and_the_move_is_finished_at_the_next_start(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"ssh.yaml": SSH})
    host.agent.policy._store.stage({"api.yaml": API})
    again = start(FakeGate())
    assert on_disk(again.places) == {"api.yaml": API}
    assert in_force(again) == ["payments-api"]


def test_a_crash_before_the_set_was_sealed_leaves_the_old_one(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"ssh.yaml": SSH})
    host.places.pending.mkdir()
    (host.places.pending / "api.yaml").write_bytes(API)
    again = start(FakeGate())
    assert on_disk(again.places) == {"ssh.yaml": SSH}


def test_a_bad_policy_at_boot_leaves_the_last_good_image_in_force_loudly(start: Start) -> None:
    start().agent.policy.apply({"ssh.yaml": SSH})
    again_places = start(FakeGate()).places
    (again_places.policies / "bad.yaml").write_bytes(b"wrong\n")
    host = start(FakeGate())
    assert in_force(host) == ["sshd-config"]
    status = host.menshen("status")
    assert status.exit_code == 1
    assert "bad.yaml:1:1" in status.output
    assert "last good image" in status.output


def test_a_bad_policy_at_a_restart_leaves_the_running_image(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"ssh.yaml": SSH})
    (host.places.policies / "bad.yaml").write_bytes(b"wrong\n")
    generation = host.gate.generation
    again = start(host.gate, adopted=True)
    assert (again.gate.generation, in_force(again)) == (generation, ["sshd-config"])
    assert again.agent.policy.fault


def test_a_restart_with_the_same_policies_installs_nothing(start: Start) -> None:
    host = start()
    host.agent.policy.apply({"ssh.yaml": SSH})
    generation = host.gate.generation
    assert start(host.gate, adopted=True).gate.generation == generation


def test_reload_takes_in_what_was_edited_on_disk(host: Host) -> None:
    (host.places.policies / "ssh.yaml").write_bytes(SSH)
    assert host.agent.policy.reload()
    assert in_force(host) == ["sshd-config"]
    assert not host.agent.policy.reload()


def test_other_names_of_protected_files_are_known_to_the_gate_before_the_image(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "protected"
    folder.mkdir()
    (folder / "secret").write_text("x")
    (folder / "single").write_text("x")
    os.link(folder / "secret", tmp_path / "elsewhere")
    host = start()
    host.agent._compiler.protected = folder  # type: ignore[attr-defined]
    host.agent.policy.apply({"ssh.yaml": SSH})
    status = (folder / "secret").stat()
    assert [(a.inode, a.device, n) for a, n in host.gate.known_aliases.items()] == [
        (status.st_ino, status.st_dev, 7)
    ]
