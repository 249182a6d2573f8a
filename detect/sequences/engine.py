"""The engine: batches of tagged events in, alerts out. The same for the stream and for history.

Whole batches are only sifted: what no sequence can begin with or waits for is never looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.alert import Alert, Evidence, Level
from detect.batch import Batch, Tagged
from detect.sequences.automaton import Automaton, Interest, build
from detect.sequences.begins import Begin, shared
from detect.sequences.events import Events, file_key, file_keys
from detect.sequences.lineage import Lineage
from detect.sequences.order import Order, Ordered, Part
from detect.sequences.runs import Link, Run, advance
from detect.sequences.tagsets import TagSets
from policies.collector import paused
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
    without_key: int = 0
    """Events that could have begun a sequence but for their session, process or file not being known."""
    expired: int = 0
    keys_evicted: int = 0
    runs_evicted: int = 0
    repeated_denials: int = 0


@dataclass(slots=True)
class State:
    """One sequence and its partial matches by key, the longest untouched first."""

    number: int
    automaton: Automaton
    joined: Key
    begin: Begin | None
    """Where its first step is noted, if it is shared; then `runs` have got further."""
    runs: dict[int, list[Run]] = field(default_factory=dict)
    live: dict[int, int] = field(default_factory=dict)
    """Of all sequences with its kind of key: see `SequenceEngine`."""
    told: dict[int, int] = field(default_factory=dict)
    """By key: as the how manieth event it came true; what began before then is over."""

    def waits(self, key: int, interest: Interest) -> bool:
        """Whether an event that this concerns can matter for a key."""
        if key in self.runs:
            return True
        return self.begin is not None and bool(interest.steps & 2) and key in self.begin.last

    def begun(self, key: int, serial: int, now: int) -> Run | None:
        """A run of the first step that was noted, unless it was made already or is over."""
        if self.begin is None or (noted := self.begin.last.get(key)) is None:
            return None
        start, number, kept = noted
        if number >= serial or number <= self.told.get(key, -1) or now - start > self.automaton.within:
            return None
        if any(run.at == 1 and run.start == start for run in self.runs.get(key, ())):
            return None
        return Run(1, start, start, (), Link(None, 0, kept))


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
    """Follows sequences over the stream of one boot of a host: another boot is another engine's.

    `tags` names the tags by number, as the rules' engine does.
    """

    def __init__(
        self, sequences: Iterable[Document], tags: Sequence[str], limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self._automata = [build(each) for each in sequences]
        self._begins, begins = shared(self._automata)
        self._live_of: dict[str, dict[int, int]] = {key.value: {} for key in Key}
        """By kind of key and key: sequences that have something of it, as bits; some more until swept."""
        self._states = [
            State(number, automaton, automaton.key, begin)
            for number, (automaton, begin) in enumerate(zip(self._automata, begins, strict=True))
        ]
        self._order = Order(self.limits.slack)
        self._lineage = Lineage(self.limits.processes)
        self._keys = {state.joined for state in self._states}
        self._tags = TagSets(tags, self._automata, self._begins, begins)
        for state in self._states:
            state.live = self._live_of[state.joined.value]
        for begin in self._begins:
            begin.live = self._live_of[begin.joined.value]
        self._of_trees, self._of_files = (
            sum(1 << state.number for state in self._states if state.joined is key)
            for key in (Key.TREE, Key.FILE)
        )
        self._serial = 0
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
        places, what = self._tags.sets_of(tagged)
        parts = [(places, what)]
        gaps = self._new_gaps(np.ascontiguousarray(batch["lost"]))
        if len(gaps):
            parts.insert(0, (gaps, np.full(len(gaps), _GAP)))
        if Key.TREE in self._keys or Key.FILE in self._keys:
            kinds = np.ascontiguousarray(batch["type"])
            # Whoever has descendants forks, and a leaf matters only if it is tagged.
            for where in (np.flatnonzero(kinds == Type.FORK), places):
                self._lineage.learn(batch["process"][where].tolist(), batch["parent"][where].tolist())
            if Key.FILE in self._keys:
                where = np.flatnonzero(kinds == Type.EXEC)
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

    def _new_gaps(self, lost: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Where more was lost than ever before. Events of another source than the kernel have 0 there."""
        if self._lost is None:
            self._lost = int(lost[0])
        if int(lost[0]) == self._lost == int(lost.max()) == int(lost.min()):
            return np.empty(0, np.intp)
        more = (lost - np.uint32(self._lost)).astype(np.int32)
        most = np.maximum.accumulate(np.append(np.int32(0), more))
        self._lost = (self._lost + int(most[-1])) % (1 << 32)
        return np.flatnonzero(more > most[:-1])

    def _awaited(self, sequences: int, events: Events, now: int) -> int:
        """Which of these sequences, by tree or file, wait for something of the event's process; as bits."""
        found = 0
        ancestors = self._lineage.ancestors(events["process"])
        if sequences & self._of_trees:
            trees = self._live_of["tree"]
            if not trees.keys().isdisjoint(ancestors):
                for each in ancestors:
                    found |= trees.get(each, 0)
        if sequences & self._of_files:
            files = self._live_of["file"]
            mine = (file_key(events), *self._lineage.files(ancestors, now))
            if not files.keys().isdisjoint(mine):
                for each in mine:
                    found |= files.get(each, 0)
        return found & sequences

    def _process(self, ordered: Ordered) -> list[Alert]:
        with paused():
            alerts = self._look_at(ordered) if len(ordered.time) else []
            if self._order.youngest - self._swept > SWEEP:
                self._sweep(self._order.youngest - self.limits.slack)
        return alerts

    def _look_at(self, ordered: Ordered) -> list[Alert]:
        found: list[Finding] = []
        events = Events(ordered)
        sets, states = self._tags.sets, self._states
        keys = {"session": events.column("session")}
        if Key.TREE in self._keys:
            keys["tree"] = events.column("process")
        if Key.FILE in self._keys:
            keys["file"] = file_keys(ordered.column("inode"), ordered.column("device")).tolist()
        sessions, sessions_live = keys["session"], self._live_of["session"]
        processes, files = keys.get("tree", sessions), keys.get("file", sessions)
        for at, (now, what) in enumerate(zip(ordered.time.tolist(), ordered.what.tolist(), strict=True)):
            events.at = at
            if what >= 0:
                self._serial += 1
                concerned = sets[what]
                if concerned.others:
                    live = sessions_live.get(sessions[at], 0) & concerned.session
                    if concerned.further:
                        live |= self._awaited(concerned.further, events, now)
                    # Most events end here: nobody waits for them.
                    if live or concerned.always:
                        for interest in concerned.others:
                            if live >> interest.sequence & 1 or interest.begins:
                                self._follow(states[interest.sequence], interest, events, now, found)
                for begin in concerned.begins:
                    key = sessions[at]
                    if begin.joined is Key.TREE:
                        key = processes[at]
                    elif begin.joined is Key.FILE:
                        key = files[at]
                    self._note(begin, key, events, now)
            elif what == _GAP:
                self._gap = now
                self.counters.gaps += 1
            else:
                self._deny(events, now, found)
        events.fill()
        self.counters.alerts += len(found)
        return [finding.alert() for finding in found]

    def _note(self, begin: Begin, key: int, events: Events, now: int) -> None:
        """The first step of some sequences."""
        if not key:
            self.counters.without_key += 1
            return
        if begin.watch.where and not begin.watch.holds(events, ()):
            return
        if begin.last.pop(key, None) is None:
            self._live += 1
        begin.last[key] = (now, self._serial, events.keep())
        begin.live[key] = begin.live.get(key, 0) | begin.sequences
        if self._live > self.limits.keys:
            self._evict()

    def _follow(
        self, state: State, interest: Interest, events: Events, now: int, found: list[Finding]
    ) -> None:
        """One event for one sequence: for each key that it may belong to, the one that it may begin first."""
        begins, told = interest.begins, False
        for key in self._keys_of(state.joined, events, now):
            if begins or (state.live.get(key, 0) >> state.number & 1 and state.waits(key, interest)):
                if key:
                    self.counters.looked_at += 1
                    whole = self._advance(state, key, interest, events, now=now, begins=begins)
                    if whole is not None and not told:
                        told = True
                        found.append(self._finding(state, whole, events["session"]))
                else:
                    self.counters.without_key += 1
            begins = False

    def _advance(
        self, state: State, key: int, interest: Interest, events: Events, *, now: int, begins: bool
    ) -> Run | None:
        """One event for one key of a sequence; the run that is whole with it."""
        runs = state.runs.get(key)
        mine = [] if runs is None else runs
        begun = state.begun(key, self._serial, now) if interest.steps & 2 else None
        if begun is not None:
            mine.append(begun)
        whole = advance(state.automaton, mine, interest, events, now=now, begins=begins)
        if begun is not None and begun.count == 0 and begun in mine:
            mine.remove(begun)  # it is still noted
        if whole is not None:
            state.told[key] = self._serial
        self._keep(state, key, mine, fresh=runs is None)
        return whole

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
        state.live[key] = state.live.get(key, 0) | 1 << state.number
        if self._live > self.limits.keys:
            self._evict()

    def _evict(self) -> None:
        """Let go of what is longest untouched where there is most."""
        tables: list[dict[int, Any]] = [state.runs for state in self._states]
        fullest = max((*tables, *(begin.last for begin in self._begins)), key=len)
        oldest = list(islice(fullest, max(1, min(len(fullest) // 4, self.limits.keys // 64))))
        for key in oldest:
            del fullest[key]
        self._live -= len(oldest)
        self.counters.keys_evicted += len(oldest)

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
        begun = state.begun(session, self._serial + 1, now)
        runs = [*state.runs.get(session, ()), *([begun] if begun else ())]
        runs = [run for run in runs if not run.expired(automaton, now)]
        chain = max(runs, key=lambda run: (run.at, run.since)).chain if runs else None
        final = len(automaton.steps)
        whole = Run(final, now, now, (), Link(chain, final - 1, events.keep()))
        found.append(self._finding(state, whole, session, blocked=True))

    def _finding(self, state: State, run: Run, session: int, *, blocked: bool = False) -> Finding:
        assert run.chain is not None
        gap = max(self._gap, self._gaps.get(session, -1))
        return Finding(state.automaton, run.chain, session, blocked, gap >= run.start)

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
            self._let_go(len(over))
            if len(state.told) > self.limits.sessions:
                state.told = {key: state.told[key] for key in list(state.told)[-self.limits.sessions // 2 :]}
        for begin in self._begins:
            late = [key for key, noted in begin.last.items() if now - noted[0] > begin.within]
            for key in late:
                del begin.last[key]
            self._let_go(len(late))
        self._remask()

    def _remask(self) -> None:
        for live in self._live_of.values():
            live.clear()
        for begin in self._begins:
            for key in begin.last:
                begin.live[key] = begin.live.get(key, 0) | begin.sequences
        for state in self._states:
            for key in state.runs:
                state.live[key] = state.live.get(key, 0) | 1 << state.number

    def _let_go(self, count: int) -> None:
        self._live -= count
        self.counters.expired += count
