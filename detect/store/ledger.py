"""What the store did, lost and found damaged: exact numbers, and sentences for people."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

PROBLEMS: Final = 20
"""Sentences that are kept."""


@dataclass(slots=True)
class Counters:
    """Since the store was opened, in events unless it says otherwise.

    appended = written + queue_full + disk_full + failed + what waits in the queue, exactly.
    """

    appended: int = 0
    written: int = 0
    sealed: int = 0
    queue_full: int = 0
    """Not kept: the disk did not keep up."""
    disk_full: int = 0
    """Not kept: no room, and nothing left to give up for it."""
    failed: int = 0
    """Not kept: the disk or the store failed otherwise."""
    shed: int = 0
    """Given up before their time for want of room."""
    expired: int = 0
    """Past the limits of size or age."""
    damaged: int = 0
    """In segments that were set aside."""
    torn_bytes: int = 0
    merges: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


class Ledger:
    """Counters and problems, from any thread. `told` is called with each sentence."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self.counters = Counters()
        self.problems: deque[str] = deque(maxlen=PROBLEMS)
        self._told = told
        self._lock = threading.Lock()

    def count(self, counter: str, number: int) -> None:
        """Add to a counter."""
        with self._lock:
            setattr(self.counters, counter, getattr(self.counters, counter) + number)

    def lose(self, counter: str, events: int, why: str) -> None:
        """Events that are not kept, or not any more."""
        self.count(counter, events)
        self.say(f"{events} events lost: {why}")

    def say(self, text: str) -> None:
        """Something that an administrator should look at."""
        with self._lock:
            self.problems.append(text)
        self._told(text)
