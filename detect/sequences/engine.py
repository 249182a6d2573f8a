"""The engine: batches of tagged events in, alerts out. The same for the stream and for history.

Whole batches are only sifted: what no sequence can begin with or waits for is never looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Flag, Type
from detect.alert import Alert
from detect.batch import Batch, Tagged
from detect.processes import PID_LIMIT, number_of
from detect.sequences.automaton import Interest, build
from detect.sequences.bounds import Counters, Limits
from detect.sequences.denials import Denials
from detect.sequences.events import Events, file_key, file_keys
from detect.sequences.finding import Finding
from detect.sequences.gaps import Gaps
from detect.sequences.lineage import Lineage
from detect.sequences.order import Order, Ordered, Part
from detect.sequences.partial import Partial, State
from detect.sequences.runs import Link, Run, advance
from detect.sequences.tagsets import Concerned, TagSets
from detect.sequences.waiting import Waiting
from policies.collector import paused
from policies.sequence import Key
from policies.sequence import Sequence as Document

_GAP: Final = -1
_DENIED: Final = -2
"""What an event is to the engine beside a set of tags."""


class SequenceEngine:
    """Follows sequences over the stream of one boot of a host: another boot is another engine's.

    `tags` names the tags by number, as the rules' engine does.
    """

    def __init__(
        self, sequences: Iterable[Document], tags: Sequence[str], limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        automata = [build(each) for each in sequences]
        self._keys = {automaton.key for automaton in automata}
        self._order = Order(self.limits.slack)
        self._lineage = Lineage(self.limits.processes, self.counters)
        self._waiting = Waiting(self._lineage)
        self._partial = Partial(automata, self._waiting, self.limits, self.counters)
        self._tags = TagSets(tags, self._partial.states, self._partial.begins)
        self._gaps = Gaps(self.limits.sessions)
        self._denials = Denials(self.limits.sessions)
        self._serial = 0

    @property
    def late(self) -> int:
        """Events that came too late to be put into their place."""
        return self._order.late

    @property
    def live_keys(self) -> int:
        """Sequences times keys that have a partial match."""
        return self._partial.live

    @property
    def processes(self) -> int:
        """Processes whose ancestors and programs are known."""
        return len(self._lineage)

    def blocks(self, rules: Mapping[int, str]) -> None:
        """Rules of the policy image in force that are sequences: a denial by one is its last step."""
        self._denials.rules(rules, [state.automaton.document.name for state in self._partial.states])

    def gap(self, session: int) -> None:
        """Events of a session were lost: what it has begun is incomplete from here on."""
        self.counters.gaps += 1
        self._gaps.of_session(session, self._order.youngest)

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
        gaps = self._gaps.found(np.ascontiguousarray(batch["lost"]))
        denials = self._denials.found(batch)
        if not self._keys.isdisjoint((Key.TREE, Key.FILE)):
            self._learn(batch, times)
        if not len(gaps) and not len(denials):
            return places, what
        every = np.concatenate([gaps, places, denials])
        kinds = [np.full(len(gaps), _GAP), what, np.full(len(denials), _DENIED)]
        order = np.argsort(every, kind="stable")
        return every[order], np.concatenate(kinds)[order]

    def _learn(self, batch: Batch, times: NDArray[np.int64]) -> None:
        """Who descends from whom, and runs what."""
        lineage, process = self._lineage, batch["process"]
        kinds = np.ascontiguousarray(batch["type"])
        forks, ends = (_of_processes(batch, kinds == kind) for kind in (Type.FORK, Type.EXIT))
        child = batch["target_pid"][forks]
        births = forks[(child > 0) & (child < PID_LIMIT)]
        lineage.born(number_of(batch["target_pid"][births], batch["time"][births]), process[births])
        acts = forks
        if Key.FILE in self._keys:
            execs = np.flatnonzero(kinds == Type.EXEC)
            files = file_keys(batch["inode"][execs], batch["device"][execs])
            known = (files != 0) & (process[execs] != 0)
            execs, files = execs[known], files[known]
            acts = np.concatenate([forks, execs])
            lineage.executed(process[execs].tolist(), files.tolist(), times[execs].tolist())
        acts = acts[process[acts] != 0]
        lineage.act(process[acts], batch["parent"][acts])
        lineage.ended(process[ends], self._order.youngest)

    def _process(self, ordered: Ordered) -> list[Alert]:
        with paused():
            alerts = self._look_at(ordered) if len(ordered.time) else []
            looked_at = self._order.youngest - self.limits.slack
            self._partial.sweep(looked_at)
            self._lineage.bound(looked_at)
        return alerts

    def _look_at(self, ordered: Ordered) -> list[Alert]:
        found: list[Finding] = []
        noted: list[int] = []
        events = Events(ordered, self._serial)
        keys = self._own_keys(ordered, events)
        sessions, trees, files = (keys[key.value] for key in Key)
        parents = events.column("parent") if any(trees) else trees
        first, sets, waiting, partial = events.first, self._tags.sets, self._waiting, self._partial
        waited, around, note = waiting.of["session"].get, waiting.around, partial.note
        for at, (what, session) in enumerate(zip(ordered.what.tolist(), sessions, strict=True)):
            if what < 0:
                events.at = at
                self._special(what, events, found)
                continue
            concerned = sets[what]
            live = waited(session, 0) & concerned.sessions
            wanted = concerned.around & waiting.any
            if wanted:
                live |= around(
                    trees[at], parents[at], files[at], wanted & concerned.trees, wanted & concerned.files
                )
            # Most events end here: nobody waits for them.
            if live or concerned.always:
                events.at = at
                self._judge(concerned, live, events, keys, found)
            for begin in concerned.begins:
                key = keys[begin.joined][at]
                if not key:
                    self.counters.without_key += 1
                elif begin.plain:
                    note(begin, key, first + at)
                    noted.append(at)
                else:
                    events.at = at
                    if not begin.watch.where or begin.watch.holds(events, ()):
                        partial.capture(begin, key, events)
                        noted.append(at)
        self._serial += len(ordered.time)
        partial.shelve(events.copied(noted))
        self.counters.alerts += len(found)
        return [finding.alert() for finding in found]

    def _special(self, what: int, events: Events, found: list[Finding]) -> None:
        """Something else than a tagged event."""
        now = events.time[events.at]
        if what == _DENIED:
            self._deny(events, now, found)
        else:
            self._gaps.of_all(now)
            self.counters.gaps += 1

    def _judge(
        self,
        concerned: Concerned,
        live: int,
        events: Events,
        keys: dict[str, list[int]],
        found: list[Finding],
    ) -> None:
        """An event that somebody waits for, or that begins what is not noted; `live` are their bits."""
        now = events.time[events.at]
        for interest in concerned.others:
            if live & interest.waits:
                self._follow(interest, events, now, found)
            elif interest.begins:
                state = self._partial.states[interest.sequence]
                key = keys[state.joined][events.at]
                if not key or state.automaton.steps[0].count > 1:
                    self._follow(interest, events, now, found)
                else:
                    self._partial.begin(state, key, events, now)

    def _own_keys(self, ordered: Ordered, events: Events) -> dict[str, list[int]]:
        """By kind of key, the one that each event may begin a sequence for; zeros where nobody asks."""
        processes = files = [0] * len(ordered.time)
        if not self._keys.isdisjoint((Key.TREE, Key.FILE)):
            processes = events.column("process")
        if Key.FILE in self._keys:
            files = file_keys(ordered.column("inode"), ordered.column("device")).tolist()
        return {"session": events.column("session"), "tree": processes, "file": files}

    def _follow(self, interest: Interest, events: Events, now: int, found: list[Finding]) -> None:
        """One event for one sequence: for each key that it may belong to, the one that it may begin first."""
        state = self._partial.states[interest.sequence]
        waiting = self._waiting.of[state.joined]
        begins, told = interest.begins, False
        for key in self._keys_of(state.automaton.key, events, now):
            if begins or waiting.get(key, 0) & interest.waits:
                if key:
                    self.counters.looked_at += 1
                    whole = self._advance(state, key, interest, events, now=now, begins=begins)
                    if whole is not None and not told:
                        told = True
                        found.append(self._finding(state, whole, events["session"]))
                        self._denials.came_true(state.number, events["session"], now, whole)
                else:
                    self.counters.without_key += 1
            begins = False

    def _advance(
        self, state: State, key: int, interest: Interest, events: Events, *, now: int, begins: bool
    ) -> Run | None:
        """One event for one key of a sequence; the run that is whole with it."""
        runs = state.runs.get(key)
        mine = [] if runs is None else runs
        begun: list[Run] = []
        if interest.steps & 2:
            begun = self._partial.begun(state, key, events, now, state.automaton.steps[1].watch)
            mine += begun
        whole = advance(state.automaton, mine, interest, events, now=now, begins=begins)
        if begun:
            mine[:] = [run for run in mine if run.count or run not in begun]  # they are still noted
        if whole is not None:
            self._partial.over(state, key, events.serial)
        self._partial.keep(state, key, mine, fresh=runs is None)
        return whole

    def _keys_of(self, joined: Key, events: Events, now: int) -> Iterable[int]:
        if joined is Key.SESSION:
            return (events["session"],)
        ancestors = self._lineage.ancestors(events["process"], events["parent"])
        if joined is Key.TREE:
            return ancestors
        return dict.fromkeys((file_key(events), *self._lineage.files(ancestors, now)))

    def _deny(self, events: Events, now: int, found: list[Finding]) -> None:
        """The kernel denied the last step: the alert has the chain as far as the stream has shown it."""
        state = self._partial.states[self._denials.sequences[events["rule"]]]
        automaton, session = state.automaton, events["session"]
        if self._denials.repeated(state.number, session, now, automaton.within):
            self.counters.repeated_denials += 1
            return
        final = len(automaton.steps)
        run = self._denials.explained_by(state.number, session, now) or self._furthest(state, events, now)
        chain = run.chain if run is not None else None
        if run is not None and run.at == final and chain is not None:
            chain = chain.before
        start = run.start if run is not None else now
        whole = Run(final, start, now, (), Link(chain, final - 1, events.keep()))
        found.append(self._finding(state, whole, session, blocked=True))

    def _furthest(self, state: State, events: Events, now: int) -> Run | None:
        """The run of a session that has come furthest."""
        session = events["session"]
        runs = [*state.runs.get(session, ()), *self._partial.begun(state, session, events, now)]
        runs = [run for run in runs if not run.expired(state.automaton, now)]
        return max(runs, key=lambda run: (run.at, run.since), default=None)

    def _finding(self, state: State, run: Run, session: int, *, blocked: bool = False) -> Finding:
        assert run.chain is not None
        incomplete = self._gaps.since(session, run.start)
        return Finding(state.automaton, run.chain, session, blocked, incomplete)


def _of_processes(batch: Batch, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The places of forks or exits without those of threads."""
    places = np.flatnonzero(chosen)
    whole: NDArray[np.bool_] = batch["flags"][places] & Flag.THREAD == 0
    return places[whole]
