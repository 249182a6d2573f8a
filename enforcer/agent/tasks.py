"""The processes that were there before the gate: who each of them is.

A process is given the identity of the bytes that it runs: the sha256 of /proc/PID/exe, which is the file
itself also when its name has been replaced, looked up in the catalogue. A command line proves nothing, so a
script that was started before the gate has its interpreter's identity, as `python3 script` has afterwards
too. A signed script gets its own identity when its service is restarted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Lookup = Callable[[bytes], int | None]
"""sha256 of a file -> identity id."""

PROC = Path("/proc")


@dataclass(slots=True)
class Running:
    """The executables of running processes that have an identity, and how many have none."""

    by_file: dict[tuple[int, int], int] = field(default_factory=dict)
    processes: int = 0
    identified: int = 0
    unidentified: dict[str, int] = field(default_factory=dict)
    """Program -> number of processes."""


def running(lookup: Lookup, proc: Path = PROC) -> Running:
    """Look at every process once; each file is hashed once."""
    found = Running()
    seen: dict[tuple[int, int], int | None] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            handle = os.open(entry / "exe", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # a kernel thread, or gone
        try:
            status = os.fstat(handle)
            key = (status.st_dev, status.st_ino)
            if key not in seen:
                seen[key] = _identity(handle, status, lookup)
        except OSError:
            continue
        finally:
            os.close(handle)
        found.processes += 1
        identity = seen[key]
        if identity is None:
            name = _name(entry)
            found.unidentified[name] = found.unidentified.get(name, 0) + 1
        else:
            found.identified += 1
            found.by_file[key] = identity
    return found


def _identity(handle: int, status: os.stat_result, lookup: Lookup) -> int | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    with os.fdopen(os.dup(handle), "rb") as stream:
        return lookup(hashlib.file_digest(stream, "sha256").digest())


def _name(entry: Path) -> str:
    try:
        return str((entry / "exe").readlink())
    except OSError:
        return "?"
