"""For each state that is a directory's name: the class that stands for everything strictly below it.

What is below are the strings that continue with a slash and canonical components. So the walk is over pairs
of a state and where in a component it is; strongly connected pairs see the same classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Final

from policies.compile.dfa import Dfa
from policies.pattern import SLASH

BEGIN: Final = 0
DOT: Final = 1
DOTS: Final = 2
INSIDE: Final = 3
"""Where in a component: at its first byte, behind `.`, behind `..` (which are no names), in a real name."""

FULL_STOP: Final = 0x2E

Combine = Callable[[int, int], int]


def subtrees(dfa: Dfa, classes: Sequence[int], combine: Combine) -> list[int]:
    """By state: the class of everything below, made by `combine` from the classes of what is reached."""
    below = _Below(dfa, classes, combine).run()
    root = dfa.step(dfa.start, SLASH)
    found: list[int] = []
    for state in range(len(dfa)):
        through = state if state == root else dfa.step(state, SLASH)
        found.append(below.get(through * 4 + BEGIN, classes[state]))
    return found


def _edges(dfa: Dfa, node: int) -> list[int]:
    """The pairs that one more byte leads to."""
    state, where = node >> 2, node & 3
    explicit = dfa.explicit[state]
    found: dict[int, None] = {}
    special = 0
    if where == INSIDE:
        found[dfa.step(state, SLASH) * 4 + BEGIN] = None
    elif where != DOTS:
        found[dfa.step(state, FULL_STOP) * 4 + (DOT if where == BEGIN else DOTS)] = None
    for byte, target in explicit.items():
        if byte in (SLASH, 0) or (byte == FULL_STOP and where in (BEGIN, DOT)):
            special += 1
        else:
            found[target * 4 + INSIDE] = None
    if len(explicit) - special < 255 - 1 - (where in (BEGIN, DOT)):
        found[dfa.default[state] * 4 + INSIDE] = None
    return list(found)


class _Below:
    """Tarjan's algorithm, without recursion: components come out after everything that they reach."""

    def __init__(self, dfa: Dfa, classes: Sequence[int], combine: Combine) -> None:
        self.dfa = dfa
        self.classes = classes
        self.combine = combine
        self.below: dict[int, int] = {}
        self.index: dict[int, int] = {}
        self.low: dict[int, int] = {}
        self.edges: dict[int, list[int]] = {}
        self.stack: list[int] = []
        self.on_stack: set[int] = set()

    def run(self) -> dict[int, int]:
        """By pair: the class of everything that is reached from it."""
        calls = [self.enter(self.dfa.step(self.dfa.start, SLASH) * 4 + BEGIN)]
        while calls:
            node, remaining = calls[-1]
            for target in remaining:
                if target not in self.index:
                    calls.append(self.enter(target))
                    break
                if target in self.on_stack:
                    self.low[node] = min(self.low[node], self.index[target])
            else:
                calls.pop()
                if calls:
                    caller = calls[-1][0]
                    self.low[caller] = min(self.low[caller], self.low[node])
                if self.low[node] == self.index[node]:
                    self.close(node)
        return self.below

    def enter(self, node: int) -> tuple[int, Iterator[int]]:
        self.index[node] = self.low[node] = len(self.index)
        self.stack.append(node)
        self.on_stack.add(node)
        self.edges[node] = _edges(self.dfa, node)
        return node, iter(self.edges[node])

    def close(self, node: int) -> None:
        """A component is complete: what its members see below is all that any of them reaches."""
        members = [self.stack.pop()]
        while members[-1] != node:
            members.append(self.stack.pop())
        self.on_stack.difference_update(members)
        parts: dict[int, None] = {}
        for member in members:
            for target in self.edges.pop(member):
                if target & 3 == INSIDE:
                    parts[self.classes[target >> 2]] = None
                if target in self.below:  # else it is a member itself
                    parts[self.below[target]] = None
        found = reduce(self.combine, parts)
        for member in members:
            self.below[member] = found
