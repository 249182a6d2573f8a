"""Subset construction: the nondeterministic automaton made deterministic, sparsely.

A state keeps where every byte leads by default and the bytes that lead elsewhere. The work is bounded:
patterns that would multiply into too many states are refused by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from policies.compile.nfa import Nfa

MAX_STATES: Final = 600_000
MAX_WORK: Final = 3_000_000
"""Nodes and bytes looked at before patterns count as exploding, however few the states are."""

DEAD: Final = 0


class ExplosionError(Exception):
    """Too many states. `patterns` are the numbers of those that multiply, the worst first."""

    def __init__(self, states: int, patterns: list[int]) -> None:
        super().__init__(f"more than {states} states")
        self.patterns = patterns


@dataclass(slots=True)
class Dfa:
    """State 0 is dead. `default[s]` is where bytes lead that `explicit[s]` does not list."""

    start: int = 1
    default: list[int] = field(default_factory=list)
    explicit: list[dict[int, int]] = field(default_factory=list)
    accepts: list[tuple[int, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.default)

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte."""
        return self.explicit[state].get(byte, self.default[state])

    def is_sink(self, state: int) -> bool:
        """Whether nothing that is read leads out of the state."""
        return self.default[state] == state and not self.explicit[state]


def determinise(nfa: Nfa, max_states: int = MAX_STATES) -> Dfa:
    """The reachable subsets of `nfa`, breadth first, so that equal input numbers them equally."""
    return _Subsets(nfa, max_states).run()


class _Subsets:
    def __init__(self, nfa: Nfa, max_states: int) -> None:
        self.nfa = nfa
        self.max_states = max_states
        closures = nfa.closures()
        self.closures = closures
        nothing: frozenset[int] = frozenset()
        groups = nfa.byte_classes()
        self.alike = {group[0]: group for group in groups}
        """By the first byte of a group, all of it: only the first is looked at."""
        first = frozenset(self.alike)
        self.narrow = [
            {
                byte: closures[targets[0]].union(*(closures[each] for each in targets[1:]))
                for byte, targets in node.narrow.items()
                if byte in first
            }
            for node in nfa.nodes
        ]
        self.wide = [
            [(excluded & first, closures[target]) for excluded, target in node.wide] for node in nfa.nodes
        ]
        self.subsets: list[frozenset[int]] = [nothing, closures[0]]
        self.numbers = {subset: number for number, subset in enumerate(self.subsets)}
        self.work = 0

    def run(self) -> Dfa:
        dfa = Dfa()
        at = 0
        while at < len(self.subsets):
            subset = self.subsets[at]
            default, explicit = self.transitions(subset)
            dfa.default.append(default)
            dfa.explicit.append(explicit)
            dfa.accepts.append(self.accepts(subset))
            at += 1
            if len(self.subsets) > self.max_states or self.work > MAX_WORK:
                raise ExplosionError(self.max_states, self.culprits())
        return dfa

    def transitions(self, subset: frozenset[int]) -> tuple[int, dict[int, int]]:
        self.work += len(subset)
        narrow: dict[int, frozenset[int]] = {}
        wide: list[tuple[frozenset[int], frozenset[int]]] = []
        for node in subset:
            for byte, targets in self.narrow[node].items():
                narrow[byte] = narrow[byte] | targets if byte in narrow else targets
            wide += self.wide[node]
        if not wide:
            return DEAD, self.expanded({byte: self.number(narrow[byte]) for byte in sorted(narrow)})
        everywhere = wide[0][1].union(*(targets for _, targets in wide[1:]))
        special = set(narrow).union(*(excluded for excluded, _ in wide))
        self.work += len(special)
        explicit: dict[int, int] = {}
        default = self.number(everywhere)
        for byte in sorted(special):
            targets = narrow.get(byte, frozenset())
            for excluded, more in wide:
                if byte not in excluded:
                    targets |= more
            number = self.number(targets)
            if number != default:
                explicit[byte] = number
        return default, self.expanded(explicit)

    def expanded(self, explicit: dict[int, int]) -> dict[int, int]:
        """The same for all bytes of the groups."""
        if all(len(self.alike[byte]) == 1 for byte in explicit):
            return explicit
        return {each: target for byte, target in explicit.items() for each in self.alike[byte]}

    def number(self, subset: frozenset[int]) -> int:
        found = self.numbers.get(subset)
        if found is None:
            found = self.numbers[subset] = len(self.subsets)
            self.subsets.append(subset)
        return found

    def accepts(self, subset: frozenset[int]) -> tuple[int, ...]:
        """Patterns times two, plus one when only listing is meant: the whole pattern includes that."""
        found: set[int] = set()
        for node in subset:
            found |= self.nfa.nodes[node].accepts
        return tuple(sorted(each for each in found if not each & 1 or each - 1 not in found))

    def culprits(self) -> list[int]:
        """The patterns whose loops stand in most of the states made last."""
        recent = self.subsets[-20_000:]
        count = Counter(node for subset in recent for node in subset if node in self.nfa.looping)
        worst: dict[int, None] = {}
        for node, _ in sorted(count.items(), key=lambda item: (-item[1], item[0])):
            worst.setdefault(self.nfa.looping[node])
        return list(worst)[:5]
