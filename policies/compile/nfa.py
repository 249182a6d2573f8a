"""All patterns in one nondeterministic automaton over bytes, with their common beginnings shared.

A node reads bytes by narrow edges (few bytes, listed) and wide edges (all bytes but a few). Lists of both
stay short, and determinising costs what the patterns say, not 256 steps a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from policies.endpoint import EndpointPattern
from policies.pattern import SLASH, STAR, Component, One, Other, Pattern, Token
from policies.utf8 import ByteSequence, byte_sequences

FULL: Final = 0
LISTING: Final = 1
"""What a pattern's accept stands for: everything, or listing of the directory that it is below."""

WIDE_FROM: Final = 129
"""Byte sets with this many bytes are kept as what they leave out."""

NO_BYTES: Final[frozenset[int]] = frozenset()
NO_SLASH: Final = frozenset({SLASH})
CONTINUATION_RANGE: Final = (0x80, 0xBF)
CONTINUATION: Final = frozenset(range(0x80, 0xC0))
SLASH_STEP: Final[ByteSequence] = ((SLASH, SLASH),)


@dataclass(slots=True)
class Node:
    """One place in some patterns. `free` are nodes that are entered with this one, without reading."""

    narrow: dict[int, list[int]] = field(default_factory=dict)
    wide: list[tuple[frozenset[int], int]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    accepts: set[int] = field(default_factory=set)


class Nfa:
    """Built by `add`; node 0 is the start.

    `looping` says, for nodes that loop, which pattern made them; `byte_sets` are all sets of bytes that edges
    tell apart, as ranges or as what is left out.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = [Node()]
        self.looping: dict[int, int] = {}
        self.byte_sets: set[tuple[int, int] | frozenset[int]] = {(SLASH, SLASH)}
        self._children: dict[tuple[int, object], int] = {}

    def add(self, number: int, pattern: Pattern | EndpointPattern) -> None:
        """Add a pattern, which its accepts name by `number`."""
        if isinstance(pattern, EndpointPattern):
            for sequence in pattern.sequences():
                self._accept(self._tail(self._step(0, sequence), number), number)
        elif pattern.abstract:
            for branch in pattern.branches:
                at = self._step(0, ((ord("@"), ord("@")),))
                self._accept(self._component(at, branch[0], number, NO_BYTES), number)
        else:
            for branch in pattern.branches:
                self._path(branch, number)

    def _path(self, branch: tuple[Component, ...], number: int) -> None:
        if not branch:
            self._accept(self._step(0, SLASH_STEP), number)
            return
        at, ready = 0, False  # ready: the slash before the next component has been read
        for position, component in enumerate(branch):
            last = position == len(branch) - 1
            if component is not None:
                at = self._component(at if ready else self._step(at, SLASH_STEP), component, number, NO_SLASH)
                ready = False
            elif last:
                root = position == 0
                directory = self._step(at, SLASH_STEP) if root else at
                self._accept(directory, number, LISTING)
                below = directory if root else self._step(directory, SLASH_STEP)
                self._accept(self._tail(below, number, at_least_one=root), number)
            else:
                at, ready = self._any_components(self._step(at, SLASH_STEP), number), True
        if branch[-1] is not None:
            self._accept(at, number)

    def _accept(self, node: int, number: int, kind: int = FULL) -> None:
        self.nodes[node].accepts.add(number * 2 + kind)

    def _component(self, at: int, component: Component, number: int, excluded: frozenset[int]) -> int:
        assert component is not None
        for token in component:
            at = self._star(at, excluded, number) if token is STAR else self._character(at, token)
        return at

    def _child(self, at: int, key: object) -> tuple[int, bool]:
        """The node that `key` leads to from `at`, and whether it is new."""
        found = self._children.get((at, key))
        if found is not None:
            return found, False
        self.nodes.append(Node())
        self._children[at, key] = len(self.nodes) - 1
        return len(self.nodes) - 1, True

    def _step(self, at: int, sequence: ByteSequence) -> int:
        """Read one byte of each range."""
        for byte_range in sequence:
            child, new = self._child(at, byte_range)
            if new:
                self._edge(at, byte_range, child)
            at = child
        return at

    def _edge(self, at: int, byte_range: tuple[int, int], child: int) -> None:
        low, high = byte_range
        self.byte_sets.add(byte_range)
        if high - low + 1 >= WIDE_FROM:
            left_out = frozenset(range(low)) | frozenset(range(high + 1, 256))
            self.nodes[at].wide.append((left_out, child))
        else:
            for byte in range(low, high + 1):
                self.nodes[at].narrow.setdefault(byte, []).append(child)

    def _character(self, at: int, token: Token) -> int:
        """Read one character."""
        known = self._children.get((at, token))
        if known is None:
            reader = self._one(at, token) if isinstance(token, One) else self._other(at, token)
            known = self._children[at, token] = reader
        return known

    def _other(self, at: int, token: Token) -> int:
        """A byte that begins a character, none of the excluded; then all continuation bytes."""
        assert isinstance(token, Other)
        child, _ = self._child(at, token.excluded)
        excluded = token.excluded | CONTINUATION
        self.byte_sets.add(excluded)
        self.nodes[at].wide.append((excluded, child))
        self._edge(child, CONTINUATION_RANGE, child)
        return child

    def _one(self, at: int, token: One) -> int:
        """The encodings of one character lead to one common node."""
        sequences = byte_sequences(token.ranges)
        if len(sequences) == 1:
            return self._step(at, sequences[0])
        child, new = self._child(at, token.ranges)
        if new:
            for sequence in sequences:
                self._edge(self._step(at, sequence[:-1]), sequence[-1], child)
        return child

    def _star(self, at: int, excluded: frozenset[int], number: int) -> int:
        child, new = self._child(at, ("*", excluded))
        if new:
            self.nodes[at].free.append(child)
            self.nodes[child].wide.append((excluded, child))
            self.looping[child] = number
        return child

    def _tail(self, at: int, number: int, *, at_least_one: bool = False) -> int:
        child, new = self._child(at, "tail+" if at_least_one else "tail")
        if new:
            if at_least_one:
                self.nodes[at].wide.append((NO_BYTES, child))
            else:
                self.nodes[at].free.append(child)
            self.nodes[child].wide.append((NO_BYTES, child))
            self.looping[child] = number
        return child

    def _any_components(self, at: int, number: int) -> int:
        """Behind a slash: zero or more components with their slashes; the node where the next one begins."""
        loop, new = self._child(at, "**")
        if new:
            begin, _ = self._child(loop, "begin")
            self.nodes[at].free += [loop, begin]
            self.nodes[loop].wide.append((NO_BYTES, loop))
            self.nodes[loop].narrow.setdefault(SLASH, []).append(begin)
            self.looping[loop] = number
        return self._children[loop, "begin"]

    def byte_classes(self) -> list[list[int]]:
        """The bytes in groups that no edge tells apart."""
        groups: dict[tuple[bool, ...], list[int]] = {}
        sets = [range(each[0], each[1] + 1) if isinstance(each, tuple) else each for each in self.byte_sets]
        for byte in range(256):
            groups.setdefault(tuple(byte in each for each in sets), []).append(byte)
        return list(groups.values())

    def closures(self) -> list[frozenset[int]]:
        """For each node, the nodes that are entered with it."""
        return [
            frozenset(self._closure(number) if node.free else (number,))
            for number, node in enumerate(self.nodes)
        ]

    def _closure(self, node: int) -> Iterable[int]:
        found, waiting = {node}, [node]
        while waiting:
            for each in self.nodes[waiting.pop()].free:
                if each not in found:
                    found.add(each)
                    waiting.append(each)
        return found
