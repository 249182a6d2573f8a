"""The last act: a valid login, steps that are each allowed, and together an attack, which the watch tells.

Nothing unsigned is run and no rule is broken: his tool is a copy of Debian's own Python, whose bytes have an
identity wherever they lie. His twin is an administrator who does as much with a tool in its place.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tests.demo.world import OUTSIDE, SSH
from tests.guest import wire
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest
from tests.guest.host import HostError

SEQUENCE: Final = "download-run-scan"
STEPS: Final = ("download", "made-executable", "run", "scan")
GRAVE: Final = frozenset({"high", "critical"})
TOOL, TWINS_TOOL = "/var/tmp/.update", "/opt/tools/probe"
PORTS: Final = (5432, 6379, 9200)
START_SECONDS: Final = 300.0
PATIENCE: Final = 60.0

_PROBE = (
    "import errno, socket\n"
    f"for port in {PORTS}:\n"
    "    with socket.socket() as peer:\n"
    f'        print(port, errno.errorcode.get(peer.connect_ex((\\"{OUTSIDE}\\", port)), \\"success\\"))'
)
_DO = 'mkdir -p {folder} && cp /usr/bin/python3.11 {tool} && chmod 755 {tool} && {tool} -I -c "{probe}"'


@dataclass(frozen=True)
class Watched:
    """What the watch told of both."""

    connects: tuple[str, ...]
    """How the kernel answered each connect of the attack."""
    chain: tuple[str, ...]
    """The steps of the alert, as far as it was told."""
    shown: str
    """The alert as `menshen alerts` shows it; without one, what was seen of the tool."""
    false: tuple[str, ...]
    """Grave alerts about the twin."""
    events: int
    """That the watch saw in all, and lost."""
    lost: int

    @property
    def told(self) -> bool:
        """Whether the whole story was told, by every step in its order, and nothing of the twin."""
        return tuple(dict.fromkeys(self.chain)) == STEPS and not self.false


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

    def about(self, tool: str, name: str = "") -> list[dict[str, Any]]:
        """Those in whose chain this program is, or is written."""
        return [
            alert
            for alert in list(self.all)
            if name in ("", alert["name"]) and any(_is_about(step, tool) for step in alert["chain"])
        ]


def _is_about(step: dict[str, Any], tool: str) -> bool:
    seen = step["observation"]
    return tool in (seen.get("path"), seen.get("exe"))


def act(guest: Guest) -> Watched:
    """The twin first, then the attack; what came of it."""
    alerts = Alerts(guest)
    _login(guest, TWINS_TOOL)
    connects = _login(guest, TOOL)
    deadline = time.monotonic() + PATIENCE
    while not (mine := alerts.about(TOOL, SEQUENCE)) and time.monotonic() < deadline:
        time.sleep(0.2)
    status = json.loads(guest.run("menshen status -o json", check=False).stdout)["watch"] or {}
    grave = [one["name"] for one in alerts.about(TWINS_TOOL) if one["level"] in GRAVE]
    return Watched(
        connects=tuple(connects),
        chain=tuple(step["step"] for alert in mine[:1] for step in alert["chain"]),
        shown=_shown(guest, mine[0]["id"]) if mine else _seen(guest),
        false=tuple(grave),
        events=int(status.get("events", 0)),
        lost=sum(int(each["lost"]) for each in status.get("types", [])),
    )


def _login(guest: Guest, tool: str) -> list[str]:
    script = _DO.format(folder=tool.rpartition("/")[0], tool=tool, probe=_PROBE)
    return guest.run(f"{SSH} '{script}'", timeout=120).stdout.splitlines()


def _seen(guest: Guest) -> str:
    return guest.run(f"menshen observations -n 0 --text {TOOL}", check=False).stdout


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
