"""Strings as small numbers: each distinct value is kept once, and what is asked of it is asked once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

EMPTY: Final = 0
"""The symbol of the empty string."""
OVERFLOW: Final = 1
"""The symbol of every value that found no room; `Symbols.overflowed` counts them."""
LOST: Final = 2
"""The symbol of a value that did not arrive, or whose number is not known; the decoder counts them."""

MARKS: Final = (b"(not kept: too many distinct values)", b"(lost)")
"""What people and rules see of OVERFLOW and LOST."""


class Symbols:
    """A table of distinct byte strings. A symbol is its index, and never changes its meaning.

    `limit` bounds the number of values, `max_bytes` the sum of their lengths. A table that is nearly full is
    replaced by a new one (decode.py), so whoever keeps symbols from one batch to the next compares
    `batch.symbols` with the table that they are of, and brings them over with `adopt` when it is another.
    """

    def __init__(self, limit: int = 1 << 18, max_bytes: int = 48 << 20) -> None:
        self._values: list[bytes] = [b"", *MARKS]
        self._numbers: dict[bytes, int] = {b"": EMPTY}
        self.limit = limit
        self.max_bytes = max_bytes
        self.bytes = 0
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, symbol: int) -> bytes:
        return self._values[symbol]

    def values(self, symbols: Iterable[int]) -> list[bytes]:
        """The values of many symbols."""
        return list(map(self._values.__getitem__, symbols))

    def has_room(self, values: int, size: int) -> bool:
        """Whether so many values of so many bytes in all leave an eighth free."""
        few = len(self._values) + values <= self.limit - (self.limit >> 3)
        return few and self.bytes + size <= self.max_bytes - (self.max_bytes >> 3)

    def find(self, value: bytes) -> int | None:
        """The symbol of a value that is known."""
        return self._numbers.get(value)

    def intern(self, value: bytes) -> int:
        """The symbol of a value, new if need be."""
        number = self._numbers.get(value)
        if number is not None:
            return number
        if len(self._values) >= self.limit or self.bytes + len(value) > self.max_bytes:
            self.overflowed += 1
            return OVERFLOW
        number = len(self._values)
        self._values.append(value)
        self.bytes += len(value)
        self._numbers[value] = number
        return number

    def intern_all(self, values: Iterable[bytes]) -> list[int]:
        """The symbols of many values."""
        return [self.intern(value) for value in values]

    def adopt(self, other: Symbols, symbols: Iterable[int]) -> list[int]:
        """The symbols here of values of another table; marks stay what they are."""
        return [symbol if symbol <= LOST else self.intern(other[symbol]) for symbol in symbols]

    def since(self, first: int) -> list[bytes]:
        """The values from symbol `first` on: those that are new to somebody who has seen the ones before."""
        return self._values[first:]

    def text(self, symbol: int) -> str:
        """For people and rules: bytes that are not UTF-8 are kept as surrogates."""
        return self._values[symbol].decode("utf-8", "surrogateescape")
