"""First steps, once for all sequences that begin alike.

Most events that any sequence cares for are first steps, and most first steps lead nowhere. So when one is
seen only its last time is noted by key; a run is made of it when the second step comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from detect.sequences.automaton import Automaton, Watch
from detect.sequences.events import Kept
from policies.sequence import Key

Begun = tuple[int, int, Kept]
"""When, as the how manieth event, and the event."""


@dataclass(slots=True)
class Begin:
    """The first step of one or more sequences with the same key."""

    joined: Key
    watch: Watch
    within: int
    """The longest that one of them may take."""
    sequences: int = 0
    """Their numbers, as bits."""
    live: dict[int, int] = field(default_factory=dict)
    """Of all sequences with its kind of key: see `SequenceEngine`."""
    last: dict[int, Begun] = field(default_factory=dict)
    """By key, the longest untouched first."""


def shared(automata: Sequence[Automaton]) -> tuple[list[Begin], list[Begin | None]]:
    """The beginnings, and for each automaton its own.

    None for one whose first step counts or captures, or can be undone before the second: it needs a run.
    """
    found: dict[tuple[object, ...], Begin] = {}
    of_each: list[Begin | None] = []
    for number, automaton in enumerate(automata):
        first, second = automaton.steps[:2]
        if first.count > 1 or first.capture or second.guards:
            of_each.append(None)
            continue
        alike = (automaton.key, first.watch.tags, first.watch.where)
        begin = found.setdefault(alike, Begin(automaton.key, first.watch, 0))
        begin.within = max(begin.within, automaton.within)
        begin.sequences |= 1 << number
        of_each.append(begin)
    return list(found.values()), of_each
