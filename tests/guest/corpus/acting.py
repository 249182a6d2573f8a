"""Acts a script in a session of its own, and tells what the watch found in it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.guest.corpus import blocking
from tests.guest.corpus.stories import STORIES, Story
from tests.guest.guest import Guest, Result

GRAVE: Final = {"high", "critical"}
PATIENCE: Final = 60.0
MARK: Final = "/bin/true story-{number}"
"""A command that each script begins with: its session is that script's. After a login it is run again."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the watch told of one story."""

    story: Story
    attack: frozenset[str]
    """Grave rules and sequences that came true in the sessions of the attack."""
    benign: frozenset[str]
    blocked: bool
    """Whether the kernel denied a step of the attack."""
    twin_blocked: bool

    @property
    def detected(self) -> bool:
        """Whether the attack was told of by what should."""
        return bool(self.attack & self.story.told_by)

    @property
    def false(self) -> frozenset[str]:
        """What was told of the twin."""
        return self.benign


def start(guest: Guest) -> None:
    """The watch, and the gate that its unit wants, with no policy. Process 1 has no identity here."""
    guest.run(blocking.TRUST, timeout=120)
    guest.run("menshen enrol-self --service", timeout=300)
    guest.run("systemctl start menshen-watch", timeout=400)


def rehearse(guest: Guest, stories: Sequence[Story] = STORIES) -> int:
    """Act the twins alone, as the history that a certificate is over; how many scripts there were."""
    scripts = [script for story in stories for script in story.benign]
    for number, script in enumerate(scripts, start=1):
        run(guest, number, script)
    settle(guest, len(scripts))
    return len(scripts)


def act(guest: Guest, stories: Sequence[Story] = STORIES, number: int = 0) -> list[Told]:
    """Act all of them, attack and twin, then read what was found. `number`: of scripts that ran before."""
    numbers: dict[tuple[int, bool], list[int]] = {}
    for at, story in enumerate(stories):
        for bad, scripts in ((False, story.benign), (True, story.attack)):
            for script in scripts:
                number += 1
                numbers.setdefault((at, bad), []).append(number)
                run(guest, number, script)
    settle(guest, number)
    sessions = _sessions(guest)
    found, denied = _alerts(guest), set(blocking.denied(guest))
    told = []
    for at, story in enumerate(stories):
        its = [
            {each for number in numbers[at, bad] for each in sessions.get(number, ())}
            for bad in (True, False)
        ]
        names = [frozenset(name for each in group for name in found.get(each, ())) for group in its]
        attack, twin = its
        told.append(Told(story, names[0], names[1], bool(attack & denied), bool(twin & denied)))
    return told


def run(guest: Guest, number: int, script: str, seconds: float = 120) -> Result:
    """A script by its number, as root in a service of its own, until it ends."""
    mark = MARK.format(number=number)
    guest.put("/run/story", f"MARK='{mark}'\n$MARK\n{script}", 0o755)
    unit = f"systemd-run --quiet --wait --pipe --collect -p KillMode=none --unit story-{number}"
    return guest.run(f"{unit} bash /run/story", timeout=seconds, check=False)


def settle(guest: Guest, last: int) -> None:
    """Until the watch has seen the last script."""
    deadline = time.monotonic() + PATIENCE
    while last not in _sessions(guest):
        assert time.monotonic() < deadline, guest.run("journalctl -u menshen-watch -o cat | tail -20").stdout
        time.sleep(1)
    time.sleep(2)


def lines(guest: Guest, command: str) -> list[dict[str, Any]]:
    """What a command said, a line of JSON each."""
    done = guest.run(command, timeout=120, check=False)
    assert done.status == 0, done.stderr + guest.run("journalctl -u menshen-watch -o cat | tail -30").stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def _sessions(guest: Guest) -> dict[int, set[int]]:
    """Number of a script -> its sessions."""
    found: dict[int, set[int]] = {}
    for seen in lines(guest, "menshen observations -o json --type exec --text story- -n 0"):
        _, _, number = seen.get("args", "").rstrip("\0").partition("\0story-")
        if number.isdigit():
            found.setdefault(int(number), set()).add(int(seen["session"]))
    return found


def _alerts(guest: Guest) -> dict[int, frozenset[str]]:
    """Session -> names of what is grave."""
    found: dict[int, set[str]] = {}
    for alert in lines(guest, "menshen alerts -o json -n 0"):
        if alert["level"] in GRAVE or alert["source"] == "sequence":
            sessions = {int(alert.get("session", 0))}
            sessions |= {int(step["observation"].get("session", 0)) for step in alert.get("chain", [])}
            for session in sessions:
                found.setdefault(session, set()).add(alert["name"])
    return {session: frozenset(names) for session, names in found.items()}
