"""How much memory the whole watch holds: kernel programs, rings, API, rules, sequences, a store that merges.

It is a process of its own (tests/bench/watch_process.py) that differs from the product in one thing: what it
judges comes through a pipe, at more than the rate of a busy host.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from detect.store.history import History
from enforcer.places import Places
from tests.bench.results import Row
from tests.bench.stream import stream

BAR: Final = 150.0
EVENTS: Final = 2_000_000
"""Beyond them nothing grows any more: three pieces of the store were merged."""
RATE: Final = 30_000
"""Events a second."""
_BATCH: Final = 2_048
_REST: Final = 15.0
"""Seconds in which what is left to do is done."""


def rows(events: int) -> list[Row]:
    """watch/rss-whole-mb."""
    events = min(events, EVENTS)
    with tempfile.TemporaryDirectory(prefix="menshen-bench-") as name:
        held = _held(Path(name), events)
        kept = sum(entry.events for entry in History(Places(Path(name)).observed).snapshot.listing.segments)
    if kept != events:
        raise AssertionError(f"the watch kept {kept} of {events} events: is the disk slow?")
    return [Row("watch/rss-whole-mb", held.pop("peak"), "MB resident at most", BAR, held)]


def _held(folder: Path, events: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.watch_process", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        began, sent, load, apart = time.monotonic(), 0, [], [0.0]
        for raw in stream(events, batch=_BATCH):
            pickle.dump(raw, child.stdin, pickle.HIGHEST_PROTOCOL)
            child.stdin.flush()
            sent += len(raw.records)
            time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
            apart.append(sum(map(_own, _descendants(child.pid))))
            if sent * 2 > events:
                load.append(_status(child.pid, "VmRSS"))
        time.sleep(_REST)
        found = {
            "peak": _status(child.pid, "VmHWM"),
            "while it works": sum(load) / len(load),
            "at rest": _status(child.pid, "VmRSS"),
            "no file of a library": _status(child.pid, "RssAnon"),
            "of the kernel's rings": _rings(child.pid),
            "of the processes that seal alone, at most": max(apart),
            "and at rest": sum(map(_own, _descendants(child.pid))),
        }
        child.send_signal(signal.SIGTERM)
    if child.returncode:
        raise RuntimeError(f"the watch ended with {child.returncode}")
    return found


def _status(pid: int, field: str) -> float:
    """A line of /proc/PID/status, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def _rings(pid: int) -> float:
    total, within = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            within = "anon_inode:bpf-map" in line
        elif within and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total / 1024


def _descendants(pid: int) -> list[int]:
    """The helper that forks, and the workers there are."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *_descendants(child))]


def _own(pid: int) -> float:
    """Memory that no other process has."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
