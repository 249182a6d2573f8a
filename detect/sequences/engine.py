"""The engine: batches of tagged events in, alerts out. The same for the stream and for history.

Whole batches are only sifted: what no sequence can begin with or waits for is never looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.alert import Alert, Evidence, Level
from detect.batch import Batch, Tagged
from detect.sequences.automaton import Automaton, Interest, build, interests
from detect.sequences.events import Events, file_key, file_keys
from detect.sequences.lineage import Lineage
from detect.sequences.order import Order, Ordered, Part
from detect.sequences.runs import Link, Run, advance
from policies.sequence import Key
from policies.sequence import Sequence as Document

SWEEP: Final = 10 * 10**9
"""Nanoseconds of event time between two searches for what has expired."""

_GAP: Final = -1
_DENIED: Final = -2
"""What an event is to the engine beside a set of tags."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the engine's memory; `slack` is how far out of order events may be, in nanoseconds."""

    slack: int = 50 * 10**6
    keys: int = 1 << 16
    """Sequences times keys that have a partial match."""
    runs: int = 32
    """Partial matches of one sequence for one key, and as many again as its steps count to."""
    processes: int = 1 << 15
    sessions: int = 1 << 12
    """Sessions whose gaps are remembered."""


@dataclass(slots=True)
class Counters:
    """What the engine did, and what it had to let go."""

    events: int = 0
    looked_at: int = 0
    alerts: int = 0
    gaps: int = 0
    restarts: int = 0
    """Times that the clock fell back: another boot of the host, in history."""
    without_key: int = 0
    """Events that could have begun a sequence but for their session, process or file not being known."""
    expired: int = 0
    keys_evicted: int = 0
    runs_evicted: int = 0
    repeated_denials: int = 0


