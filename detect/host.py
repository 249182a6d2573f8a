"""What the host can be asked about what was there before the watch: /proc, and the tree of cgroups."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bpf_lsm.observation import STRING_MAX
from detect.processes import Known

FOLDERS: Final = 1 << 15
"""Control groups that are looked at in one walk."""
PAUSE: Final = 1.0
"""Seconds between two walks, so that unknown control groups cannot keep us walking."""

_CONTAINER: Final = re.compile(rb"(?:^|[-:])([0-9a-f]{64}|[0-9a-f]{32})(?:\.scope)?\Z")


def container_of(folder: bytes) -> bytes:
    """The container that the last part of a control group's path names, as docker and others do."""
    found = _CONTAINER.search(folder)
    return found[1] if found else b""


class Host:
    """Answers for `Enricher`. `root` is where proc and sys are found, another folder in tests."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = root / "proc"
        self._cgroups = root / "sys/fs/cgroup"
        self._clock = clock
        self._containers: dict[int, bytes] = {}
        self._walked: float | None = None

    def process(self, pid: int) -> Known | None:
        """What a process runs now; None if it is gone, b"" for what it does not let us see."""
        folder = self._proc / str(pid)
        try:
            with (folder / "cmdline").open("rb") as file:
                args = file.read(STRING_MAX).rstrip(b"\0")
        except OSError:
            return None
        try:
            exe = os.fsencode((folder / "exe").readlink()).removesuffix(b" (deleted)")
        except OSError:  # a kernel thread, or one that is just exiting
            exe = b""
        return Known(exe[:STRING_MAX], args)

    def container(self, cgroup: int) -> bytes | None:
        """The container of a control group: b"" if it is none's; None if there is no such group by now."""
        if cgroup not in self._containers:
            now = self._clock()
            if self._walked is None or now - self._walked >= PAUSE:
                self._walked = now
                self._containers = self._walk()
        return self._containers.get(cgroup)

    def _walk(self) -> dict[int, bytes]:
        """By inode number, which is the control group's id. A group within a container's is that one's."""
        try:
            found = {self._cgroups.stat().st_ino: b""}
        except OSError:
            return {}
        ahead = [(os.fsencode(self._cgroups), b"")]
        while ahead and len(found) < FOLDERS:
            folder, container = ahead.pop()
            try:
                inside = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
            except OSError:  # it went while we looked
                continue
            for entry in inside:
                name = container or container_of(entry.name)
                found[entry.inode()] = name
                ahead.append((entry.path, name))
        return found
