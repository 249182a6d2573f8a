"""Which processes descend from which, and which files they run. Both are bounded, the oldest goes first."""

from __future__ import annotations

from itertools import islice
from typing import Final

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
        self._files: dict[int, tuple[int, ...]] = {}
        self._ancestors: dict[int, tuple[int, ...]] = {}

    def learn(self, processes: list[int], parents: list[int]) -> None:
        """Who is whose child. What was learnt first holds: an orphan stays where it came from."""
        known = self._parents
        for process, parent in zip(processes, parents, strict=True):
            if process not in known and parent and process:
                known[process] = parent
        self._bound(known)

    def runs(self, process: int, file: int) -> None:
        """A process executes a file."""
        files = self._files.pop(process, ())
        self._files[process] = (*(each for each in files if each != file), file)[-FILES:]
        self._bound(self._files)

    def ancestors(self, process: int) -> tuple[int, ...]:
        """The process itself, its parent and so on."""
        found = self._ancestors.get(process)
        if found is None or found[-1] in self._parents:
            chain = [process]
            while (parent := self._parents.get(chain[-1])) and len(chain) < DEEPEST and parent not in chain:
                chain.append(parent)
            if len(self._ancestors) >= self.limit:
                self._ancestors.clear()
            found = self._ancestors[process] = tuple(chain)
        return found

    def files(self, process: int) -> list[int]:
        """What the process or an ancestor of it runs or ran, the nearest and newest first."""
        known = self._files
        if not known:
            return []
        return [file for each in self.ancestors(process) for file in reversed(known.get(each, ()))]

    def _bound(self, table: dict[int, int] | dict[int, tuple[int, ...]]) -> None:
        if len(table) > self.limit:
            oldest = list(islice(table, len(table) - self.limit + self.limit // 16))
            for each in oldest:
                del table[each]
            self.forgotten += len(oldest)
