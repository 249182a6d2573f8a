"""Minimisation: states with the same language, told apart by class, become one.

Moore's refinement, each round vectorised over all states. A state's row is summed up in two 64-bit numbers
that do not depend on how its default is chosen; because numbers can collide, the outcome is compared
exactly at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from policies.compile.dfa import Dfa

MAX_SEEDS: Final = 3

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def minimise(dfa: Dfa, classes: Sequence[int]) -> tuple[Dfa, list[int]]:
    """The smallest automaton that gives every string the same class, and its states' classes.

    States are numbered by first appearance in `dfa`; defaults are each state's commonest target.
    """
    for seed in range(MAX_SEEDS):
        labels = _refine(dfa, np.asarray(classes, dtype=np.int64), seed).tolist()
        first: dict[int, int] = {}
        for state, label in enumerate(labels):
            first.setdefault(label, state)
        number = {label: at for at, label in enumerate(first)}
        mapped = [number[label] for label in labels]
        small = Dfa(start=mapped[dfa.start])
        for representative in first.values():
            default, explicit = row(dfa, representative, mapped)
            small.default.append(default)
            small.explicit.append(explicit)
        if _same(dfa, mapped, classes, small, list(first.values())):
            return small, [classes[representative] for representative in first.values()]
    raise AssertionError("no minimal automaton found")  # pragma: no cover - three collisions of 64 bits


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

    def __init__(self, dfa: Dfa, seed: int) -> None:
        self.sources = np.repeat(np.arange(len(dfa)), [len(each) for each in dfa.explicit])
        count = len(self.sources)
        symbols = np.fromiter((byte for each in dfa.explicit for byte in each), np.int64, count)
        self.targets = np.fromiter((to for each in dfa.explicit for to in each.values()), np.int64, count)
        self.defaults = np.asarray(dfa.default, dtype=np.int64)
        self.starts = np.flatnonzero(np.diff(self.sources, prepend=-1))
        self.with_explicit = self.sources[self.starts]
        random = np.random.Generator(np.random.PCG64(seed))
        weights = random.integers(1, 1 << 64, size=256, dtype=np.uint64) | np.uint64(1)
        self.weights = weights[symbols]
        self.all_weights = weights.sum(dtype=np.uint64)
        self.marks = random.integers(1, 1 << 64, size=(2, len(dfa)), dtype=np.uint64)

    def sums(self, labels: I64) -> U64:
        """By state: its label's mark and, over all bytes, weight times the target's mark, modulo 2**64."""
        marks = self.marks[0][labels]
        by_default = marks[self.defaults]
        sums: U64 = self.marks[1][labels] + by_default * self.all_weights
        changes = self.weights * (marks[self.targets] - by_default[self.sources])
        if len(self.starts):
            sums[self.with_explicit] += np.add.reduceat(changes, self.starts)
        return sums


def _refine(dfa: Dfa, classes: I64, seed: int) -> I64:
    """Labels such that equal labels mean equal classes now and after every string, but for a collision."""
    table = _Table(dfa, seed)
    labels = _dense(classes)
    known = labels.max()
    while True:
        labels = _dense(table.sums(labels))
        found = labels.max()
        if found == known:
            return labels
        known = found


def _dense(values: I64 | U64) -> I64:
    """The same partition with labels from 0."""
    found: npt.NDArray[Any] = np.unique(values, return_inverse=True)[1]
    return found.astype(np.int64).reshape(-1)


def _same(dfa: Dfa, mapped: list[int], classes: Sequence[int], small: Dfa, chosen: list[int]) -> bool:
    """Whether every state is what it was merged into, exactly."""
    for state, number in enumerate(mapped):
        if chosen[number] == state:
            continue
        if classes[state] != classes[chosen[number]]:
            return False
        if row(dfa, state, mapped) != (small.default[number], small.explicit[number]):
            return False
    return True
