"""Which processes descend from which, and which files they run.

A process that has ended, without a descendant that has not, is of no use any more, and only such ones are let
go as long as that is enough. Where more than `limit` remain, those go that were unused longest, and are
counted: first those that are known again as soon as they act, since their events name their parent; of those
that were last used at about the same time the youngest, so that a flood hurts itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from detect.sequences.bounds import Counters
from detect.sequences.living import Living, Numbers

DEEPEST: Final = 64
"""Generations that are looked at."""
FILES: Final = 4
"""Programs that are remembered of one process, the newest."""


class Lineage:
    """Learns from events in the order of their arrival. Processes and files are numbers; 0 is none.

    Of a process that neither forked nor executed nothing is kept: its events name its parent.
    """

    def __init__(self, limit: int, counters: Counters) -> None:
        self._limit = limit
        self._counters = counters
        self._parent: dict[int, int] = {}
        """Of everyone that forked or executed; 0 if that is not known."""
        self._files: dict[int, tuple[tuple[int, int], ...]] = {}
        """Of some of them."""
        self._living = Living()
        self._ended: set[int] = set()
        """When room was last made."""
        self._acted: set[int] = set()
        """Since then."""
        self._used: dict[int, int] = {}
        """Then: how often it had been made when they or a descendant last acted."""
        self._rounds = 0
        self._above: dict[int, tuple[int, ...]] = {}
        self._ends: set[int] = set()
        """The last of each of them."""

    def __len__(self) -> int:
        return len(self._parent)

    def born(self, children: Numbers, makers: Numbers) -> None:
        """Forks."""
        self._living.born(children, makers)

    def act(self, processes: Numbers, parents: Numbers) -> None:
        """Who forks or executes, and the parents. What was learnt first holds."""
        each, first = np.unique(processes, return_index=True)
        acting = each.tolist()
        self._acted.update(acting)
        known = self._parent
        new = {
            one: parent
            for one, parent in zip(acting, parents[first].tolist(), strict=True)
            if one not in known
        }
        if not new:
            return
        known.update(new)
        if not self._ends.isdisjoint(new):
            self._forget()  # somebody's ancestors go on from there

    def executed(self, processes: list[int], files: list[int], times: list[int]) -> None:
        """Which process executed which file, and when. They act, too."""
        known = self._files
        for process, file, time in zip(processes, files, times, strict=True):
            before = known.get(process)
            known[process] = ((time, file),) if before is None else ((time, file), *before[: FILES - 1])

    def ended(self, processes: Numbers, until: int) -> None:
        """Exits; no event of these processes is later than `until`."""
        self._living.ended(processes, until)

    def bound(self, looked_at: int) -> None:
        """Make room if there are too many. All events that are not later than `looked_at` were looked at."""
        if len(self._parent) > self._limit or len(self._living) > 4 * self._limit:
            self._make_room(looked_at, self._limit - self._limit // 16)

    def _make_room(self, looked_at: int, most: int) -> None:
        known = np.fromiter(self._parent, np.uint64, len(self._parent))
        ended, makers, over = self._living.settle(known, looked_at, self._limit)
        self._counters.processes_forgotten += over
        self._ended.update(known[ended].tolist())
        makers_of_living = set(makers.tolist())
        live = (self._parent.keys() - self._ended) | makers_of_living
        self._keep(self._with_ancestors(live, len(self._parent) + 1))
        self._rounds += 1
        acted = self._with_ancestors(self._acted & self._parent.keys(), DEEPEST)
        used = dict.fromkeys(acted, self._rounds)
        self._used = {each: used.get(each, self._used.get(each, self._rounds)) for each in self._parent}
        self._acted.clear()
        if len(self._parent) > most:
            bare = self._parent.keys() - self._parent.values() - self._files.keys() - makers_of_living
            young = list(reversed(self._parent))
            young.sort(key=lambda each: (each not in bare, self._used[each]))
            gone = young[: len(young) - most]
            self._counters.processes_forgotten += len(gone)
            self._keep(self._parent.keys() - gone)

    def _with_ancestors(self, processes: Iterable[int], generations: int) -> set[int]:
        found: set[int] = set()
        for process in processes:
            each, depth = process, 0
            while each and each not in found and depth < generations:
                found.add(each)
                each, depth = self._parent.get(each, 0), depth + 1
        return found

    def _keep(self, kept: set[int]) -> None:
        self._parent = {each: self._parent[each] for each in self._parent if each in kept}
        self._files = {each: self._files[each] for each in self._files if each in kept}
        self._ended &= kept
        self._forget()

    def above(self, parent: int) -> tuple[int, ...]:
        """A process, its parent, that one's parent and so on. It is kept: for those who are parents."""
        return self._above.get(parent) or self._climb(parent)

    def ancestors(self, process: int, parent: int) -> tuple[int, ...]:
        """The process itself, its parent, that one's parent and so on; each once."""
        return tuple(dict.fromkeys((process, *self.above(parent))))[:DEEPEST]

    def _climb(self, process: int) -> tuple[int, ...]:
        if not process:
            return ()
        if len(self._above) > self._limit:
            self._forget()
        known, parent = self._above, self._parent
        path: list[int] = []
        while process and process not in known and process not in path and len(path) < DEEPEST:
            path.append(process)
            process = parent.get(process, 0)
        found = known.get(process, ())
        for each in reversed(path):
            found = known[each] = (each, *found)[:DEEPEST]
        self._ends.update(found[-1:])
        return found

    def executed_by(self, processes: Iterable[int]) -> list[int]:
        """What these run or ran, at any time."""
        known = self._files
        return [file for each in processes if each in known for _, file in known[each]]

    def files(self, ancestors: tuple[int, ...], now: int) -> list[int]:
        """What these processes run or ran by now, the nearest process and its newest program first."""
        known = self._files
        return [file for each in ancestors if each in known for time, file in known[each] if time <= now]

    def _forget(self) -> None:
        self._above.clear()
        self._ends.clear()
