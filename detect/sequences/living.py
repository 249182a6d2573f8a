"""Who has ended, and who has children that have not: found out from time to time, for many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detect.processes import PID_LIMIT

Numbers = NDArray[np.uint64]

_PID = np.uint64(PID_LIMIT - 1)
"""The bits of a process's number that are its pid; those above are its birth."""


class Living:
    """Forks and exits since it was last asked, and the forks before then whose child may live."""

    def __init__(self) -> None:
        self._births: list[tuple[Numbers, Numbers]] = []
        self._ends: list[tuple[int, Numbers]] = []
        self._size = 0

    def __len__(self) -> int:
        """Forks and exits that are remembered."""
        return self._size

    def born(self, children: Numbers, makers: Numbers) -> None:
        """Forks."""
        self._births.append((children, makers))
        self._size += len(children)

    def ended(self, processes: Numbers, until: int) -> None:
        """Exits; no event of these processes is later than `until`."""
        self._ends.append((until, processes))
        self._size += len(processes)

    def settle(self, processes: Numbers, looked_at: int, most: int) -> tuple[NDArray[np.bool_], Numbers, int]:
        """Which of some processes have ended, as far as all events until `looked_at` tell; who has children
        that have not; and how many of those children were forgotten, since there are more than `most`.
        """
        certain = [each for until, each in self._ends if until <= looked_at]
        self._ends = [(until, each) for until, each in self._ends if until > looked_at]
        children = np.concatenate([np.empty(0, np.uint64), *(each for each, _ in self._births)])
        makers = np.concatenate([np.empty(0, np.uint64), *(each for _, each in self._births)])
        last = np.zeros(PID_LIMIT, np.uint64)  # by pid, the newest process that had it and has ended
        for each in certain:
            last[each & _PID] = each
        live = last[children & _PID] < children
        children, makers = children[live], makers[live]
        before = len(children)
        if before > most:  # one child of each is enough to know that somebody lives
            first = np.sort(np.unique(makers, return_index=True)[1])[:most]
            children, makers = children[first], makers[first]
        self._births = [(children, makers)]
        self._size = len(children) + sum(len(each) for _, each in self._ends)
        return last[processes & _PID] >= processes, makers, before - len(children)
