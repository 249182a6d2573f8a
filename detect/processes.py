"""Which processes there are, and who made them: arrays by place, and a table from pid to place.

A process has a number that no other gets while the host is up, made of the time of its birth and its pid. Its
parent is the process that forked it, with the program that this one ran then, whoever adopts it later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PID_LIMIT: Final = 1 << 22
"""Pids are below this (PID_MAX_LIMIT of 64-bit kernels)."""
PLACES: Final = (1 << 16) - 1
"""Processes that are remembered at once."""
_TICK: Final = 16
"""Births are told apart to 2^16 ns: the kernel gives no pid twice in so short a time."""

Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What can be learnt of a process that was there before the watch."""

    exe: bytes
    args: bytes


Ask = Callable[[int], Known | None]
"""Of a pid, what it runs; None if it is not there any more."""


def number_of(pid: Numbers, time: Numbers) -> NDArray[np.uint64]:
    """Numbers of processes from pid and birth, in nanoseconds of CLOCK_BOOTTIME."""
    born: NDArray[np.uint64] = time.astype(np.uint64) >> np.uint64(_TICK)
    return born << np.uint64(22) | pid.astype(np.uint64)


class Processes:
    """The processes of a host. Place 0 is nobody: pid 0, and pids that cannot be.

    When there are more than `limit`, those that did nothing for longest are forgotten (`forgotten` counts
    them); if they act again they count as there before.
    """

    def __init__(self, limit: int = PLACES) -> None:
        if not 2 <= limit <= PLACES:
            raise ValueError(f"from 2 to {PLACES} processes can be remembered")
        self.limit = limit
        self.number = np.zeros(limit + 1, np.uint64)
        self.parent = np.zeros(limit + 1, np.uint64)
        self.parent_exe = np.zeros(limit + 1, np.uint32)
        self.parent_args = np.zeros(limit + 1, np.uint32)
        self.exe = np.zeros(limit + 1, np.uint32)
        self.args = np.zeros(limit + 1, np.uint32)
        self.pid = np.zeros(limit + 1, np.uint32)
        self.place = np.zeros(PID_LIMIT, np.uint16)
        """By pid; 0 where there is no such process."""
        self.forgotten = 0
        self._seen = np.zeros(limit + 1, np.int64)
        self._clock = 0
        self._free = np.arange(limit, 0, -1)
        self.free = limit
        """Places that nobody has."""

    def __len__(self) -> int:
        return self.limit - self.free

    def symbols(self) -> tuple[Numbers, ...]:
        """The columns of symbols, to be brought over to another table in place."""
        return self.parent_exe, self.parent_args, self.exe, self.args

    def seen(self, places: Numbers) -> None:
        """These are in use now: they are forgotten last."""
        self._clock += 1
        self._seen[places] = self._clock

    def acting(self, pids: Numbers) -> int:
        """How many processes have these pids. They are the last to be forgotten."""
        self.seen(self.place[pids])
        return int(np.count_nonzero(self._seen[1:] == self._clock))

    def forget(self, count: int) -> None:
        """Make room for `count`, and for a quarter of all so that it is not soon done again."""
        used = np.nonzero(self.pid)[0]
        wanted = max(count - self.free, self.limit // 4)
        if wanted < len(used):
            used = used[np.argpartition(self._seen[used], wanted)[:wanted]]
        self.forgotten += len(used)
        self.release(used)

    def take(self, pids: Numbers) -> Numbers:
        """A place for each of these pids, which are found there from now on."""
        self.free -= len(pids)
        places = self._free[self.free : self.free + len(pids)].copy()
        self.pid[places] = pids
        self.place[pids] = places
        self._seen[places] = self._clock
        return places

    def release(self, places: Numbers) -> None:
        """These are no processes any more. No place may be given twice."""
        pids = self.pid[places]
        self.place[pids[self.place[pids] == places]] = 0
        self.pid[places] = 0
        self._free[self.free : self.free + len(places)] = places
        self.free += len(places)
