"""Denials by the kernel that are a sequence's last step.

The watch sees the denied call by itself as well, and mostly sooner: the denial comes by way of the agent.
Then the sequence has come true by its tags, and the denial is the last step of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.batch import Batch
from detect.sequences.runs import Run

SAME: Final = 10 * 10**9
"""Nanoseconds within which a denial may come after the call that was denied."""


class Denials:
    """Which rules of the policy image in force are sequences; and of the `limit` newest, when they denied."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sequences: dict[int, int] = {}
        """Numbers of sequences by those of rules."""
        self._last: dict[tuple[int, int], int] = {}
        self._true: dict[tuple[int, int], tuple[int, Run]] = {}

    def rules(self, rules: Mapping[int, str], names: Iterable[str]) -> None:
        """The rules by name; `names` are those of the sequences in the order of their numbers."""
        numbers = {name: number for number, name in enumerate(names)}
        self.sequences = {rule: numbers[name] for rule, name in rules.items() if name in numbers}

    def found(self, batch: Batch) -> NDArray[np.intp]:
        """The places of denials by them."""
        if not self.sequences:
            return np.empty(0, np.intp)
        places = np.flatnonzero(batch["type"] == Type.DENIAL)
        return places[np.isin(batch["rule"][places], list(self.sequences))]

    def came_true(self, sequence: int, session: int, now: int, run: Run) -> None:
        """By its tags."""
        self._true.pop((sequence, session), None)
        self._true[sequence, session] = now, run
        while len(self._true) > self.limit or now - next(iter(self._true.values()))[0] > SAME:
            del self._true[next(iter(self._true))]

    def explained_by(self, sequence: int, session: int, now: int) -> Run | None:
        """The run that came true with the call that is denied."""
        when, run = self._true.get((sequence, session), (0, None))
        return run if now - when <= SAME else None

    def repeated(self, sequence: int, session: int, now: int, within: int) -> bool:
        """Whether it denied the same session not long ago. From now on it did."""
        last = self._last.pop((sequence, session), None)
        self._last[sequence, session] = now
        if len(self._last) > self.limit:
            del self._last[next(iter(self._last))]
        return last is not None and now - last <= within
