"""First steps, once for all sequences that begin alike.

Most events that any sequence cares for are first steps, and most first steps lead nowhere. So when one is
seen only the last is noted by key; a run is made of it when the second step comes.
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.sequences.automaton import Automaton, Watch, firsts


@dataclass(slots=True, eq=False)
class Begin:
    """The first step of one or more sequences with the same key; of one only, if it captures."""

    sequence: int
    """The number of the first of them."""
    joined: str
    """The value of a `Key`."""
    watch: Watch
    capture: tuple[str, ...]
    plain: bool
    """An event's tags and key are all that counts."""
    within: int
    """The longest that one of them may take."""
    waits: int = 0
    """The bits of their second steps (`Interest.waits`)."""
    last: dict[int, int] = field(default_factory=dict)
    """By key, the serial number of the last such event; the longest untouched first."""
    captured: dict[int, dict[tuple[Any, ...], int]] = field(default_factory=dict)
    """By key and what was captured, the same; by key only if it captures."""
    more: int = 0
    """How many values were captured beyond one for each key."""

    @property
    def events(self) -> int:
        """How many are noted."""
        return len(self.last) + self.more

    def keys(self) -> KeysView[int]:
        """Who has noted something, the longest untouched first."""
        return self.last.keys()

    def serials(self) -> NDArray[np.int64]:
        """Of all events that are noted."""
        if not self.capture:
            return np.fromiter(self.last.values(), np.int64, len(self.last))
        each = map(dict[tuple[Any, ...], int].values, self.captured.values())
        return np.fromiter(chain.from_iterable(each), np.int64)

    def noted(self, key: int) -> Iterable[tuple[tuple[Any, ...], int]]:
        """What was captured for a key, and the serial numbers of the events."""
        if self.capture:
            return self.captured.get(key, {}).items()
        serial = self.last.get(key)
        return () if serial is None else (((), serial),)

    def forget(self, keys: Iterable[int]) -> None:
        """These have nothing any more."""
        for key in keys:
            del self.last[key]
            if self.capture:
                self.more -= len(self.captured.pop(key)) - 1


def shared(automata: Sequence[Automaton]) -> tuple[list[Begin], list[Begin | None]]:
    """The beginnings, and for each automaton its own.

    None for one whose first step counts, or can be undone before the second: it needs a run.
    """
    found: dict[tuple[object, ...], Begin] = {}
    of_each: list[Begin | None] = []
    for number, (automaton, bit) in enumerate(zip(automata, firsts(automata), strict=True)):
        first, second = automaton.steps[:2]
        if first.count > 1 or second.guards:
            of_each.append(None)
            continue
        alike = (automaton.key, first.watch.tags, first.watch.where, number if first.capture else None)
        begin = found.setdefault(
            alike,
            Begin(
                number,
                automaton.key.value,
                first.watch,
                first.capture,
                not (first.watch.where or first.capture),
                0,
            ),
        )
        begin.within = max(begin.within, automaton.within)
        begin.waits |= 2 << bit
        of_each.append(begin)
    return list(found.values()), of_each
