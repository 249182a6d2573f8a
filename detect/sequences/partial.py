"""All partial matches, within their bounds: runs by sequence and key, and noted first steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np

from detect.sequences.automaton import Automaton, firsts
from detect.sequences.begins import Begin, shared
from detect.sequences.bounds import Counters, Limits
from detect.sequences.events import Events, Kept
from detect.sequences.runs import Link, Run
from detect.sequences.shelf import Shelf
from detect.sequences.waiting import Waiting

SWEEP: Final = 60 * 10**9
"""Nanoseconds of event time between two searches for what has expired."""


@dataclass(slots=True)
class State:
    """One sequence and its partial matches by key, the longest untouched first."""

    number: int
    automaton: Automaton
    joined: str
    """The value of its `Key`."""
    first: int
    """The bit of `Waiting` that stands for its first step."""
    begin: Begin | None
    """Where its first step is noted, if it is shared; then `runs` have got further."""
    runs: dict[int, list[Run]] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    """By key: the serial number of the event with which it came true; what began before then is over."""
    due: int = 0
    """When its runs are searched again for what has expired."""


class Partial:
    """Everything that has begun and is not over."""

    def __init__(
        self, automata: list[Automaton], waiting: Waiting, limits: Limits, counters: Counters
    ) -> None:
        self.begins, of_each = shared(automata)
        self.states = [
            State(number, automaton, automaton.key.value, first, begin)
            for number, (automaton, first, begin) in enumerate(
                zip(automata, firsts(automata), of_each, strict=True)
            )
        ]
        self.live = 0
        """Sequences times keys that have something; a shared first step counts once."""
        self._due = SWEEP
        self._gone = 0
        """Keys that were let go, and for which somebody may still seem to wait."""
        self._waiting = waiting
        self._limits = limits
        self._counters = counters
        self._shelf = Shelf()

    def note(self, begin: Begin, key: int, serial: int) -> None:
        """An event is the first step of some sequences. Whoever notes gives it to `shelve`."""
        if begin.last.pop(key, None) is None:
            self.live += 1
            self._waiting.add(begin.joined, key, begin.waits)
        begin.last[key] = serial
        if self.live > self._limits.keys:
            self._evict()

    def shelve(self, events: Events, places: list[int]) -> None:
        """Keep the events that were noted, which are at these places."""
        self._shelf.put(events.rows(np.array(places, np.intp)))
        noted = sum(len(begin.last) for begin in self.begins)
        if self._shelf.crowded(noted):
            every = [np.fromiter(begin.last.values(), np.int64, len(begin.last)) for begin in self.begins]
            self._shelf.retain(np.unique(np.concatenate(every)))

    def begin(self, state: State, key: int, events: Events, now: int) -> None:
        """An event that nobody of a key waits for may begin a sequence whose first step is one event."""
        first, step = state.automaton.steps[:2]
        if not first.watch.holds(events, ()):
            return
        captured = tuple([events[name] for name in first.capture])
        run = Run(1, now, now, captured, Link(None, 0, events.keep()))
        before = state.runs.get(key)
        if before is not None:  # those that wait for the same are older, and can do no more than it
            power = run.power(step)
            others = [each for each in before if each.at != 1 or each.power(step) != power]
            self.keep(state, key, [run, *others], fresh=False)
            return
        state.runs[key] = [run]
        self.live += 1
        self._waiting.add(state.joined, key, 2 << state.first)
        if self.live > self._limits.keys:
            self._evict()

    def begun(self, state: State, key: int, events: Events, now: int) -> Run | None:
        """A run of the first step that was noted before, unless it was made already or is over."""
        serial = state.begin.last.get(key) if state.begin is not None else None
        if serial is None or serial >= events.serial or serial <= state.told.get(key, -1):
            return None
        start, kept = self._noted(serial, events)
        if now - start > state.automaton.within:
            return None
        if any(run.at == 1 and run.start == start for run in state.runs.get(key, ())):
            return None
        return Run(1, start, start, (), Link(None, 0, kept))

    def _noted(self, serial: int, events: Events) -> tuple[int, Kept]:
        at = serial - events.first
        return self._shelf.get(serial) if at < 0 else (events.time[at], events.keep(at))

    def keep(self, state: State, key: int, runs: list[Run], *, fresh: bool) -> None:
        """What an event left of the runs of a key, which had none before if `fresh`."""
        if not runs:
            if not fresh:
                del state.runs[key]
                self.live -= 1
            return
        most = self._limits.runs
        while len(runs) > most and len(runs) > most + state.automaton.counted:
            runs.remove(min(runs, key=lambda run: (run.at, run.count, run.since)))
            self._counters.runs_evicted += 1
        if not fresh:
            del state.runs[key]  # to be put last: the first is the longest untouched
        else:
            self.live += 1
        state.runs[key] = runs
        self._wait(state, key, runs)
        if self.live > self._limits.keys:
            self._evict()

    def _wait(self, state: State, key: int, runs: list[Run]) -> None:
        bits = 1 << runs[0].at
        for run in runs[1:]:
            bits |= 1 << run.at
        self._waiting.add(state.joined, key, bits << state.first)

    def _evict(self) -> None:
        """Let go of what is longest untouched where there is most."""
        tables: list[dict[int, Any]] = [state.runs for state in self.states]
        fullest = max((*tables, *(begin.last for begin in self.begins)), key=len)
        oldest = list(islice(fullest, max(1, min(len(fullest) // 4, self._limits.keys // 64))))
        for key in oldest:
            del fullest[key]
        self.live -= len(oldest)
        self._gone += len(oldest)
        self._counters.keys_evicted += len(oldest)

    def sweep(self, now: int) -> None:
        """Let go of what cannot come true any more, now that everything before `now` was looked at."""
        if now < self._due:
            return
        self._due = now + SWEEP
        most = self._limits.sessions
        for state in self.states:
            if len(state.told) > most:
                state.told = {key: state.told[key] for key in list(state.told)[-most // 2 :]}
            if now >= state.due:
                state.due = now + max(SWEEP, state.automaton.patience // 8)
                self._let_go(state.runs, [key for key, runs in state.runs.items() if _over(state, runs, now)])
        for begin in self.begins:
            since = self._shelf.since(now - begin.within)
            early = []
            for key, noted in begin.last.items():  # the earliest first
                if noted >= since:
                    break
                early.append(key)
            self._let_go(begin.last, early)
        if self._gone > self.live // 2:
            self._forget_waiting()

    def _forget_waiting(self) -> None:
        """Who waits for what, found anew."""
        self._gone = 0
        self._waiting.clear()
        for begin in self.begins:
            for key in begin.last:
                self._waiting.add(begin.joined, key, begin.waits)
        for state in self.states:
            for key, runs in state.runs.items():
                self._wait(state, key, runs)

    def _let_go(self, table: dict[int, Any], over: list[int]) -> None:
        for key in over:
            del table[key]
        self.live -= len(over)
        self._gone += len(over)
        self._counters.expired += len(over)


def _over(state: State, runs: list[Run], now: int) -> bool:
    return all(run.expired(state.automaton, now) for run in runs)
