"""A sequence as a small automaton over numbered tags: what each step waits for, and what ends the wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Protocol

from policies.sequence import Captured, Key
from policies.sequence import Sequence as Document
from policies.sequence import Step as Written

FOREVER: Final = 1 << 62
"""Nanoseconds; stands for no limit."""


class Fields(Protocol):
    """One event: numbers as int, text and addresses as bytes; None for text that is not known."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Condition:
    """A field must be equal to `value`, or to what was captured under `capture`."""

    field: str
    value: int | bytes = 0
    capture: int = -1

    def holds(self, event: Fields, captured: tuple[Any, ...]) -> bool:
        """What an event does not have is equal to nothing that was captured."""
        found = event[self.field]
        if self.capture < 0:
            return bool(found == self.value)
        return found is not None and found != b"" and found == captured[self.capture]


@dataclass(frozen=True, slots=True)
class Watch:
    """Tags, any of which an event must carry, and conditions that must hold."""

    name: str
    tags: frozenset[str]
    where: tuple[Condition, ...]

    def holds(self, event: Fields, captured: tuple[Any, ...]) -> bool:
        """Whether the conditions hold; the tags are the caller's business."""
        return not self.where or all(condition.holds(event, captured) for condition in self.where)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next, and what must not happen before it does."""

    watch: Watch
    count: int
    distinct: str
    within: int
    capture: tuple[str, ...]
    """Fields to be remembered, behind those of the steps before."""
    guards: tuple[Watch, ...]


@dataclass(frozen=True, slots=True)
class Automaton:
    """One sequence."""

    document: Document
    key: Key
    within: int
    steps: tuple[Step, ...]

    @property
    def patience(self) -> int:
        """The shortest time, in nanoseconds, after which something of it may be over."""
        return min(self.within, *(step.within for step in self.steps))

    @property
    def counted(self) -> int:
        """Events that its steps take beyond one each."""
        return sum(step.count - 1 for step in self.steps)


@dataclass(frozen=True, slots=True)
class Interest:
    """What an event with certain tags is to a sequence."""

    sequence: int
    steps: int
    """It can be one of these, as bits."""
    guards: tuple[tuple[Watch, ...], ...]
    """By step: what must not happen before it, and may be this event."""
    begins: bool
    """It can be the first step."""
    waits: int
    """Who waits for one of the steps, or for what comes after an absence, waits for it; bits of `Waiting`."""


def build(document: Document) -> Automaton:
    """The automaton of a sequence that was read without errors."""
    captures: dict[str, int] = {}
    steps: list[Step] = []
    guards: list[Watch] = []
    for written in document.steps:
        watch = _watch(written, captures)
        if written.absent:
            guards.append(watch)
            continue
        for name, _ in written.capture:
            captures[name] = len(captures)
        steps.append(
            Step(
                watch,
                written.count,
                written.distinct,
                written.within or FOREVER,
                tuple(field for _, field in written.capture),
                tuple(guards),
            )
        )
        guards = []
    return Automaton(document, document.key, document.within, tuple(steps))


def _watch(written: Written, captures: Mapping[str, int]) -> Watch:
    where = []
    for field, value in written.where:
        if isinstance(value, Captured):
            where.append(Condition(field, capture=captures[value.name]))
        elif isinstance(value, str):
            where.append(Condition(field, value.encode("utf-8", "surrogateescape")))
        else:
            where.append(Condition(field, value))
    return Watch(written.name, frozenset(written.tags), tuple(where))


def firsts(automata: Sequence[Automaton]) -> list[int]:
    """Of each automaton the bit that stands for waiting for its first step; the next ones follow it."""
    return [0, *accumulate(len(automaton.steps) for automaton in automata)][:-1]


def interests(automata: Sequence[Automaton], tags: Iterable[str]) -> tuple[Interest, ...]:
    """What the sequences do with an event that carries these tags."""
    carried = frozenset(tags)
    found = []
    for number, (automaton, first) in enumerate(zip(automata, firsts(automata), strict=True)):
        steps = sum(bool(carried & step.watch.tags) << at for at, step in enumerate(automaton.steps))
        guards = tuple(
            tuple(guard for guard in step.guards if carried & guard.tags) for step in automaton.steps
        )
        if steps or any(guards):
            waits = steps | sum(bool(each) << at for at, each in enumerate(guards))
            found.append(Interest(number, steps, guards, bool(steps & 1), waits << first))
    return tuple(found)
