"""The automaton as a comb vector: every state's entries fitted between the others' (bpf_lsm/src/image.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa
from policies.image import ENTRY, STATE_SINK, SYM_BYTE, SYM_CLASS, SYM_DEFAULT, SYM_SUBTREE

WINDOW: Final = 1 << 14
"""How far ahead one search for a free place looks, in entries."""

NO_OWNER: Final = 0xFFFF_FFFF
"""No state: states are indices into an image that is far smaller."""


@dataclass(frozen=True, slots=True)
class Comb:
    """`entries` as the image holds them; `places` by state, both counted from the start of the image."""

    entries: npt.NDArray[np.void]
    places: list[int]
    sinks: list[bool]


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
    return Comb(entries, names, sinks)


def _places(symbols: Sequence[tuple[int, ...]]) -> list[int]:
    """First fit, the states with many entries first; bits of `taken` are entries from `low` on."""
    order = sorted(range(len(symbols)), key=lambda state: (-len(symbols[state]), state))
    places = [0] * len(symbols)
    low, taken = 0, 0
    every = (1 << WINDOW) - 1
    for state in order:
        used = symbols[state]
        skip = 0
        while True:
            blocked = 0
            for symbol in used:
                blocked |= taken >> (skip + symbol)
            free = ~blocked & every
            if free:
                break
            skip += WINDOW
        offset = skip + (free & -free).bit_length() - 1
        places[state] = low + offset
        for symbol in used:
            taken |= 1 << (offset + symbol)
        full = ~taken & (taken + 1)  # the lowest entry that is free
        moved = full.bit_length() - 1
        if moved >= WINDOW // 4:
            taken >>= moved
            low += moved
    return places
