"""Events as the automata look at them, one at a time, and as they are kept for alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import OBSERVATION
from detect.batch import ENRICHED, Batch
from detect.sequences.automaton import Fields
from detect.sequences.order import Ordered
from detect.symbols import OVERFLOW, Symbols
from policies.sequence import TEXTS

_MASK: Final = (1 << 64) - 1

ROW: Final = np.dtype([*OBSERVATION.descr, *ENRICHED.items()])
"""One whole event."""


class Kept:
    """One event that may be evidence: as bytes, with the table that its symbols are from."""

    __slots__ = ("row", "symbols")

    row: bytes
    symbols: Symbols

    def shown(self) -> dict[str, Any]:
        """As `Batch.row` gives it."""
        record = np.frombuffer(self.row, ROW)
        return Batch({name: record[name] for name in ROW.names or ()}, self.symbols).row(0)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some events in their order: which, when, `raw` rows, and which of the tables its symbols are from."""

    serial: NDArray[np.int64]
    time: NDArray[np.int64]
    row: NDArray[np.void]
    tables: tuple[Symbols, ...]
    table: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.serial)


class Events:
    """A cursor over ordered events. Text is bytes, None if it was not kept; addresses are bytes."""

    def __init__(self, ordered: Ordered, first: int = 0) -> None:
        self.first = first
        """The serial number of the first of them."""
        self.time = ordered.time.tolist()
        self._ordered = ordered
        self._columns: dict[str, list[Any]] = {}
        self._kept: dict[int, Kept] = {}
        self._sources = ordered.sources().tolist() if len(ordered.parts) > 1 else None
        self.at = 0
        """The place of the event that is looked at."""

    @property
    def serial(self) -> int:
        """The number of the event that is looked at."""
        return self.first + self.at

    def __getitem__(self, name: str) -> Any:
        value = (self._columns.get(name) or self.column(name))[self.at]
        if name not in TEXTS:
            return value
        if value == OVERFLOW:
            return None
        source = self._sources[self.at] if self._sources else 0
        return self._ordered.parts[source].batch.symbols[value]

    def column(self, name: str) -> list[Any]:
        """A field of all events; of text the symbols."""
        column = self._ordered.column(name)
        values = [each.tobytes() for each in column] if name == "address" else column.tolist()
        self._columns[name] = values
        return values

    def keep(self, at: int | None = None) -> Kept:
        """The event that is looked at or another, as something that will hold it once it was `copied`."""
        place = self.at if at is None else at
        found = self._kept.get(place)
        if found is None:
            found = self._kept[place] = Kept()
        return found

    def copied(self, noted: list[int]) -> Rows:
        """Copy out of the batches what was kept and what is at these places, all at once."""
        places = np.union1d(np.fromiter(self._kept, np.intp), np.array(noted, np.intp))
        rows = self.rows(places)
        index = places.searchsorted(np.fromiter(self._kept, np.intp)).tolist()
        for at, kept in zip(index, self._kept.values(), strict=True):
            kept.row, kept.symbols = rows.row[at].tobytes(), rows.tables[rows.table[at]]
        return rows

    def rows(self, places: NDArray[np.intp]) -> Rows:
        """The events at these places, copied out of the batches."""
        tables = tuple(part.batch.symbols for part in self._ordered.parts)
        source = self._ordered.sources()[places] if len(tables) > 1 else np.zeros(len(places), np.intp)
        time = self._ordered.time[places]
        return Rows(places + self.first, time, self._ordered.rows(ROW, places), tables, source)


def file_key(event: Fields) -> int:
    """The number of the file that is the event's object, 0 for none."""
    inode: int = event["inode"]
    return (inode << 24 ^ event["device"]) & _MASK if inode else 0


def file_keys(inodes: NDArray[np.uint64], devices: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The same for columns."""
    return np.where(inodes, inodes << np.uint64(24) ^ devices, 0)
