"""Events that are kept because a sequence may have begun with them: as rows, not as objects."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detect.sequences.events import Kept, Rows

CHUNK: Final = 1 << 12
"""Rows that are put together when there is room to be made."""
SPARE: Final = 1 << 12
"""Rows that nobody may need any more, beside half as many as are needed."""


class Shelf:
    """Events by serial number, which grows with time."""

    def __init__(self) -> None:
        self._chunks: list[Rows] = []
        self._firsts: list[int] = []
        self._rows = 0

    def put(self, rows: Rows) -> None:
        """More events, later than all before."""
        if len(rows):
            self._chunks.append(rows)
            self._firsts.append(int(rows.serial[0]))
            self._rows += len(rows)

    def get(self, serial: int) -> tuple[int, Kept]:
        """When an event that is here happened, and the event."""
        chunk = self._chunks[bisect_right(self._firsts, serial) - 1]
        at = int(chunk.serial.searchsorted(serial))
        kept = Kept()
        kept.row, kept.symbols = chunk.row[at].tobytes(), chunk.tables[chunk.table[at]]
        return int(chunk.time[at]), kept

    def since(self, time: int) -> float:
        """The serial number of the first event that was not before `time`; infinite if there is none."""
        for chunk in self._chunks:
            if chunk.time[-1] >= time:
                return int(chunk.serial[chunk.time.searchsorted(time)])
        return float("inf")

    def crowded(self, needed: int) -> bool:
        """Whether it is time for `retain`, if so many are needed at most."""
        return self._rows > needed + needed // 2 + SPARE

    def retain(self, serials: NDArray[np.int64]) -> None:
        """Let go of all but these, which are here, in order and each once."""
        chunks, self._chunks, self._firsts, self._rows = self._chunks[::-1], [], [], 0
        wanted: list[Rows] = []
        while chunks:
            chunk = chunks.pop()  # so that it can go
            first, last = serials.searchsorted((chunk.serial[0], chunk.serial[-1] + 1))
            wanted.append(_take(chunk, chunk.serial.searchsorted(serials[first:last])))
            if sum(map(len, wanted)) >= CHUNK:
                self.put(_joined(wanted))
                wanted = []
        if wanted:
            self.put(_joined(wanted))


def _take(rows: Rows, index: NDArray[np.intp]) -> Rows:
    return Rows(rows.serial[index], rows.time[index], rows.row[index], rows.tables, rows.table[index])


def _joined(parts: list[Rows]) -> Rows:
    tables = tuple({id(table): table for part in parts if len(part) for table in part.tables}.values())
    place = {id(table): number for number, table in enumerate(tables)}
    renumbered = [
        np.array([place.get(id(table), 0) for table in part.tables], np.intp)[part.table] for part in parts
    ]
    return Rows(
        np.concatenate([part.serial for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.row for part in parts]),
        tables,
        np.concatenate(renumbered),
    )
