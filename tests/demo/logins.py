"""Valid logins that bring a tool along: the intruder of the last act, and administrators who do nearly as he.

Nothing unsigned is run: each tool is a copy of Debian's own Perl, whose bytes have an identity wherever they
lie. Every step by itself is allowed to everybody here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.demo.calls import error_name
from tests.demo.world import OUTSIDE, SCANNED, SSH
from tests.guest.guest import Guest

SECONDS: Final = 180.0
TOOL: Final = "/usr/bin/perl"
ANSWERED: Final = "success"
_PROBE = (
    "for ({ports}) {{ socket(S, PF_INET, SOCK_STREAM, 6);"
    f' print connect(S, sockaddr_in(\\$_, inet_aton(\\"{OUTSIDE}\\"))) ? 0 : \\$!+0, \\"\\n\\" }}}}'
)
_DO = 'mkdir -p {folder} && cat >{tool} && chmod 755 {tool} && {tool} -MSocket -e "{probe}"'


@dataclass(frozen=True)
class Login:
    """Who logs in, brings a tool to this place, makes it executable, runs it, and has it try these ports."""

    tool: str
    ports: tuple[int, ...]

    def act(self, guest: Guest) -> tuple[str, ...]:
        """Does it; how the kernel answered each connect."""
        folder = self.tool.rpartition("/")[0]
        probe = _PROBE.format(ports=", ".join(map(str, self.ports)))
        script = _DO.format(folder=folder, tool=self.tool, probe=probe)
        said = guest.run(f"{SSH} '{script}' <{TOOL}", timeout=SECONDS).stdout
        return tuple(error_name(int(line)) for line in said.splitlines())


ATTACK: Final = Login("/var/tmp/.update", SCANNED)
TWINS: Final = (Login("/var/tmp/migrate", SCANNED[:2]), Login("/opt/tools/probe", SCANNED))
"""Benign: the same steps with one service and its backup, and a tool in its place that looks at all."""
