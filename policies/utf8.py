"""Ranges of characters as sequences of byte ranges, so that `?` and `[à-ü]` mean characters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

Ranges = tuple[tuple[int, int], ...]
"""Code points, inclusive, sorted, apart."""

ByteSequence = tuple[tuple[int, int], ...]
"""One inclusive byte range for each byte."""

LAST: Final = 0x10FFFF
SURROGATES: Final = (0xD800, 0xDFFF)
_LENGTHS: Final = ((0x0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, LAST))


def normalise(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, merged ranges."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Every character that is not in `ranges`."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in normalise([*ranges, SURROGATES]):
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


@lru_cache(maxsize=4096)
def byte_sequences(ranges: Ranges) -> tuple[ByteSequence, ...]:
    """Sequences that match exactly the UTF-8 encodings of the characters in `ranges`."""
    found: list[ByteSequence] = []
    for low, high in ranges:
        for shortest, longest in _LENGTHS:
            start, end = max(low, shortest), min(high, longest)
            if start > end:
                continue
            for part in _without_surrogates(start, end):
                found.extend(_split(part[0], part[1]))
    return tuple(found)


def _without_surrogates(low: int, high: int) -> list[tuple[int, int]]:
    parts = [(low, min(high, SURROGATES[0] - 1)), (max(low, SURROGATES[1] + 1), high)]
    return [part for part in parts if part[0] <= part[1]]


def _split(low: int, high: int) -> list[ByteSequence]:
    """One range whose ends have equally many bytes, cut where the trailing bytes do not span everything."""
    first, last = chr(low).encode(), chr(high).encode()
    for cut in range(1, len(first)):
        mask = (1 << (6 * cut)) - 1
        if low & ~mask != high & ~mask:
            if low & mask:
                return _split(low, low | mask) + _split((low | mask) + 1, high)
            if high & mask != mask:
                return _split(low, (high & ~mask) - 1) + _split(high & ~mask, high)
    return [tuple(zip(first, last, strict=True))]
