"""Which processes descend from which, and which files they run. Both are bounded, the oldest goes first."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

DEEPEST: Final = 64
"""Generations that are looked at."""
FILES: Final = 4
"""Programs that are remembered of one process, the newest."""


class Lineage:
    """Learns from events; processes and files are numbers."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = 0
        self._parents: dict[int, int] = {}
        self._files: dict[int, tuple[tuple[int, int], ...]] = {}
        self._ancestors: dict[int, tuple[int, ...]] = {}
        self._ends: set[int] = set()
        """The last of each of them."""

    def learn(self, processes: list[int], parents: list[int]) -> None:
        """Who is whose child, as far as both are known. What was learnt first holds: an orphan stays where it
        came from."""
        known = self._parents
        fresh = dict(zip(reversed(processes), reversed(parents), strict=True))
        for process in fresh.keys() & known.keys():
            del fresh[process]
        known.update(fresh)
        if not self._ends.isdisjoint(fresh):  # somebody's ancestors go on from there
            self._ancestors.clear()
            self._ends.clear()
        self._bound(known)

    def executed(self, processes: list[int], files: list[int], times: list[int]) -> None:
        """Which process executed which file, and when."""
        known = self._files
        for process, file, time in zip(processes, files, times, strict=True):
            before = known.pop(process, ())
            known[process] = ((time, file), *before[: FILES - 1])
        self._bound(known)

    def ancestors(self, process: int) -> tuple[int, ...]:
        """The process itself, its parent and so on."""
        found = self._ancestors.get(process)
        if found is None:
            chain = [process]
            while (parent := self._parents.get(chain[-1])) and len(chain) < DEEPEST and parent not in chain:
                chain.append(parent)
            if len(self._ancestors) >= self.limit:
                self._ancestors.clear()
                self._ends.clear()
            found = self._ancestors[process] = tuple(chain)
            self._ends.add(chain[-1])
        return found

    def executed_by(self, ancestors: tuple[int, ...]) -> list[int]:
        """What these processes run or ran, at any time."""
        known = self._files
        return [file for each in ancestors if each in known for _, file in known[each]]

    def files(self, ancestors: tuple[int, ...], now: int) -> list[int]:
        """What these processes run or ran by now, the nearest process and its newest program first."""
        known, found = self._files, []
        for each in ancestors:
            if each in known:
                for time, file in known[each]:
                    if time <= now:
                        found.append(file)
        return found

    def _bound(self, table: dict[int, Any]) -> None:
        if len(table) > self.limit:
            oldest = list(islice(table, len(table) - self.limit + self.limit // 16))
            for each in oldest:
                del table[each]
            self.forgotten += len(oldest)
