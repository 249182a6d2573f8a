"""All partial matches, within their bounds: runs by sequence and key, and noted first steps."""

from __future__ import annotations

from collections.abc import Iterable, KeysView
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from detect.sequences.automaton import Automaton, Watch, firsts
from detect.sequences.begins import Begin, shared
from detect.sequences.bounds import Counters, Limits
from detect.sequences.events import Events, Kept, Rows
from detect.sequences.runs import Link, Run
from detect.sequences.shelf import Shelf
from detect.sequences.waiting import Waiting

SWEEP: Final = 60 * 10**9
"""Nanoseconds of event time between two searches for what has expired."""


@dataclass(slots=True, eq=False)
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
    most: int
    """Runs of one key."""
    runs: dict[int, list[Run]] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    """By key: the serial number of the event with which it came true; what began before then is over."""
    due: int = 0
    """When its runs are searched again for what has expired."""

    def keys(self) -> KeysView[int]:
        """Who has runs, the longest untouched first."""
        return self.runs.keys()

    def forget(self, keys: Iterable[int]) -> None:
        """These have none any more."""
        for key in keys:
            del self.runs[key]


class Partial:
    """Everything that has begun and is not over."""

    def __init__(
        self, automata: list[Automaton], waiting: Waiting, limits: Limits, counters: Counters
    ) -> None:
        self.begins, of_each = shared(automata)
        self.states = [
            State(number, automaton, automaton.key.value, first, begin, limits.runs + automaton.counted)
            for number, (automaton, first, begin) in enumerate(
                zip(automata, firsts(automata), of_each, strict=True)
            )
        ]
        self.live = 0
        """Sequences times keys that have something; a noted first step counts by itself."""
        self._due = SWEEP
        self._gone = 0
        """Keys that were let go, and for which somebody may still seem to wait."""
        self._waiting = waiting
        self._limits = limits
        self._counters = counters
        self._shelf = Shelf()

    def note(self, begin: Begin, key: int, serial: int) -> None:
        """An event is the first step of some sequences. Whoever notes gives it to `shelve`."""
        last = begin.last
        if last.pop(key, None) is not None:
            last[key] = serial
            return
        last[key] = serial
        self.live += 1
        self._waiting.add(begin.joined, key, begin.waits)
        if self.live > self._limits.keys:
            self._evict()

    def capture(self, begin: Begin, key: int, events: Events) -> None:
        """The same for a first step that may capture: the last event for each value."""
        serial = events.serial
        if begin.capture:
            captured = tuple(map(events.__getitem__, begin.capture))
            values = begin.captured.get(key)
            if values is None:
                begin.captured[key] = {captured: serial}
            else:
                if values.pop(captured, None) is None:
                    begin.more += 1
                values[captured] = serial
                state = self.states[begin.sequence]
                runs = state.runs.get(key, [])
                if len(values) + len(runs) > state.most:
                    self._bound(state, key, runs)
        self.note(begin, key, serial)

    def _bound(self, state: State, key: int, runs: list[Run]) -> None:
        """Of too many runs and first steps of a key those go that have got least far, the earliest first."""
        begin = state.begin
        if begin is not None and begin.capture:
            values = begin.captured.get(key, {})
            while len(values) > 1 and len(values) + len(runs) > state.most:
                del values[next(iter(values))]
                begin.more -= 1
                self._counters.runs_evicted += 1
        while len(runs) > state.most:
            runs.remove(min(runs, key=lambda run: (run.at, run.count, run.since)))
            self._counters.runs_evicted += 1

    def shelve(self, rows: Rows) -> None:
        """Keep events, among which are those that were noted."""
        self._shelf.put(rows)
        if self._shelf.crowded(sum(begin.events for begin in self.begins)):
            self._shelf.retain(np.unique(np.concatenate([begin.serials() for begin in self.begins])))

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

    def begun(
        self, state: State, key: int, events: Events, now: int, watch: Watch | None = None
    ) -> list[Run]:
        """Runs of first steps that were noted before, unless they were made already or are over.

        With `watch` only those that it holds for.
        """
        if state.begin is None:
            return []
        found = []
        told, runs = state.told.get(key, -1), state.runs.get(key, ())
        for captured, serial in state.begin.noted(key):
            if not told < serial < events.serial or (watch and not watch.holds(events, captured)):
                continue
            start, kept = self._noted(serial, events)
            made = any(run.at == 1 and run.start == start and run.captured == captured for run in runs)
            if not made and now - start <= state.automaton.within:
                found.append(Run(1, start, start, captured, Link(None, 0, kept)))
        return found

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
        self._bound(state, key, runs)
        if not fresh:
            del state.runs[key]  # to be put last: the first is the longest untouched
        else:
            self.live += 1
        state.runs[key] = runs
        self._wait(state, key, runs)
        if self.live > self._limits.keys:
            self._evict()

    def over(self, state: State, key: int, serial: int) -> None:
        """A sequence came true for a key with this event."""
        state.told[key] = serial
        begin = state.begin
        if begin is not None and begin.capture and key in begin.captured:
            self._let_go(begin, [key])

    def _wait(self, state: State, key: int, runs: list[Run]) -> None:
        bits = 1 << runs[0].at
        for run in runs[1:]:
            bits |= 1 << run.at
        self._waiting.add(state.joined, key, bits << state.first)

    def _evict(self) -> None:
        """Let go of what is longest untouched where there is most."""
        tables: list[State | Begin] = [*self.states, *self.begins]
        fullest = max(tables, key=lambda each: len(each.keys()))
        size = len(fullest.keys())
        oldest = list(islice(fullest.keys(), max(1, min(size // 4, self._limits.keys // 64))))
        self._let_go(fullest, oldest)
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
                self._expire(state, [key for key, runs in state.runs.items() if _over(state, runs, now)])
        for begin in self.begins:
            since = self._shelf.since(now - begin.within)
            early = []
            for key, noted in begin.last.items():  # the earliest first
                if noted >= since:
                    break
                early.append(key)
            self._expire(begin, early)
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

    def _expire(self, table: State | Begin, over: list[int]) -> None:
        self._let_go(table, over)
        self._counters.expired += len(over)

    def _let_go(self, table: State | Begin, keys: list[int]) -> None:
        table.forget(keys)
        self.live -= len(keys)
        self._gone += len(keys)


def _over(state: State, runs: list[Run], now: int) -> bool:
    return all(run.expired(state.automaton, now) for run in runs)
