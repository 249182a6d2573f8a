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
    """Who the running processes are by their executables."""

    by_file: dict[tuple[int, int], int] = field(default_factory=dict)
    by_pid: dict[int, int] = field(default_factory=dict)
    unidentified: dict[str, int] = field(default_factory=dict)
    """Program -> number of processes."""


class Executables:
    """Looks at the executables of running processes; what it has hashed it knows the next time."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._digests: dict[tuple[int, ...], bytes | None] = {}

    def look(self, lookup: Lookup) -> Running:
        """Look at every process once."""
        found = Running()
        for entry in self._proc.iterdir():
            if not entry.name.isdigit():
                continue
            try:
                handle = os.open(entry / "exe", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # a kernel thread, or gone
            try:
                status = os.fstat(handle)
                digest = self._digest(handle, status)
            except OSError:
                continue
            finally:
                os.close(handle)
            identity = lookup(digest) if digest is not None else None
            if identity is None:
                name = _name(entry)
                found.unidentified[name] = found.unidentified.get(name, 0) + 1
            else:
                found.by_file[status.st_dev, status.st_ino] = identity
                found.by_pid[int(entry.name)] = identity
        return found

    def _digest(self, handle: int, status: os.stat_result) -> bytes | None:
        if not stat.S_ISREG(status.st_mode):
            return None
        # A file that runs cannot be written, but its inode number may be another file's the next time.
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in self._digests:
            with os.fdopen(os.dup(handle), "rb") as stream:
                self._digests[key] = hashlib.file_digest(stream, "sha256").digest()
        return self._digests[key]


def _name(entry: Path) -> str:
    try:
        return str((entry / "exe").readlink())
    except OSError:
        return "?"
