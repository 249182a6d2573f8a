"""Steps for the actors as bytes, and their answers. The layout is that of actor.c."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = 0x444E5552
NUMBER, POINTER, RESULT = range(3)
FORKED, UNLESS = 1, 2
GROUP: Final = 4096
"""Steps that one order to an actor holds; actor.c knows it too."""

EXEC, POKE, FORMAT, EXECAT, PEEK, FILL = -1, -2, -3, -4, -5, -6

_HEADER: Final = struct.Struct("<IIII")
_STEP: Final = struct.Struct("<q6Q6BBBiI")
ANSWER: Final = np.dtype(
    [("result", "<i8"), ("begin", "<u8"), ("end", "<u8"), ("pid", "<u4"), ("done", "<u4")]
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the round's memory."""

    offset: int

    def __add__(self, more: int) -> Place:
        return Place(self.offset + more)


@dataclass(frozen=True, slots=True)
class Got:
    """The result of an earlier step."""

    step: int


Argument = int | bytes | Place | Got


@dataclass(slots=True)
class Script:
    """Steps in the order in which they are done."""

    steps: list[bytes] = field(default_factory=list)
    actors: list[int] = field(default_factory=list)
    calls: list[tuple[int, int, tuple[Argument, ...]]] = field(default_factory=list)
    memory: bytearray = field(default_factory=bytearray)
    _known: dict[bytes, Place] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    def do(
        self,
        actor: int,
        call: int,
        *arguments: Argument,
        only_if: int | None = None,
        unless: int | None = None,
        forked: bool = False,
    ) -> int:
        """Add a step; its number. `only_if` and `unless` are steps that succeeded, or did not; a `forked`
        step is done by a child of its own."""
        kinds, values = [NUMBER] * 6, [0] * 6
        for at, argument in enumerate(arguments):
            match argument:
                case bytes():
                    kinds[at], values[at] = POINTER, self.text(argument).offset
                case Place(offset):
                    kinds[at], values[at] = POINTER, offset
                case Got(step):
                    kinds[at], values[at] = RESULT, step
                case _:
                    values[at] = argument & (1 << 64) - 1
        condition = only_if if only_if is not None else unless if unless is not None else -1
        flags = (FORKED if forked else 0) | (UNLESS if unless is not None else 0)
        self.steps.append(_STEP.pack(call, *values, *kinds, actor, flags, condition, 0))
        self.calls.append((actor, call, arguments))
        return len(self.steps) - 1

    def text(self, text: bytes) -> Place:
        """A string, with its NUL; the same one is kept once, so it is not to be written to."""
        if text not in self._known:
            self._known[text] = self.data(text + b"\0")
        return self._known[text]

    def data(self, data: bytes) -> Place:
        """Bytes of the step's own."""
        self.memory += bytes(-len(self.memory) % 16)
        place = Place(len(self.memory))
        self.memory += data
        return place

    def space(self, size: int) -> Place:
        """Zeroed memory."""
        return self.data(bytes(size))

    def encode(self) -> bytes:
        """The round file."""
        memory = bytes(self.memory) + bytes(256)
        return _HEADER.pack(MAGIC, len(self.steps), len(memory), 0) + b"".join(self.steps) + memory

    def decode(self, answers: bytes) -> NDArray[np.void]:
        """The answers file, a row for each step."""
        return np.frombuffer(answers, ANSWER, count=len(self.steps))

    def left(self, answers: bytes, place: Place, size: int) -> bytes:
        """What is in the memory after the round."""
        start = len(self.steps) * ANSWER.itemsize + place.offset
        return answers[start : start + size]
