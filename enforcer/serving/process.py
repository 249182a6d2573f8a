"""What a service's process begins with: its log, and the group that may ask it."""

from __future__ import annotations

import fcntl
import grp
import logging
import os
from pathlib import Path

from enforcer.errors import EnforcerError
from enforcer.places import GROUP


def only_one(path: Path) -> int:
    """A lock that this process holds as long as it lives; EnforcerError if another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise EnforcerError("another one is running", f"it holds {path}") from None
    return handle


def reading_group() -> int | None:
    """The group whose members may read through the APIs; None if this host has none."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Memory that this process holds now."""
    for line in status.read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def log_to_journal() -> None:
    """Standard error with syslog's priorities, as systemd reads them."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Each line with its priority, so that a long message stays one kind."""
        text = super().format(record)
        if "JOURNAL_STREAM" not in os.environ:
            return text
        mark = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in text.splitlines())
