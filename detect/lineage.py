"""Who is whose child, by column: forks, execs and exits of a batch change the table of processes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Flag, Type
from detect.batch import Batch
from detect.processes import PID_LIMIT, Ask, Processes, number_of
from detect.symbols import EMPTY

Numbers = NDArray[Any]

_NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Part:
    """Some events of a batch: the columns that lineage depends on, and which of them change it.

    Children of forks are pids that can be; other forks are left out. So are forks and exits of threads.
    """

    pids: Numbers
    forks: Numbers
    children: Numbers
    execs: Numbers
    exits: Numbers

    def __len__(self) -> int:
        return len(self.pids)

    def until(self, end: int) -> Part:
        """The first `end` events."""
        births, runs, ends = (np.searchsorted(each, end) for each in (self.forks, self.execs, self.exits))
        return Part(
            self.pids[:end], self.forks[:births], self.children[:births], self.execs[:runs], self.exits[:ends]
        )


def part_of(batch: Batch, first: int) -> Part:
    """All events from `first` on."""
    kinds = batch["type"][first:]
    pids = batch["pid"][first:].astype(np.intp)
    pids[pids >= PID_LIMIT] = 0
    whole = batch["flags"][first:] & Flag.THREAD == 0
    forks = np.nonzero((kinds == Type.FORK) & whole)[0]
    children = batch["target_pid"][first:][forks].astype(np.intp)
    possible = (children > 0) & (children < PID_LIMIT) & (children != pids[forks])
    exits = np.nonzero((kinds == Type.EXIT) & whole)[0]
    return Part(
        pids, forks[possible], children[possible], np.nonzero(kinds == Type.EXEC)[0], exits[pids[exits] > 0]
    )


class Lineage:
    """Follows the processes of one host through its batches."""

    def __init__(self, processes: Processes, ask: Ask) -> None:
        self.processes = processes
        self._ask = ask
        self._born = np.full(processes.limit + 1, -1, np.int64)
        self._ended = np.full(processes.limit + 1, _NEVER, np.int64)
        self.adopted = 0
        """Processes whose birth was not seen."""
        self.nobody = 0
        """Events of pid 0, or of a pid that cannot be: they have no process."""

    def follow(self, batch: Batch, out: dict[str, Numbers], first: int) -> int:
        """Fill in the processes and parents of the events from `first` on, and return the first that is left.

        That is one at which a pid is another process than before: it is forked after it acted, or acts after
        its exit. Both are rare, so a part is tried as a whole, and again up to there if need be.
        """
        table = self.processes
        part = part_of(batch, first)
        while True:
            strangers = self._strangers(part)
            need = len(part.forks) + len(strangers)
            if need > table.free:
                if need > table.limit - table.acting(part.pids):
                    part = part.until(len(part) // 2)
                else:
                    table.forget(need)
                continue
            before = table.place[part.children]
            births = table.take(part.children)
            adopted = table.take(strangers)
            at = table.place.take(part.pids, mode="clip")
            end = self._first_change(part, births, at)
            if end == len(part):
                break
            table.release(adopted)
            table.release(births)
            table.place[part.children] = before
            part = part.until(end)
        rows = batch.take(slice(first, first + len(part)))
        sights = self._meet(rows, part, adopted)
        self._settle(rows, part, births, at)
        for place in sights:
            self._find_parent(rows, part, place, sights, before)
        table.release(np.unique(before[before > 0]))  # their exits were lost
        runs = at[part.execs]
        table.exe[runs], table.args[runs] = rows["exe"][part.execs], rows["args"][part.execs]
        table.exe[0] = table.args[0] = EMPTY
        for name in ("process", "parent", "parent_exe", "parent_args"):
            column = getattr(table, "number" if name == "process" else name)
            out[name][first : first + len(part)] = column.take(at, mode="clip")
        table.seen(at)
        ended = np.unique(at[part.exits])
        table.release(ended[ended > 0])
        return first + len(part)

    def _strangers(self, part: Part) -> Numbers:
        """Pids that act and are not known, and are not born in this part."""
        unknown = part.pids[self.processes.place.take(part.pids, mode="clip") == 0]
        unknown = unknown[unknown > 0]
        return np.setdiff1d(unknown, part.children) if len(unknown) else unknown

    def _first_change(self, part: Part, births: Numbers, at: Numbers) -> int:
        """The first event at which a pid is another process than before; the number of events if none."""
        born, ended = self._born, self._ended
        born[births] = part.forks
        exiting = at[part.exits]
        ended[exiting[::-1]] = part.exits[::-1]
        ended[0] = _NEVER
        order = np.arange(len(part))
        changes = []
        early = order < born.take(at, mode="clip")
        if early.any():
            changes.append(born[at[early]].min())
        late = order > ended.take(at, mode="clip")
        if late.any():
            changes.append(order[late][0])
        final = self.processes.place[part.children]
        twice = final != births
        if twice.any():
            changes.append(born[final[twice]].min())
        born[births] = -1
        ended[exiting] = _NEVER
        return int(min(changes, default=len(part)))

    def _meet(self, rows: Batch, part: Part, adopted: Numbers) -> dict[int, int]:
        """What is known of the processes that were there before. Returns the first event of each place."""
        table = self.processes
        pids = table.pid[adopted]
        sights = np.nonzero(np.isin(part.pids, pids))[0] if len(pids) else np.empty(0, np.int64)
        _, which = np.unique(part.pids[sights], return_index=True)
        sights = sights[which]  # in the order of pids, as `adopted` is
        table.number[adopted] = number_of(pids, rows["time"][sights])
        table.exe[adopted], table.args[adopted] = rows["exe"][sights], rows["args"][sights]
        self.adopted += len(adopted)
        return dict(zip(adopted.tolist(), sights.tolist(), strict=True))

    def _settle(self, rows: Batch, part: Part, births: Numbers, at: Numbers) -> None:
        """What is known of the processes that were forked."""
        table = self.processes
        table.number[births] = number_of(part.children, rows["time"][part.forks])
        for name in ("exe", "args"):
            runs = rows[name][part.forks]
            getattr(table, name)[births] = runs
            getattr(table, f"parent_{name}")[births] = runs
        table.parent[births] = table.number[at[part.forks]]
        self.nobody += int(np.count_nonzero(at == 0))

    def _find_parent(
        self, rows: Batch, part: Part, place: int, sights: dict[int, int], before: Numbers
    ) -> None:
        """Of a process that was there before: what its parent is and runs when the process is first seen."""
        table, sight = self.processes, sights[place]
        ppid = int(rows["ppid"][sight])
        parent = int(table.place[ppid]) if ppid < PID_LIMIT else 0
        born = np.nonzero(part.children == ppid)[0]
        if len(born) and part.forks[born[0]] >= sight:
            parent = int(before[born[0]])
        exits = part.exits[: np.searchsorted(part.exits, sight)]
        gone = bool((part.pids[exits] == ppid).any())
        if parent and not gone and sights.get(parent, -1) < sight:
            table.parent[place] = table.number[parent]
            execs = part.execs[: np.searchsorted(part.execs, sight)]
            execs = execs[part.pids[execs] == ppid]
            exe, args = (table.exe[parent], table.args[parent])
            if len(execs):
                exe, args = rows["exe"][execs[-1]], rows["args"][execs[-1]]
        else:
            table.parent[place] = 0
            known = self._ask(ppid) if ppid else None
            exe = rows.symbols.intern(known.exe) if known else EMPTY
            args = rows.symbols.intern(known.args) if known else EMPTY
        table.parent_exe[place], table.parent_args[place] = exe, args