@dataclass(slots=True)
class State:
    """One sequence and its partial matches by key, the longest untouched first."""

    automaton: Automaton
    joined: Key
    runs: dict[int, list[Run]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A sequence that came true; what it rests on is filled in when the batch is done."""

    automaton: Automaton
    chain: Link
    session: int
    blocked: bool
    incomplete: bool

    def alert(self) -> Alert:
        """As it is told."""
        document = self.automaton.document
        chain = [
            Evidence(self.automaton.steps[link.step].watch.name, link.event.shown())
            for link in reversed(list(self.chain))
        ]
        return Alert(
            time=chain[-1].event["time"],
            source="sequence",
            name=document.name,
            title=document.title,
            level=Level[document.level.upper()],
            session=self.session,
            place=f"{document.place.path}:{document.place.line}",
            chain=tuple(chain),
            blocked=self.blocked,
            incomplete=self.incomplete,
            tags=document.tags,
        )


class SequenceEngine:
    """Follows sequences over a stream. `tags` names the tags by number, as the rules' engine does."""

    def __init__(
        self, sequences: Iterable[Document], tags: Sequence[str], limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self._states = [State(build(each), each.key) for each in sequences]
        self._order = Order(self.limits.slack)
        self._lineage = Lineage(self.limits.processes)
        self._keys = {state.joined for state in self._states}
        self._automata = [state.automaton for state in self._states]
        self._sets: list[tuple[Interest, ...]] = [interests(self._automata, (tag,)) for tag in tags]
        self._tags = tuple(tags)
        self._used = np.array([bool(each) for each in self._sets], dtype=bool)
        self._set_numbers: dict[tuple[int, ...], int] = {}
        self._live = 0
        self._lost: int | None = None
        self._gap = -1
        self._gaps: dict[int, int] = {}
        self._swept = 0
        self._denials: dict[int, int] = {}
        self._denied: dict[tuple[int, int], int] = {}

    @property
    def late(self) -> int:
        """Events that came too late to be put into their place."""
        return self._order.late

    @property
    def live_keys(self) -> int:
        """Sequences times keys that have a partial match."""
        return self._live

    def blocks(self, rules: Mapping[int, str]) -> None:
        """Rules of the policy image in force that are sequences: a denial by one is its last step."""
        names = {state.automaton.document.name: number for number, state in enumerate(self._states)}
        self._denials = {rule: names[name] for rule, name in rules.items() if name in names}

    def gap(self, session: int) -> None:
        """Events of a session were lost: what it has begun is incomplete from here on."""
        self.counters.gaps += 1
        self._gaps.pop(session, None)
        self._gaps[session] = self._order.youngest
        if len(self._gaps) > self.limits.sessions:
            oldest = next(iter(self._gaps))
            self._gap = max(self._gap, self._gaps.pop(oldest))

    def feed(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        """Take a batch in; alerts of what is certain by now, in the order of their time."""
        self.counters.events += len(batch)
        if len(batch):
            if self._order.restarted(batch):
                self._restart()
            times = self._order.times(batch)
            at, what = self._sift(batch, tagged, times)
            self._order.add(Part(batch, at, times[at], what))
        return self._process(self._order.release())

    def drain(self) -> list[Alert]:
        """Alerts of all that is held back: at the end of history, or when the stream has paused."""
        return self._process(self._order.release(everything=True))

    def _sift(
        self, batch: Batch, tagged: Tagged, times: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The places of the events that matter, and what each is to the engine, in the order of arrival."""
        places, what = self._tagged(tagged)
        parts = [(places, what)]
        lost = np.ascontiguousarray(batch["lost"])
        first = int(lost[0]) if self._lost is None else self._lost
        self._lost = int(lost[-1])
        gaps = np.flatnonzero(np.diff(lost, prepend=np.uint32(first)))
        if len(gaps):
            parts.insert(0, (gaps, np.full(len(gaps), _GAP)))
        if Key.TREE in self._keys or Key.FILE in self._keys:
            kinds = np.ascontiguousarray(batch["type"])
            born = np.flatnonzero((kinds == Type.FORK) | (kinds == Type.EXEC))
            for where in (born, places):
                self._lineage.learn(batch["process"][where].tolist(), batch["parent"][where].tolist())
            if Key.FILE in self._keys:
                where = born[kinds[born] == Type.EXEC]
                files = file_keys(batch["inode"][where], batch["device"][where])
                self._lineage.executed(
                    batch["process"][where].tolist(), files.tolist(), times[where].tolist()
                )
        if self._denials:
            denials = np.flatnonzero(batch["type"] == Type.DENIAL)
            denials = denials[np.isin(batch["rule"][denials], list(self._denials))]
            parts.append((denials, np.full(len(denials), _DENIED)))
        if len(parts) == 1:
            return places, what
        every = np.concatenate([part[0] for part in parts])
        order = np.argsort(every, kind="stable")
        return every[order], np.concatenate([part[1] for part in parts])[order]

    def _tagged(self, tagged: Tagged) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Events with a tag that some sequence knows, each once, with the number of its set of tags."""
        used = self._used[tagged.tag]
        event, tag = tagged.event[used].astype(np.intp), tagged.tag[used].astype(np.int64)
        if not len(event):
            return event, tag
        first = np.flatnonzero(np.diff(event, prepend=-1))
        sizes = np.diff(np.append(first, len(event)))
        what = tag[first]
        for each in np.flatnonzero(sizes > 1).tolist():
            start = int(first[each])
            what[each] = self._set_number(tuple(tag[start : start + int(sizes[each])].tolist()))
        return event[first], what

    def _set_number(self, tags: tuple[int, ...]) -> int:
        number = self._set_numbers.get(tags)
        if number is None:
            number = self._set_numbers[tags] = len(self._sets)
            self._sets.append(interests(self._automata, [self._tags[tag] for tag in tags]))
        return number

    def _process(self, ordered: Ordered) -> list[Alert]:
        if self._order.youngest - self._swept > SWEEP:
            self._sweep(self._order.youngest - self.limits.slack)
        if not len(ordered.time):
            return []
        found: list[Finding] = []
        events = Events(ordered)
        sets, states = self._sets, self._states
        sessions = events.column("session")
        for at, (now, what) in enumerate(zip(ordered.time.tolist(), ordered.what.tolist(), strict=True)):
            if what >= 0:
                session = sessions[at]
                for interest in sets[what]:
                    state = states[interest.sequence]
                    # Most events end here: nobody waits for them.
                    if not interest.begins and (
                        not state.runs or (state.joined is Key.SESSION and session not in state.runs)
                    ):
                        continue
                    events.at = at
                    self._follow(state, interest, events, now, found)
            elif what == _GAP:
                self._gap = now
                self.counters.gaps += 1
            else:
                events.at = at
                self._deny(events, now, found)
        events.fill()
        self.counters.alerts += len(found)
        return [finding.alert() for finding in found]

    def _follow(
        self, state: State, interest: Interest, events: Events, now: int, found: list[Finding]
    ) -> None:
        """One event for one sequence: for each key that it may belong to, the one that it may begin first."""
        begins, told = interest.begins, False
        for key in self._keys_of(state.joined, events, now):
            runs = state.runs.get(key)
            if runs is None and not begins:
                continue
            if not key:
                self.counters.without_key += 1
            else:
                self.counters.looked_at += 1
                mine = [] if runs is None else runs
                whole = advance(state.automaton, mine, interest, events, now=now, begins=begins)
                self._keep(state, key, mine, fresh=runs is None)
                if whole is not None and not told:
                    told = True
                    found.append(self._finding(state, whole, events["session"]))
            begins = False

    def _keys_of(self, joined: Key, events: Events, now: int) -> Iterable[int]:
        if joined is Key.SESSION:
            return (events["session"],)
        ancestors = self._lineage.ancestors(events["process"])
        if joined is Key.TREE:
            return ancestors
        return dict.fromkeys((file_key(events), *self._lineage.files(ancestors, now)))

    def _keep(self, state: State, key: int, runs: list[Run], *, fresh: bool) -> None:
        """Note what an event left of the runs of a key, within the bounds."""
        if not runs:
            if not fresh:
                del state.runs[key]
                self._live -= 1
            return
        while len(runs) > self.limits.runs and len(runs) > self.limits.runs + state.automaton.counted:
            runs.remove(min(runs, key=lambda run: (run.at, run.count, run.since)))
            self.counters.runs_evicted += 1
        if not fresh:
            del state.runs[key]  # to be put last: the first is the longest untouched
        else:
            self._live += 1
        state.runs[key] = runs
        if self._live > self.limits.keys:
            fullest = max(self._states, key=lambda each: len(each.runs))
            del fullest.runs[next(iter(fullest.runs))]
            self._live -= 1
            self.counters.keys_evicted += 1

    def _deny(self, events: Events, now: int, found: list[Finding]) -> None:
        """The kernel denied the last step: the alert has the chain as far as the stream has shown it."""
        number = self._denials[events["rule"]]
        state, session = self._states[number], events["session"]
        automaton = state.automaton
        last = self._denied.pop((number, session), None)
        self._denied[number, session] = now
        if len(self._denied) > self.limits.sessions:
            del self._denied[next(iter(self._denied))]
        if last is not None and now - last <= automaton.within:
            self.counters.repeated_denials += 1
            return
        runs = [run for run in state.runs.get(session, ()) if not run.expired(automaton, now)]
        chain = max(runs, key=lambda run: (run.at, run.since)).chain if runs else None
        final = len(automaton.steps)
        whole = Run(final, now, now, (), Link(chain, final - 1, events.keep()))
        found.append(self._finding(state, whole, session, blocked=True))

    def _finding(self, state: State, run: Run, session: int, *, blocked: bool = False) -> Finding:
        assert run.chain is not None
        gap = max(self._gap, self._gaps.get(session, -1))
        return Finding(state.automaton, run.chain, session, blocked, gap >= run.start)

    def _restart(self) -> None:
        """The clock began anew: nothing goes on across that."""
        for state in self._states:
            state.runs.clear()
        self._live, self._swept, self._gap = 0, 0, -1
        self._gaps.clear()
        self._denied.clear()
        self.counters.restarts += 1

    def _sweep(self, now: int) -> None:
        """Let go of what cannot come true any more, now that everything before `now` was looked at."""
        self._swept = self._order.youngest
        for state in self._states:
            automaton = state.automaton
            over = [
                key for key, runs in state.runs.items() if all(run.expired(automaton, now) for run in runs)
            ]
            for key in over:
                del state.runs[key]
            self._live -= len(over)
            self.counters.expired += len(over)
