"""Denials by the kernel that are a sequence's last step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.batch import Batch


class Denials:
    """Which rules of the policy image in force are sequences; and of the `limit` newest, when they denied."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sequences: dict[int, int] = {}
        """Numbers of sequences by those of rules."""
        self._last: dict[tuple[int, int], int] = {}

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

    def repeated(self, sequence: int, session: int, now: int, within: int) -> bool:
        """Whether it denied the same session not long ago. From now on it did."""
        last = self._last.pop((sequence, session), None)
        self._last[sequence, session] = now
        if len(self._last) > self.limit:
            del self._last[next(iter(self._last))]
        return last is not None and now - last <= within
