"""From records to columns: the kernel's numbers of strings become symbols."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import (
    OBSERVATION,
    STRING_FIELDS,
    STRING_LOST,
    STRING_MAX,
    STRING_NONE,
    STRING_NUMBERS,
    Raw,
)
from detect.batch import Batch, Column
from detect.symbols import EMPTY, LOST, Symbols
from detect.table import ABSENT, Recent

NUMBERS: Final = 2 * STRING_NUMBERS
"""Numbers of strings that are kept for certain; twice as many at most."""


class Decoder:
    """Knows which number is which string. Every field that is not known is LOST, and counted.

    When the table of symbols is nearly full, the next batch has a new one with the strings that are known by
    number; `renewed` counts that.
    """

    def __init__(self, symbols: Symbols | None = None, numbers: int = NUMBERS) -> None:
        self.symbols = Symbols() if symbols is None else symbols
        if self.symbols.limit < 4 * numbers:
            raise ValueError(f"{numbers} numbers need room for {4 * numbers} symbols")
        self._numbers = Recent(numbers, {STRING_NONE: EMPTY, STRING_LOST: LOST})
        self.lost = 0
        """Fields whose string the kernel could not send."""
        self.unknown = 0
        """Fields whose number was never announced, or was forgotten."""
        self.cut = 0
        """Strings that were longer than the kernel sends."""
        self.renewed = 0

    @property
    def forgotten(self) -> int:
        """Numbers that were dropped because others came."""
        return self._numbers.forgotten

    def decode(self, raw: Raw) -> Batch:
        """The records as a batch. The columns of numbers are views of the records, but for the type."""
        if raw.records.dtype != OBSERVATION:
            raise ValueError("the records are not of the layout of bpf_lsm/observation.py")
        if not self.symbols.has_room(len(raw.strings), sum(len(value) for _, value, _ in raw.strings)):
            self._renew()
        self._learn(raw)
        columns: dict[str, Column] = {name: raw.records[name] for name in OBSERVATION.names or ()}
        for name in STRING_FIELDS:
            columns[name] = self._symbols_of(columns[name])
        columns["type"] = columns["type"].copy()  # every stage looks at all of it
        return Batch(columns, self.symbols)

    def _symbols_of(self, numbers: NDArray[Any]) -> NDArray[np.uint32]:
        symbols = self._numbers.get(numbers)
        doubtful = symbols == LOST
        absent = symbols == ABSENT
        if absent.any():
            symbols[absent] = LOST
            self.unknown += int(absent.sum())
        self.lost += int(doubtful.sum())
        return symbols

    def _learn(self, raw: Raw) -> None:
        known: dict[int, int] = {}
        for number, value, cut in raw.strings:
            self.cut += cut
            if number > STRING_LOST:
                known[number] = self.symbols.intern(value[:STRING_MAX])
        if known:
            self._numbers.put(np.array(list(known), np.uint64), np.array(list(known.values()), np.uint32))

    def _renew(self) -> None:
        """A new table of symbols, with what is known by number.

        If that alone is half of what fits, as with many long strings, it is forgotten: the numbers of those
        that are named again are unknown then, and whoever reads the source has it send all strings anew.
        """
        fresh = Symbols(self.symbols.limit, self.symbols.max_bytes)
        numbers, symbols = self._numbers.items()
        if sum(len(self.symbols[symbol]) for symbol in symbols.tolist()) <= fresh.max_bytes // 2:
            moved = dict(zip(numbers.tolist(), fresh.adopt(self.symbols, symbols.tolist()), strict=True))
            self._numbers.clear()
            self._numbers.put(np.array(list(moved), np.uint64), np.array(list(moved.values()), np.uint32))
        else:
            self._numbers.clear()
            self._numbers.forgotten += len(numbers)
        self.symbols = fresh
        self.renewed += 1
