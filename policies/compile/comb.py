"""The automaton as a comb vector: every state's entries fitted between the others' (bpf_lsm/src/image.h)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa
from policies.compile.shortcuts import Shortcut, name_table
from policies.image import (
    STATE_NAMES,
    STATE_SHORTCUT,
    STATE_SINK,
    SYM_BEHIND,
    SYM_BYTE,
    SYM_CLASS,
    SYM_DEFAULT,
    SYM_REST,
    SYM_STOPS,
    SYM_SUBTREE,
)
from policies.layout import ENTRY

CHUNK: Final = 1 << 12
"""Entries whose use is kept in one integer; more than a state spans."""

SYM_LONG: Final = (SYM_CLASS, SYM_SUBTREE)
SYM_SHORT: Final = (SYM_CLASS, SYM_SUBTREE, SYM_REST, SYM_STOPS, SYM_BEHIND)
"""What a state has beside its bytes; the latter with a shortcut."""

NO_OWNER: Final = 0xFFFF_FFFF
"""No state: states are indices into an image that is far smaller."""


@dataclass(frozen=True, slots=True)
class Comb:
    """`entries`, `names` and the first state as the image holds them."""

    entries: npt.NDArray[np.void]
    names: npt.NDArray[np.void]
    start: int


def lay_out(
    dfa: Dfa, classes: Sequence[int], subtrees: Sequence[int], short: Mapping[int, Shortcut], first: int
) -> Comb:
    """Place every state; `first` is the index in the image of the section's first entry."""
    symbols = [
        (SYM_DEFAULT, *(SYM_BYTE + byte for byte in explicit), *(SYM_SHORT if state in short else SYM_LONG))
        for state, explicit in enumerate(dfa.explicit)
    ]
    bases = _places(symbols)
    names = [first + base | _flags(dfa, state, short) for state, base in enumerate(bases)]
    entries = np.zeros(max(bases) + SYM_BEHIND + 1, dtype=ENTRY)
    entries["owner"] = NO_OWNER
    at: list[int] = []
    owner: list[int] = []
    following: list[int] = []
    for state, used in enumerate(symbols):
        at += [bases[state] + symbol for symbol in used]
        # The kernel compares with the name of a state as `next` gives it, but for the sinks.
        owner += [names[state] & ~STATE_SINK] * len(used)
        following.append(names[dfa.default[state]])
        following += [names[target] for target in dfa.explicit[state].values()]
        following += (classes[state], subtrees[state])
        if state in short:
            shortcut = short[state]
            stops = int.from_bytes(shortcut.stops, "little")
            following += (names[shortcut.rest], stops, names[shortcut.behind])
    entries["owner"][at] = owner
    entries["next"][at] = following
    known = {
        (names[shortcut.behind], name): names[end]
        for shortcut in short.values()
        for name, end in shortcut.names.items()
    }
    return Comb(entries, name_table(known), names[dfa.start])


def _flags(dfa: Dfa, state: int, short: Mapping[int, Shortcut]) -> int:
    if dfa.is_sink(state):
        return STATE_SINK
    if state not in short:
        return 0
    return STATE_SHORTCUT | (STATE_NAMES if short[state].names else 0)


class _Space:
    """Which entries are in use; a chunk of bits at a time."""

    def __init__(self) -> None:
        self.chunks: list[int] = []
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
