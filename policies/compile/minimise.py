"""Minimisation: states with the same language, told apart by class, become one.

Moore's refinement, each round vectorised over all states. A state's row is summed up in two 64-bit numbers
that do not depend on how its default is chosen; because numbers can collide, the outcome is compared
exactly at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def minimise(dfa: Dfa, classes: Sequence[int]) -> tuple[Dfa, list[int]]:
    """The smallest automaton that gives every string the same class, and its states' classes.

    States are numbered by first appearance in `dfa`; defaults are each state's commonest target.
    """
    labels = _refine(dfa, np.asarray(classes, dtype=np.int64))
    first: dict[int, int] = {}
    for state, label in enumerate(labels.tolist()):
        first.setdefault(label, state)
    number = {label: at for at, label in enumerate(first)}
    mapped = [number[label] for label in labels.tolist()]
    small = Dfa(start=mapped[dfa.start])
    for representative in first.values():
        default, explicit = row(dfa, representative, mapped)
        small.default.append(default)
        small.explicit.append(explicit)
    _verify(dfa, mapped, classes, small, list(first.values()))
    return small, [classes[representative] for representative in first.values()]


def row(dfa: Dfa, state: int, mapped: Sequence[int]) -> tuple[int, dict[int, int]]:
    """A state's transitions under `mapped`, with the commonest target (the lowest of equals) as default."""
    explicit = dfa.explicit[state]
    default = mapped[dfa.default[state]]
    count = {default: 256 - len(explicit)}
    for target in explicit.values():
        count[mapped[target]] = count.get(mapped[target], 0) + 1
    best = min(count, key=lambda target: (-count[target], target))
    found = {byte: mapped[target] for byte, target in explicit.items() if mapped[target] != best}
    if best != default:
        found.update((byte, default) for byte in range(256) if byte not in explicit)
    return best, dict(sorted(found.items()))


class _Table:
    """All transitions as arrays, and the sums that tell rows apart."""

    def __init__(self, dfa: Dfa) -> None:
        self.sources = np.repeat(np.arange(len(dfa)), [len(each) for each in dfa.explicit])
        count = len(self.sources)
        self.symbols = np.fromiter((byte for each in dfa.explicit for byte in each), np.int64, count)
        self.targets = np.fromiter((to for each in dfa.explicit for to in each.values()), np.int64, count)
        self.defaults = np.asarray(dfa.default, dtype=np.int64)
        self.starts = np.flatnonzero(np.diff(self.sources, prepend=-1))
        random = np.random.Generator(np.random.PCG64(0x4D454E5348454E))
        self.weights = random.integers(1, 1 << 64, size=(2, 256), dtype=np.uint64) | np.uint64(1)
        self.marks = random.integers(1, 1 << 64, size=(2, len(dfa)), dtype=np.uint64)

    def sums(self, labels: I64, side: int) -> U64:
        """For each state the sum over all bytes of weight times the target's mark, modulo 2**64."""
        weights, marks = self.weights[side], self.marks[side]
        by_default = marks[labels[self.defaults]]
        sums: U64 = by_default * weights.sum(dtype=np.uint64)
        changes = weights[self.symbols] * (marks[labels[self.targets]] - by_default[self.sources])
        if len(self.starts):
            sums[self.sources[self.starts]] += np.add.reduceat(changes, self.starts)
        return sums


def _refine(dfa: Dfa, classes: I64) -> I64:
    """Labels such that equal labels mean equal classes now and after every string."""
    table = _Table(dfa)
    labels = _dense(classes)
    known = int(labels.max(initial=-1)) + 1
    while True:
        columns = (labels, table.sums(labels, 0), table.sums(labels, 1))
        order = np.lexsort(columns)
        changed = np.zeros(len(order), dtype=bool)
        for column in columns:
            ordered = column[order]
            changed[1:] |= ordered[1:] != ordered[:-1]
        refined = np.empty(len(order), dtype=np.int64)
        refined[order] = np.cumsum(changed)
        found = int(refined.max(initial=-1)) + 1
        if found == known:
            return labels
        labels, known = refined, found


def _dense(values: I64) -> I64:
    found: npt.NDArray[Any] = np.unique(values, return_inverse=True)[1]
    return found.astype(np.int64).reshape(-1)


def _verify(dfa: Dfa, mapped: list[int], classes: Sequence[int], small: Dfa, chosen: list[int]) -> None:
    for state, number in enumerate(mapped):
        if chosen[number] == state:
            continue
        same = row(dfa, state, mapped) == (small.default[number], small.explicit[number])
        if not same or classes[state] != classes[chosen[number]]:
            raise AssertionError("the minimised automaton is not the same automaton")  # pragma: no cover
