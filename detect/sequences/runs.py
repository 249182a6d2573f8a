"""Partial matches of one sequence for one key, and what an event does to them.

A run waits for one step. An event that completes the step makes a new run that waits for the next; the old
one stays and may be completed again, so that a decoy does not use up a step. Of two runs that wait for the
same with the same values and the same progress, the one that began later and got there later can do
whatever the other can: only that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from detect.sequences.automaton import Automaton, Fields, Interest, Step, Watch

MAX_EVIDENCE: Final = 8
"""Events kept of one step that takes several."""


class Event(Fields, Protocol):
    """An event that can be kept as evidence."""

    def keep(self) -> Any:
        """What is to be kept of it."""


@dataclass(frozen=True, slots=True)
class Link:
    """The chain of events so far, last first. `event` is what the engine keeps of one."""

    before: Link | None
    step: int
    event: Any

    def __iter__(self) -> Iterator[Link]:
        link: Link | None = self
        while link is not None:
            yield link
            link = link.before


class Run:
    """One partial match. Times are nanoseconds."""

    __slots__ = ("at", "captured", "chain", "count", "seen", "since", "start")

    def __init__(
        self, at: int, start: int, since: int, captured: tuple[Any, ...], chain: Link | None
    ) -> None:
        self.at = at
        """The step that it waits for."""
        self.start = start
        self.since = since
        """When the step before was completed."""
        self.captured = captured
        self.chain = chain
        self.count = 0
        """Events of this step so far, no more than are needed."""
        self.seen: frozenset[Any] = frozenset()
        """Their different values, where those are counted."""

    def expired(self, automaton: Automaton, now: int) -> bool:
        """Whether it cannot be completed any more."""
        return now - self.start > automaton.within or now - self.since > automaton.steps[self.at].within

    def completes(self, step: Step, value: Any) -> bool:
        """Whether one more event, with this value, is the last that the step takes."""
        if step.distinct:
            return len(self.seen - {value}) >= step.count - 1
        return self.count >= step.count - 1

    def progress(self, step: Step, value: Any, kept: Any) -> None:
        """One event of several."""
        if step.distinct:
            if value in self.seen or len(self.seen) >= step.count:
                return
            self.seen |= {value}
        elif self.count >= step.count - 1:
            return
        self.count += 1
        if self.count <= MAX_EVIDENCE:
            self.chain = Link(self.chain, self.at, kept)

    def power(self, step: Step) -> object:
        """Equal for runs that make the same of every event to come, but for time."""
        seen = step.count if len(self.seen) >= step.count else self.seen
        return self.at, self.captured, self.count if not step.distinct else seen


def advance(
    automaton: Automaton,
    runs: list[Run],
    interest: Interest,
    event: Event,
    *,
    now: int,
    begins: bool,
) -> Run | None:
    """One event for the runs of one key; `begins` whether it may be the first step of a new one.

    Changes `runs`. If the sequence came true the run that did is given back, and all others are over.
    """
    steps, guards = interest.steps, interest.guards
    made: list[Run] = []
    kept: list[Run] = []
    whole: Run | None = None
    last = len(automaton.steps)
    if begins and steps & 1 and automaton.steps[0].watch.holds(event, ()):
        kept.append(Run(0, now, now, (), None))
    changed = bool(kept)
    for run in (*runs, *kept):
        if run.expired(automaton, now):
            continue
        step = automaton.steps[run.at]
        if steps >> run.at & 1 and step.watch.holds(event, run.captured):
            value = event[step.distinct] if step.distinct else None
            if run.completes(step, value):
                captured = run.captured + tuple(event[field] for field in step.capture)
                child = Run(run.at + 1, run.start, now, captured, Link(run.chain, run.at, event.keep()))
                if child.at < last:
                    made.append(child)
                elif whole is None or (child.start, run.since) > (whole.start, whole.since):
                    whole = child
                    whole.since = run.since
            if step.count > 1:
                run.progress(step, value, event.keep())
            changed = True
            if run.at == 0 and step.count == 1:
                continue
        if guards[run.at] and _kills(guards[run.at], event, run):
            continue
        made.append(run)
    if whole is not None:
        runs.clear()
        return whole
    if changed and len(made) > 1:
        made = _pair(automaton, made) if len(made) == 2 else _best(automaton, made)
    runs[:] = made
    return None


def _kills(guards: tuple[Watch, ...], event: Fields, run: Run) -> bool:
    return any(guard.holds(event, run.captured) for guard in guards)


def _pair(automaton: Automaton, runs: list[Run]) -> list[Run]:
    """`_best` of two, which is what there is most often."""
    one, other = runs
    if one.at != other.at or one.power(automaton.steps[one.at]) != other.power(automaton.steps[one.at]):
        return runs
    if one.start >= other.start and one.since >= other.since:
        return [one]
    return [other] if other.start >= one.start and other.since >= one.since else runs


def _best(automaton: Automaton, runs: list[Run]) -> list[Run]:
    """Without those that another can do everything of."""
    best: dict[object, Run] = {}
    others: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.start, run.since)):
        power = run.power(automaton.steps[run.at])
        other = best.get(power)
        if other is not None and other.since > run.since:
            others.append(other)
        best[power] = run
    return [*others, *best.values()]
