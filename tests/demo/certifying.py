"""Before the intruder comes: a benign history, from which the sequence is certified, and then set to block.

The commands are an administrator's. Only the history is a demo's: seconds, where a host would have a week.
"""

from __future__ import annotations

from typing import Final

from tests.demo.logins import TWINS
from tests.demo.world import CERTIFY_KEY
from tests.guest.guest import Guest

SEQUENCE: Final = "download-run-scan"
DOCUMENT: Final = f"/root/{SEQUENCE}.yaml"
HOURS: Final = 0.002
SECONDS: Final = 300.0


def certify(guest: Guest) -> str:
    """Lets the twins do what they do, and has the kernel deny the sequence's last step; what was said."""
    for twin in TWINS:
        twin.act(guest)
    certifying = f"menshen certify {SEQUENCE} --key {CERTIFY_KEY} --hours {HOURS} --document {DOCUMENT}"
    return "".join(_do(guest, command) for command in (certifying, f"menshen policy apply {DOCUMENT}"))


def revoke(guest: Guest) -> str:
    """Reports that it was wrong; what was said."""
    return _do(guest, f'menshen certify {SEQUENCE} --revoke --reason "it denied the migration of db3"')


def _do(guest: Guest, command: str) -> str:
    return f"# {command}\n{guest.run(command, timeout=SECONDS).stdout}"
