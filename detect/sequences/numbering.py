"""Small numbers for whole numbers, and for sets of tags: many at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

_WORD: Final = 62
"""Tags whose bits are in one whole number."""


class Numbering:
    """Each whole number gets one of its own, from 0 on, when it is first seen."""

    def __init__(self) -> None:
        self._seen = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)

    def of(self, values: Whole) -> Whole:
        """Their numbers."""
        seen = self._seen
        at = seen.searchsorted(values)
        new = seen.take(at, mode="clip") != values if len(seen) else np.ones(len(values), bool)
        if not new.any():
            return self._numbers[at]
        more = np.unique(values[new])
        places, numbers = seen.searchsorted(more), np.arange(len(seen), len(seen) + len(more))
        self._seen, self._numbers = np.insert(seen, places, more), np.insert(self._numbers, places, numbers)
        return self._numbers[self._seen.searchsorted(values)]


class Sets:
    """The same for sets of tags, which are numbers below `tags`."""

    def __init__(self, tags: int) -> None:
        place = np.arange(tags)
        self._bits = [
            np.where(place // _WORD == word, np.int64(1) << place % _WORD, 0)
            for word in range(tags // _WORD + 1)
        ]
        self._words = [Numbering() for _ in self._bits]
        self._pairs = [Numbering() for _ in self._bits[1:]]

    def of(self, tag: NDArray[Any], first: NDArray[np.intp]) -> Whole:
        """The numbers of sets, one after another in `tag`, which begin at these places."""
        words = [
            word.of(np.bitwise_or.reduceat(bits[tag], first))
            for word, bits in zip(self._words, self._bits, strict=True)
        ]
        found = words[0]
        for pair, word in zip(self._pairs, words[1:], strict=True):
            found = pair.of(found << 32 | word)
        return found
