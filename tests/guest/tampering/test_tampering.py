"""Root without the agent's identity cannot take enforcement away, and each attempt is on record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.guest import cache
from tests.guest.guest import Guest
from tests.guest.tampering.cases import FREE, HARMLESS, HELD
from tests.guest.test_agent import SSH, wait

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("MENSHEN_NIGHTLY"), reason="takes minutes: `make nightly`, or MENSHEN_NIGHTLY=1"
    ),
]
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def enforcing(module_guest: Guest) -> Guest:
    """A guest with its programs enrolled, the agent running with its guard, and one Protection in force."""
    guest = module_guest
    guest.put("/root/p/ssh.yaml", SSH)
    guest.run("menshen enrol-self --service", timeout=300)
    guest.run("menshen identity enrol --packages", timeout=600)
    guest.put("/etc/systemd/system/menshen.service.d/clock.conf", "[Service]\nWatchdogSec=0\n")
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
    return guest


@pytest.fixture(scope="module")
def outcomes(enforcing: Guest) -> dict[str, dict[str, Any]]:
    """What became of each attempt. All are made on one machine, one after the other: nothing is put back."""
    for name in ("calls.py", "runner.py"):
        enforcing.put(f"/root/{name}", (HERE / name).read_bytes())
    enforcing.put("/root/cases.json", json.dumps({"free": FREE, "held": HELD, "harmless": HARMLESS}))
    text = b""
    for kind, data in enforcing.stream("python3 /root/runner.py 2>&1", timeout=1500):
        text += data if kind == "stdout" else b""
        (cache.REPOSITORY / "build/tampering.jsonl").write_bytes(text)
    found = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
    assert len(found) == len(FREE) + len(HELD) + len(HARMLESS), text[-2000:]
    return {one["name"]: one for one in found}


def test_there_are_enough_attempts() -> None:
    assert len(HELD) >= 60
    assert len({*FREE, *HELD, *HARMLESS}) == len(FREE) + len(HELD) + len(HARMLESS)


@pytest.mark.parametrize("name", HELD)
def test_an_attempt_is_refused_and_told(outcomes: dict[str, dict[str, Any]], name: str) -> None:
    outcome = outcomes[name]
    assert outcome["held"], outcome
    assert outcome["told"], outcome
    assert outcome["same"], outcome


@pytest.mark.parametrize("name", FREE)
def test_what_is_no_attempt_succeeds(outcomes: dict[str, dict[str, Any]], name: str) -> None:
    outcome = outcomes[name]
    assert outcome["said"] == "done\n", outcome
    assert not outcome["told"], outcome
    assert outcome["held"], outcome


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_refused_changes_nothing_that_is_enforced(
    outcomes: dict[str, dict[str, Any]], name: str
) -> None:
    assert outcomes[name]["held"], outcomes[name]


def test_the_gate_is_whole_afterwards(enforcing: Guest, outcomes: dict[str, dict[str, Any]]) -> None:
    status = json.loads(enforcing.run("menshen status -o json", check=False).stdout)
    assert status["mode"] == "enforcing"
    assert status["guard"]
    assert enforcing.run("ls /sys/fs/bpf/menshen").stdout.split() == ["links", "maps", "programs"]


def test_the_operators_way_out_is_logged_and_ends_it(
    enforcing: Guest, outcomes: dict[str, dict[str, Any]]
) -> None:
    enforcing.run(["menshen", "off", "--reason", "the end of the test"])
    assert enforcing.run("echo x >>/etc/ssh/sshd_config", check=False).status == 0
    line = json.loads(enforcing.get("/var/log/menshen/audit.jsonl").splitlines()[-1])
    assert (line["action"], line["reason"]) == ("off", "the end of the test")


def test_pins_that_are_unmounted_all_the_same_are_held_by_process_1(guest: Guest) -> None:
    """With the guard off in the settings, in the place of a way that we do not know."""
    guest.put("/etc/menshen/agent.yaml", "guard: false\n")
    guest.run("menshen enrol-self --service", timeout=300)
    guest.put("/etc/systemd/system/menshen.service.d/clock.conf", "[Service]\nWatchdogSec=0\n")
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.put("/root/p/ssh.yaml", SSH)
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
    # It would mount them again at once.
    guest.run("systemctl kill --kill-who=main -s STOP menshen; sleep 1; umount -l /sys/fs/bpf")
    guest.run("systemctl kill --kill-who=main -s KILL menshen; sleep 1")
    assert guest.run("echo x >>/etc/ssh/sshd_config", check=False).status != 0
    # Not `menshen status`: it says by its exit status that the guard is off.
    wait(guest, "menshen policy list", 300)
    assert guest.run("echo x >>/etc/ssh/sshd_config", check=False).status != 0
    assert guest.run("ls /sys/fs/bpf/menshen").stdout.split() == ["links", "maps", "programs"]
    assert "they are mounted again" in guest.run("journalctl -u menshen -o cat").stdout


def test_pins_that_are_unmounted_are_mounted_again_at_once_by_an_agent_that_lives(guest: Guest) -> None:
    """By a race that is held for root: a copy of /sys is still being made while what it is made in goes."""
    guest.run("menshen enrol-self --service", timeout=300)
    guest.put("/etc/systemd/system/menshen.service.d/clock.conf", "[Service]\nWatchdogSec=0\n")
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.put("/root/p/ssh.yaml", SSH)
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
    guest.put("/root/race.py", (HERE / "race.py").read_bytes())
    won = json.loads(guest.run("python3 /root/race.py", timeout=600).stdout)
    print(won)
    assert guest.run("echo x >>/etc/ssh/sshd_config", check=False).status != 0
    assert guest.run("ls /sys/fs/bpf/menshen").stdout.split() == ["links", "maps", "programs"]
    assert won["won"], "the race was not won, so nothing was tried"
    assert "it is mounted again" in guest.run("menshen events --kind notice -n 0").stdout
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
