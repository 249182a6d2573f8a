"""Rows that repeat become numbers: each distinct context and each distinct act is kept once."""

from __future__ import annotations

import secrets
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.store.schema import Column, Columns

Words = NDArray[np.uint64]

_FREE: Final = np.uint32(0xFFFF_FFFF)
_START: Final = 1 << 12
_HALF: Final = np.uint64(32)
_NEXT: Final = np.uint64(1)


class Rows:
    """Distinct rows, numbered in the order in which they come.

    Rows are found by a hash whose key is secret, and compared exactly: where two differ under one hash, the
    later gets a number of its own each time, so that an opponent gains a larger file and nothing else.
    The size of `dtype` is a multiple of 8: inside, a row is so many words.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        width = dtype.itemsize // 8
        self._dtype = dtype
        self._names = [name for name in dtype.names or () if name != "filler"]
        self._low, self._high = (
            np.frombuffer(secrets.token_bytes(8 * width), np.uint64) | np.uint64(1) for _ in range(2)
        )
        self._words = np.empty((_START, width), np.uint64)
        self._hashes = np.zeros(_START, np.uint64)
        self._count = 0
        self._slots = np.full(4 * _START, _FREE)

    def __len__(self) -> int:
        return self._count

    def since(self, first: int) -> NDArray[Any]:
        """The rows from number `first` on."""
        return self._words[first : self._count].reshape(-1).view(self._dtype)

    def number(self, columns: Columns) -> Column:
        """The number of each row of `columns`, new ones where need be."""
        rows = np.zeros(len(next(iter(columns.values()))), self._dtype)
        for name in self._names:
            rows[name] = columns[name]
        words = rows.view(np.uint64).reshape(len(rows), -1)
        hashes = words @ self._low + (words >> _HALF) @ self._high
        numbers = self._find(hashes, words)
        kept = self._words.take(numbers, axis=0)
        if not np.array_equal(kept, words):
            wrong = np.flatnonzero((kept != words).any(axis=1))
            numbers[wrong] = self._append(words[wrong], hashes[wrong])
        return numbers

    def _find(self, hashes: Words, words: Words) -> NDArray[np.uint32]:
        """Open addressing, one probe of all that are not yet settled at a time."""
        if 2 * (self._count + len(hashes)) > len(self._slots):
            self._rehash(4 * (self._count + len(hashes)))
        slot, mask = self._first_slots(hashes)
        found = self._slots.take(slot)
        # most rows are known; a free slot is no row's, so that what stands for its number fits no hash
        left = np.flatnonzero(self._hashes.take(found, mode="clip") != hashes)
        slot = slot.take(left)
        while len(left):
            number = self._slots.take(slot)
            wanting = np.flatnonzero(number == _FREE)
            if len(wanting):
                # Several may want one slot: the last to write has it, and the others look at who that is.
                wanted = slot.take(wanting)
                self._slots[wanted] = wanting.astype(np.uint32)
                winners = wanting[self._slots.take(wanted) == wanting]
                which = left.take(winners)
                self._slots[slot.take(winners)] = self._append(words.take(which, axis=0), hashes.take(which))
                number[wanting] = self._slots.take(wanted)
            same = self._hashes.take(number) == hashes.take(left)
            found[left[same]] = number[same]
            other = np.flatnonzero(~same)
            left, slot = left.take(other), (slot.take(other) + _NEXT) & mask
        return found

    def _first_slots(self, hashes: Words) -> tuple[Words, np.uint64]:
        size = len(self._slots)
        return hashes >> np.uint64(65 - size.bit_length()), np.uint64(size - 1)

    def _append(self, words: Words, hashes: Words) -> NDArray[np.uint32]:
        first, end = self._count, self._count + len(words)
        if end > len(self._words):
            room = max(end, 2 * len(self._words))
            more = np.empty((room - first, self._words.shape[1]), np.uint64)
            self._words = np.concatenate([self._words[:first], more])
            self._hashes = np.concatenate([self._hashes[:first], more[:, 0]])
        self._words[first:end], self._hashes[first:end] = words, hashes
        self._count = end
        return np.arange(first, end, dtype=np.uint32)

    def _rehash(self, size: int) -> None:
        self._slots = np.full(1 << (size - 1).bit_length(), _FREE)
        left = np.arange(self._count, dtype=np.uint32)
        slot, mask = self._first_slots(self._hashes[: self._count])
        while len(left):
            free = self._slots[slot] == _FREE
            self._slots[slot[free]] = left[free]
            other = np.flatnonzero(self._slots[slot] != left)
            left, slot = left[other], (slot[other] + _NEXT) & mask
