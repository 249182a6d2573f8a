"""Which processes descend from which, and which files they run. Both are bounded, the oldest goes first."""

from __future__ import annotations

from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEEPEST: Final = 64
"""Generations that are looked at."""
FILES: Final = 4
"""Programs that are remembered of one process, the newest."""

Numbers = NDArray[np.uint64]


class Lineage:
    """Learns from events; processes and files are numbers, and those of processes grow with their birth."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = 0
        self._process: Numbers = np.empty(0, np.uint64)
        """In order."""
        self._parent: Numbers = np.empty(0, np.uint64)
        self._files: dict[int, tuple[tuple[int, int], ...]] = {}
        self._ancestors: dict[int, tuple[int, ...]] = {}
        self._ends: set[int] = set()
        """The last of each of them."""

    def learn(self, processes: Numbers, parents: Numbers) -> None:
        """Who is whose child, as far as both are known. What was learnt first holds: an orphan stays where it
        came from."""
        fresh = self._parents(processes) == 0
        new, first = np.unique(processes[fresh], return_index=True)
        if not len(new):
            return
        process = np.concatenate([self._process, new])
        parent = np.concatenate([self._parent, parents[fresh][first]])
        if len(self._process) and new[0] < self._process[-1]:
            order = np.argsort(process, kind="stable")
            process, parent = process[order], parent[order]
        if not self._ends.isdisjoint(new.tolist()):
            self._forget()  # somebody's ancestors go on from there
        if len(process) > self.limit:
            over = len(process) - self.limit + self.limit // 16
            process, parent = process[over:], parent[over:]
            self.forgotten += over
        self._process, self._parent = process, parent

    def executed(self, processes: list[int], files: list[int], times: list[int]) -> None:
        """Which process executed which file, and when."""
        known = self._files
        for process, file, time in zip(processes, files, times, strict=True):
            before = known.pop(process, ())
            known[process] = ((time, file), *before[: FILES - 1])
        if len(known) > self.limit:
            oldest = list(islice(known, len(known) - self.limit + self.limit // 16))
            for each in oldest:
                del known[each]
            self.forgotten += len(oldest)

    def ancestors(self, process: int) -> tuple[int, ...]:
        """The process itself, its parent and so on."""
        if process not in self._ancestors:
            self.prepare([process])
        return self._ancestors.get(process, (process,))

    def prepare(self, processes: list[int]) -> None:
        """Find the ancestors of many processes at once."""
        if len(self._ancestors) > self.limit:
            self._forget()
        known, parent_of = self._ancestors, dict[int, int]()
        missing = set(processes).difference(known, (0,))
        for _ in range(DEEPEST):
            if not missing:
                break
            asked = list(missing)
            parents = self._parents(np.array(asked, np.uint64)).tolist()
            parent_of.update(zip(asked, parents, strict=True))
            missing = set(parents).difference(known, parent_of, (0,))
        for process in parent_of:
            path, each = [], process
            while each and each not in known and each not in path:
                path.append(each)
                each = parent_of.get(each, 0)
            above = known.get(each, ())
            for each in reversed(path):
                above = known[each] = (each, *above)[:DEEPEST]
            self._ends.update(above[-1:])

    def executed_by(self, ancestors: tuple[int, ...]) -> list[int]:
        """What these processes run or ran, at any time."""
        known = self._files
        return [file for each in ancestors if each in known for _, file in known[each]]

    def files(self, ancestors: tuple[int, ...], now: int) -> list[int]:
        """What these processes run or ran by now, the nearest process and its newest program first."""
        known = self._files
        return [file for each in ancestors if each in known for time, file in known[each] if time <= now]

    def _parents(self, processes: Numbers) -> Numbers:
        """0 where none is known."""
        if not len(self._process):
            return np.zeros(len(processes), np.uint64)
        at = np.minimum(self._process.searchsorted(processes), len(self._process) - 1)
        return np.where(self._process[at] == processes, self._parent[at], np.uint64(0))

    def _forget(self) -> None:
        self._ancestors.clear()
        self._ends.clear()
