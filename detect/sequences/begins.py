"""First steps, once for all sequences that begin alike.

Most events that any sequence cares for are first steps, and most first steps lead nowhere. So when one is
seen only the last is noted by key; a run is made of it when the second step comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from detect.sequences.automaton import Automaton, Watch, firsts


@dataclass(slots=True)
class Begin:
    """The first step of one or more sequences with the same key."""

    joined: str
    """The value of a `Key`."""
    watch: Watch
    within: int
    """The longest that one of them may take."""
    waits: int = 0
    """The bits of their second steps (`Interest.waits`)."""
    last: dict[int, int] = field(default_factory=dict)
    """By key, the serial number of the last such event; the longest untouched first."""


def shared(automata: Sequence[Automaton]) -> tuple[list[Begin], list[Begin | None]]:
    """The beginnings, and for each automaton its own.

    None for one whose first step counts or captures, or can be undone before the second: it needs a run.
    """
    found: dict[tuple[object, ...], Begin] = {}
    of_each: list[Begin | None] = []
    for automaton, bit in zip(automata, firsts(automata), strict=True):
        first, second = automaton.steps[:2]
        if first.count > 1 or first.capture or second.guards:
            of_each.append(None)
            continue
        alike = (automaton.key, first.watch.tags, first.watch.where)
        begin = found.setdefault(alike, Begin(automaton.key.value, first.watch, 0))
        begin.within = max(begin.within, automaton.within)
        begin.waits |= 2 << bit
        of_each.append(begin)
    return list(found.values()), of_each
