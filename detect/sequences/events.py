"""Events as the automata look at them, one at a time, and as they are kept for alerts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from detect.batch import Batch
from detect.sequences.automaton import Fields, is_text
from detect.sequences.order import ROW, Ordered
from detect.symbols import OVERFLOW, Symbols

KEY_FIELDS: Final = ("session", "process", "device", "inode", "rule")

Kept = tuple[bytes, Symbols]
"""One whole event as bytes, and the table that its symbols are from."""


class Events:
    """A cursor over ordered events. Text is bytes, None if it was not kept; addresses are bytes."""

    __slots__ = ("_columns", "_data", "_symbols", "_texts", "at")

    def __init__(self, ordered: Ordered, fields: Iterable[str]) -> None:
        rows = ordered.rows
        self._columns: dict[str, list[Any]] = {
            name: [each.tobytes() for each in rows[name]] if name == "address" else rows[name].tolist()
            for name in fields
        }
        self._texts = frozenset(name for name in self._columns if is_text(name))
        self._symbols = ordered.symbols
        self._data = rows.tobytes()
        self.at = 0
        """The place of the event that is looked at."""

    def __getitem__(self, name: str) -> Any:
        value = self._columns[name][self.at]
        if name in self._texts:
            return None if value == OVERFLOW else self._symbols[self.at][value]
        return value

    @property
    def row(self) -> Kept:
        """The event, to be kept."""
        size = ROW.itemsize
        return self._data[self.at * size : (self.at + 1) * size], self._symbols[self.at]


def file_key(event: Fields) -> int:
    """The number of the file that is the event's object, 0 for none."""
    inode: int = event["inode"]
    return inode << 32 | event["device"] if inode else 0


def shown(row: bytes, symbols: Symbols) -> dict[str, Any]:
    """A kept event as `Batch.row` gives it."""
    record = np.frombuffer(row, ROW)
    return Batch({name: record[name] for name in ROW.names or ()}, symbols).row(0)
