"""What a sequence means, in the plainest way: search all orders of all events. For tests, and for reading.

A sequence comes true with the event that ends its last step, if the events before it can be chosen so that
every step, in order, is satisfied. From then on the key begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bpf_lsm.observation import Type
from detect.sequences.automaton import Automaton, Watch
from detect.sequences.events import file_key
from policies.sequence import Key


@dataclass(frozen=True, slots=True)
class Event:
    """One event: when, its tags, and its fields (text as bytes)."""

    time: int
    tags: frozenset[str]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """A sequence came true for a key: the last event's place in the list, and those of all of its steps."""

    key: int
    last: int
    steps: tuple[int, ...]


def find(automaton: Automaton, events: Sequence[Event]) -> list[Match]:
    """All matches in events that are in order; of several keys of one event, the nearest one's."""
    keys = [_keys(automaton.key, events, at) for at in range(len(events))]
    begun = {
        each[0] for at, each in enumerate(keys) if each[0] and _hits(automaton.steps[0].watch, events[at])
    }
    found: list[Match] = []
    for key in begun:
        since = 0
        for last in range(len(events)):
            if key not in keys[last]:
                continue
            mine = [at for at in range(since, last + 1) if key in keys[at]]
            search = _Search(automaton, events, mine, [at for at in mine if keys[at][0] == key])
            steps = next(search.steps(0, -1, 0, 0, ()), None)
            if steps is not None:
                found.append(Match(key, last, steps))
                since = last + 1
    nearest: dict[int, Match] = {}
    for match in found:
        other = nearest.setdefault(match.last, match)
        if keys[match.last].index(match.key) < keys[match.last].index(other.key):
            nearest[match.last] = match
    return [nearest[last] for last in sorted(nearest)]


def _hits(watch: Watch, event: Event, captured: tuple[Any, ...] = ()) -> bool:
    return bool(watch.tags & event.tags) and watch.holds(event.fields, captured)


@dataclass(frozen=True, slots=True)
class _Search:
    """All ways to satisfy the steps with the events at `mine`; one at `own` may be the first."""

    automaton: Automaton
    events: Sequence[Event]
    mine: list[int]
    own: list[int]

    def steps(
        self, number: int, before: int, start: int, since: int, captured: tuple[Any, ...]
    ) -> Iterator[tuple[int, ...]]:
        """Where each step from `number` on is completed; `before` is where the last one was."""
        if number == len(self.automaton.steps):
            yield ()
            return
        step = self.automaton.steps[number]
        final = number == len(self.automaton.steps) - 1
        for at in self.mine[-1:] if final else self.mine:
            event = self.events[at]
            if at <= before or not _hits(step.watch, event, captured):
                continue
            for first in self._firsts(number, before, at):
                began = self.events[first].time if number == 0 else start
                waited = event.time - (began if number == 0 else since)
                if waited > step.within or event.time - began > self.automaton.within:
                    continue
                after = first - 1 if number == 0 else before
                if not self._enough(number, after, at, captured) or self._spoilt(
                    number, before, at, captured
                ):
                    continue
                values = captured + tuple(event.fields[name] for name in step.capture)
                for rest in self.steps(number + 1, at, began, event.time, values):
                    yield (at, *rest)

    def _firsts(self, number: int, before: int, at: int) -> list[int]:
        """Where the first step may have begun; of other steps that is no question."""
        if number:
            return [before]
        step = self.automaton.steps[0]
        if step.count == 1:
            return [at] if at in self.own else []
        return [each for each in self.own if each < at and _hits(step.watch, self.events[each])]

    def _enough(self, number: int, after: int, at: int, captured: tuple[Any, ...]) -> bool:
        step = self.automaton.steps[number]
        earlier = [
            each for each in self.mine if after < each < at and _hits(step.watch, self.events[each], captured)
        ]
        if not step.distinct:
            return len(earlier) >= step.count - 1
        values = {self.events[each].fields[step.distinct] for each in earlier}
        return len(values - {self.events[at].fields[step.distinct]}) >= step.count - 1

    def _spoilt(self, number: int, before: int, at: int, captured: tuple[Any, ...]) -> bool:
        guards = self.automaton.steps[number].guards
        between = [self.events[each] for each in self.mine if before < each < at]
        return any(_hits(guard, event, captured) for guard in guards for event in between)


def _keys(key: Key, events: Sequence[Event], at: int) -> list[int]:
    """What an event belongs to; it may begin a sequence for the first of them only."""
    fields = events[at].fields
    if key is Key.SESSION:
        return [fields["session"]]
    lineage = _ancestors(events, fields["process"])
    if key is Key.TREE:
        return lineage
    own = _file(fields)
    executed = [
        (process, _file(event.fields))
        for event in events
        if event.time <= events[at].time
        for process in (event.fields["process"],)
        if event.fields["type"] == Type.EXEC
    ]
    files = [file for each in lineage for process, file in reversed(executed) if process == each]
    return list(dict.fromkeys((own, *files)))


def _ancestors(events: Sequence[Event], process: int) -> list[int]:
    parents = {event.fields["process"]: event.fields["parent"] for event in reversed(events)}
    chain = [process]
    while (parent := parents.get(chain[-1])) and parent not in chain:
        chain.append(parent)
    return chain


def _file(fields: Mapping[str, Any]) -> int:
    return file_key({name: int(fields[name]) for name in ("inode", "device")})
