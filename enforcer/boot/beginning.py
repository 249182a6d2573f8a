"""How late enforcement began: what had run on this host before. A note in /run that the agent tells."""

from __future__ import annotations

import contextlib
import enum
import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from identity.files import write_atomically

PROC: Final = Path("/proc")
TRACE: Final = Path("/sys/kernel/tracing/instances/menshen")
"""A trace of program starts and nothing else, begun by the script of the initramfs."""
_RECORDS: Final = re.compile(r"^(?:entries|overrun): (\d+)$", re.MULTILINE)
_KTHREADD: Final = 2


class Stage(enum.StrEnum):
    """Who put the first image in force."""

    INITRAMFS = "initramfs"
    """The program that stood in for process 1."""
    UNIT = "unit"
    """menshen-early.service."""
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Beginning:
    """How late it was when the first image came into force."""

    stage: Stage
    at: float
    """Seconds since 1970."""
    uptime: float
    """Seconds since the kernel started."""
    started: int
    """Processes and threads that the kernel had made for programs by then: at most so many."""
    running: int
    """Processes that were there and had to be adopted."""
    programs: int | None = None
    """Programs that had been executed, exactly; None if nobody had counted."""
    searched: bool = False
    """Whether signed programs have been searched for since: only the agent does that."""

    def __str__(self) -> str:
        """For an administrator."""
        where = {
            Stage.INITRAMFS: "before the first program of the system",
            Stage.UNIT: "by menshen-early.service",
            Stage.AGENT: "by the agent",
        }
        count = f"at most {self.started} processes" if self.programs is None else f"{self.programs} programs"
        return (
            f"enforced {where[self.stage]}, {self.uptime:.1f} s after the kernel's start: "
            f"{count} had been started, {self.running} ran"
        )


def measure(stage: Stage, running: int, *, proc: Path = PROC, trace: Path = TRACE) -> Beginning:
    """How late it is now; the count of programs ends here. OSError: /proc cannot be read."""
    uptime = float((proc / "uptime").read_text().split()[0])
    return Beginning(stage, time.time(), uptime, _started(proc), running, _executed(trace))


def note(beginning: Beginning, path: Path) -> None:
    """Write it down; OSError if that is not possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(beginning)).encode())


def noted(path: Path) -> Beginning | None:
    """What was written down since the kernel's start; None if nothing was, or it cannot be read."""
    try:
        found = json.loads(path.read_text())
        return Beginning(**found | {"stage": Stage(found["stage"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def searched(path: Path) -> None:
    """The agent has done what was left to it."""
    found = noted(path)
    if found is not None and not found.searched:
        note(replace(found, searched=True), path)


def _started(proc: Path) -> int:
    """Forks since the kernel's start, less its own threads that are there; those that have ended count."""
    stat = (proc / "stat").read_text()
    forks = next(int(line.split()[1]) for line in stat.splitlines() if line.startswith("processes "))
    return max(0, forks - sum(_is_kernel_thread(entry) for entry in proc.iterdir() if entry.name.isdigit()))


def _is_kernel_thread(entry: Path) -> bool:
    try:
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return False
    return parent == _KTHREADD or int(entry.name) == _KTHREADD


def _executed(trace: Path) -> int | None:
    """Records of the trace, those overwritten included; it is ended."""
    try:
        counts = [
            sum(map(int, _RECORDS.findall((cpu / "stats").read_text())))
            for cpu in sorted((trace / "per_cpu").iterdir())
        ]
    except OSError:
        return None
    with contextlib.suppress(OSError):
        (trace / "events/enable").write_text("0")
        trace.rmdir()
    return sum(counts)
