"""Whole components at once: where the automaton stands after a name, without reading the name byte by byte.

Most names of a path either are one of a few that the patterns spell out, or are like every other name
there unless they hold one of a few bytes: below `/srv/**/*.key` nothing changes until a full stop comes.
For a state in which a component ends, a *shortcut* says so: the names that are spelt out, the bytes that
stop it, and the state behind any other name. It only remembers what the automaton does; the automaton stays
the truth, and names that are long or hold a stop are read byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa
from policies.image import SHORT_NAME, hash_name
from policies.layout import NAME
from policies.pattern import SLASH

MAX_STOPS: Final = 4
MAX_LOOKED_AT: Final = 20_000
"""Beginnings of names looked at for one state before it gets no shortcut."""
MAX_KICKS: Final = 200


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Over a slash and a name of up to SHORT_NAME bytes that holds none of `stops`."""

    behind: int
    """The state behind the slash."""
    rest: int
    """The state behind all names but `names`."""
    stops: bytes
    names: Mapping[bytes, int]


def shortcuts(dfa: Dfa, classes: Sequence[int], subtrees: Sequence[int]) -> dict[int, Shortcut]:
    """By the state before the slash; those that have none are left out."""
    behind = [dfa.step(state, SLASH) for state in range(len(dfa))]
    found = {
        state: shortcut
        for state in sorted(set(behind))
        if not dfa.is_sink(state) and (shortcut := _Search(dfa, classes, subtrees, state).run())
    }
    ends = {end for each in found.values() for end in (each.rest, *each.names.values())}
    for state in {behind[end] for end in ends if not dfa.is_sink(end)} - found.keys():
        if dfa.is_sink(state):
            found[state] = Shortcut(state, state, b"", {})
    return {
        state: found[after]
        for state, after in enumerate(behind)
        if after in found and (state in ends or not dfa.is_sink(after))
    }


@dataclass(slots=True)
class _Search:
    dfa: Dfa
    classes: Sequence[int]
    subtrees: Sequence[int]
    state: int

    def run(self) -> Shortcut | None:
        rest = self._rest()
        if rest is None:
            return None
        stops = bytes(byte for byte in self.dfa.explicit[rest] if byte not in (SLASH, 0))
        if len(stops) > MAX_STOPS:
            return None
        passed = {SLASH, 0, *stops}
        names: dict[bytes, int] = {}
        looked_at = 0
        beginnings = [(self.state, b"")]
        while beginnings:
            state, text = beginnings.pop()
            looked_at += 1
            if looked_at > MAX_LOOKED_AT:
                return None
            if text and not self._alike(state, rest):
                names[text] = state
            if len(text) == SHORT_NAME:
                continue
            if not self._falls_to(self.dfa.default[state], rest, passed):
                return None
            beginnings += [
                (target, text + bytes([byte]))
                for byte, target in self.dfa.explicit[state].items()
                if target != rest and byte not in passed
            ]
        return Shortcut(self.state, rest, stops, names)

    def _rest(self) -> int | None:
        """Where names end up that are like no pattern: the first state that is its own default."""
        seen = set()
        state = self.dfa.default[self.state]
        while self.dfa.default[state] != state:
            if state in seen:
                return None
            seen.add(state)
            state = self.dfa.default[state]
        return state

    def _falls_to(self, state: int, rest: int, passed: set[int]) -> bool:
        """Whether any names that lead here end in what is like `rest`."""
        if state == rest:
            return True
        falls = self.dfa.default[state] == rest and passed.issuperset(self.dfa.explicit[state])
        return falls and self._alike(state, rest)

    def _alike(self, one: int, other: int) -> bool:
        """Whether it makes no difference in which of the two a name ends."""
        return one == other or (
            self.classes[one] == self.classes[other]
            and self.subtrees[one] == self.subtrees[other]
            and self.dfa.step(one, SLASH) == self.dfa.step(other, SLASH)
        )


def name_table(names: Mapping[tuple[int, bytes], int]) -> npt.NDArray[np.void]:
    """The hash table of (state behind the slash, name) -> state behind the name, as the image numbers states.

    Every name lies at one of the two places that hash_name() gives; an entry without a name is empty.
    """
    size = 1
    while size < 2 * len(names):
        size *= 2
    while (placed := _placed(names, size)) is None:
        size *= 2
    table = np.zeros(size, dtype=NAME)
    for at, (state, name) in placed.items():
        table[at] = (*words(name), state, names[state, name])
    return table


def words(name: bytes) -> tuple[int, int]:
    """A short name as two 64-bit numbers, padded with zeros."""
    padded = name.ljust(SHORT_NAME, b"\0")
    return int.from_bytes(padded[:8], "little"), int.from_bytes(padded[8:], "little")


def _placed(names: Mapping[tuple[int, bytes], int], size: int) -> dict[int, tuple[int, bytes]] | None:
    """Cuckoo hashing: what finds its place taken pushes the other to its second place."""
    placed: dict[int, tuple[int, bytes]] = {}
    for key in names:
        moving, avoided = key, -1
        for _ in range(MAX_KICKS):
            first, second = hash_name(moving[0], *words(moving[1]), size)
            at = second if first == avoided or (first in placed and second not in placed) else first
            evicted = placed.get(at)
            placed[at] = moving
            if evicted is None:
                break
            moving, avoided = evicted, at
        else:
            return None
    return placed
