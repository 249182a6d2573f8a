"""The automaton as a comb vector: every state's entries fitted between the others' (bpf_lsm/src/image.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa
from policies.image import ENTRY, STATE_SINK, SYM_BYTE, SYM_CLASS, SYM_DEFAULT, SYM_SUBTREE

CHUNK: Final = 1 << 12
"""Entries whose use is kept in one integer; more than a state spans."""

NO_OWNER: Final = 0xFFFF_FFFF
"""No state: states are indices into an image that is far smaller."""


@dataclass(frozen=True, slots=True)
class Comb:
    """`entries` as the image holds them; `places` by state, both counted from the start of the image."""

    entries: npt.NDArray[np.void]
    places: list[int]


def is_sink(dfa: Dfa, state: int) -> bool:
    """Whether nothing that is read leads out of the state."""
    return dfa.default[state] == state and not dfa.explicit[state]


def lay_out(dfa: Dfa, classes: Sequence[int], subtrees: Sequence[int], first: int) -> Comb:
    """Place every state; `first` is the index in the image of the section's first entry."""
    symbols = [
        (SYM_DEFAULT, *(SYM_BYTE + byte for byte in explicit), SYM_CLASS, SYM_SUBTREE)
        for explicit in dfa.explicit
    ]
    bases = _places(symbols)
    sinks = [is_sink(dfa, state) for state in range(len(dfa))]
    names = [first + base for base in bases]
    targets = [name | (STATE_SINK if sink else 0) for name, sink in zip(names, sinks, strict=True)]
    entries = np.zeros(max(bases) + SYM_SUBTREE + 1, dtype=ENTRY)
    entries["owner"] = NO_OWNER
    at: list[int] = []
    owner: list[int] = []
    following: list[int] = []
    for state, used in enumerate(symbols):
        at += [bases[state] + symbol for symbol in used]
        owner += [names[state]] * len(used)
        following.append(targets[dfa.default[state]])
        following += [targets[target] for target in dfa.explicit[state].values()]
        following += (classes[state], subtrees[state])
    where = np.asarray(at, dtype=np.int64)
    entries["owner"][where] = np.asarray(owner, dtype=np.uint32)
    entries["next"][where] = np.asarray(following, dtype=np.uint32)
    return Comb(entries, names)


class _Space:
    """Which entries are in use; a chunk of bits at a time."""

    def __init__(self) -> None:
        self.chunks = [0, 0]
        self.seen: dict[tuple[int, ...], int] = {}
        self.by_size: dict[int, int] = {}

    def place(self, symbols: tuple[int, ...]) -> int:
        """Take the first place for these symbols that is not before an earlier place for the same."""
        size = len(symbols)
        at = self.seen.get(symbols, max(0, self.by_size.get(size, 0) - 2))
        while not (free := self._free(at, symbols)):
            at += 1
        self.seen[symbols] = self.by_size[size] = at
        base = at * CHUNK + (free & -free).bit_length() - 1
        for symbol in symbols:
            chunk, bit = divmod(base + symbol, CHUNK)
            self.chunks[chunk] |= 1 << bit
        return base

    def _free(self, at: int, symbols: tuple[int, ...]) -> int:
        """The bits of the places in a chunk where all symbols are free."""
        while len(self.chunks) < at + 2:
            self.chunks.append(0)
        taken = self.chunks[at] | self.chunks[at + 1] << CHUNK
        blocked = 0
        for symbol in symbols:
            blocked |= taken >> symbol
        return ~blocked & ((1 << CHUNK) - 1)


def _places(symbols: Sequence[tuple[int, ...]]) -> list[int]:
    """First fit, the states with many entries first."""
    space = _Space()
    places = [0] * len(symbols)
    for state in sorted(range(len(symbols)), key=lambda state: (-len(symbols[state]), state)):
        places[state] = space.place(symbols[state])
    return places
