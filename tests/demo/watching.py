"""The last act: a valid login, each of its steps is allowed, together they are an attack; the last is denied.

The watch has to tell it, and nothing of the benign twins. At last somebody reports that the denial was wrong,
and the same steps are answered.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.demo import certifying
from tests.demo.certifying import SEQUENCE
from tests.demo.denials import Denial, Denials
from tests.demo.intruder import EVENT_SECONDS, Outcome
from tests.demo.logins import ANSWERED, ATTACK, TWINS
from tests.demo.steps import Attempt
from tests.demo.world import OUTSIDE, PERL
from tests.guest import wire
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest
from tests.guest.host import HostError

STEPS: Final = ("download", "made-executable", "run", "scan")
GRAVE: Final = frozenset({"high", "critical"})
START_SECONDS: Final = 300.0
PATIENCE: Final = 60.0
LAST: Final = Attempt(
    step=14,
    what="by a valid login, in allowed steps: the last port of a scan",
    operations=frozenset({"connect"}),
    things=(f"{OUTSIDE}:{ATTACK.ports[-1]}",),
    subject=PERL,
)


@dataclass(frozen=True)
class Watched:
    """What became of the attack and of its twins, and what the watch told of both."""

    connects: tuple[str, ...]
    """How the kernel answered each connect of the attack."""
    last: Outcome
    """What became of the last of them."""
    twins: tuple[str, ...]
    """How it answered those of the twins, beside the attack."""
    revoked: tuple[str, ...]
    """How it answered those of the same attack, once it was reported that the denial was wrong."""
    chain: tuple[str, ...]
    """The steps of the alert, as far as it was told."""
    shown: str
    """The alert as `menshen alerts` shows it; without one, what was seen of the tool."""
    false: tuple[str, ...]
    """Grave alerts about the twins, and denials by the sequence that are not the attack's."""
    certified: str
    """What the commands said that made the sequence block."""
    events: int
    """That the watch saw in all, and lost."""
    lost: int

    @property
    def denied(self) -> bool:
        """Whether each step was allowed and the last one denied, by the kernel and by this sequence."""
        *allowed, last = self.connects or ("",)
        by = self.last.denial
        return (
            len(allowed) == len(ATTACK.ports) - 1
            and set(allowed) == {ANSWERED}
            and last == "EPERM"
            and self.last.denied
            and by is not None
            and (by.kind, by.rule) == ("sequence", SEQUENCE)
        )

    @property
    def told(self) -> bool:
        """Whether the whole story was told, by every step in its order."""
        return tuple(dict.fromkeys(self.chain)) == STEPS

    @property
    def untouched(self) -> bool:
        """Whether the twins were answered whatever they asked, and nothing grave was told of them."""
        asked = sum(len(twin.ports) for twin in TWINS)
        return self.twins == (ANSWERED,) * asked and not self.false

    @property
    def taken_back(self) -> bool:
        """Whether the attack was answered after the report."""
        return self.revoked == (ANSWERED,) * len(ATTACK.ports)

    @property
    def faults(self) -> list[str]:
        """What was not as it has to be."""
        found = {
            "the attack in allowed steps was not denied at its last": self.denied,
            "the watch did not tell the whole story": self.told,
            "a benign twin was touched": self.untouched,
            "it was denied after the report": self.taken_back,
        }
        return [text for text, good in found.items() if not good]


def start(guest: Guest) -> None:
    """The watch beside the gate."""
    command = "systemctl start menshen-watch || journalctl -u menshen-watch -o cat"
    if said := guest.run(command, timeout=START_SECONDS).stdout:
        raise HostError(f"the watch did not start:\n{said}")


class Alerts:
    """`menshen alerts -f` in the guest, read as it comes."""

    def __init__(self, guest: Guest) -> None:
        self.all: list[dict[str, Any]] = []
        self._process = guest.popen("exec menshen alerts -f -o json -n 0")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with suppress(ChannelError):  # the guest ends before we do
            for kind, data in self._process.events():
                if kind == wire.OUT:
                    *lines, rest = (rest + data).split(b"\n")
                    self.all += map(json.loads, lines)

    def about(self, tool: str) -> list[dict[str, Any]]:
        """Those in whose chain this program is, or is written."""
        return [alert for alert in list(self.all) if any(_is_about(step, tool) for step in alert["chain"])]

    def blocked(self, tool: str, seconds: float) -> dict[str, Any] | None:
        """The one of the denial, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for alert in self.about(tool):
                if alert["name"] == SEQUENCE and alert.get("blocked"):
                    return alert
            time.sleep(0.2)
        return None


def _is_about(step: dict[str, Any], tool: str) -> bool:
    seen = step["observation"]
    return tool in (seen.get("path"), seen.get("exe"))


def act(guest: Guest, denials: Denials, certified: str) -> Watched:
    """The twins first, then the attack; what came of it, and of a report that it was wrong."""
    alerts = Alerts(guest)
    since = len(denials.all)
    twins = [answer for twin in TWINS for answer in twin.act(guest)]
    connects = ATTACK.act(guest)
    error = connects[-1] if connects else "nothing"
    last = Outcome(LAST, error, succeeded=error == ANSWERED)
    if not last.succeeded:
        last = replace(last, denial=denials.wait_for(LAST, since, EVENT_SECONDS))
    alert = alerts.blocked(ATTACK.tool, PATIENCE)
    shown = _shown(guest, alert["id"]) if alert else _seen(guest)
    certifying.revoke(guest)
    revoked = ATTACK.act(guest)
    status = json.loads(guest.run("menshen status -o json", check=False).stdout)["watch"] or {}
    grave = {one["name"] for twin in TWINS for one in alerts.about(twin.tool) if one["level"] in GRAVE}
    return Watched(
        connects=connects,
        last=last,
        twins=tuple(twins),
        revoked=revoked,
        chain=tuple(step["step"] for step in alert["chain"]) if alert else (),
        shown=shown,
        false=(*sorted(grave), *(one.text for one in denials.all if _is_wrong(one, last.denial))),
        certified=certified,
        events=int(status.get("events", 0)),
        lost=sum(int(each["lost"]) for each in status.get("types", [])),
    )


def _is_wrong(one: Denial, right: Denial | None) -> bool:
    return one.kind == "sequence" and one is not right


def _seen(guest: Guest) -> str:
    return guest.run(f"menshen observations -n 0 --text {ATTACK.tool}", check=False).stdout


def _shown(guest: Guest, number: int) -> str:
    """One alert with its steps, out of all that `menshen alerts` shows."""
    lines = guest.run("menshen alerts -n 0", timeout=120).stdout.splitlines()
    first = next((at for at, line in enumerate(lines) if line.endswith(f"#{number}")), None)
    if first is None:
        return ""
    steps = []
    for line in lines[first + 1 :]:
        if not line.startswith(" "):
            break
        steps.append(line)
    return "\n".join(["$ menshen alerts", lines[first], *steps])
