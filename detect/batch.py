"""What flows through the watch: many events as columns, and which of them carry which tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import OBSERVATION, STRING_FIELDS
from detect.symbols import Symbols

Column = NDArray[Any]

ENRICHED: Final = {
    "process": "<u8",  # number of the process: unlike a pid it is never used again while the host is up
    "parent": "<u8",  # the same of its parent, 0 where it is not known
    "parent_exe": "<u4",  # symbols
    "parent_args": "<u4",
    "identity": "<u4",  # name of the subject, for example payments/api
    "container": "<u4",
}
"""Columns that enrichment adds. The parent is the one that was known at the time."""

SYMBOLS: Final = (*STRING_FIELDS, *(name for name, code in ENRICHED.items() if code == "<u4"))
"""The columns whose values are symbols."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in the order of their ring, as columns of equal length: the fields of OBSERVATION, with symbols
    in the place of the kernel's string numbers, and those of ENRICHED once they are enriched.
    """

    columns: Mapping[str, Column]
    symbols: Symbols

    def __len__(self) -> int:
        return len(self.columns["time"])

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def with_columns(self, **more: Column) -> Batch:
        """The same events with further columns."""
        return Batch({**self.columns, **more}, self.symbols)

    def take(self, index: Column | slice) -> Batch:
        """The events at these places, or where a mask is true; those of a slice as views."""
        return Batch({name: column[index] for name, column in self.columns.items()}, self.symbols)

    def row(self, at: int) -> dict[str, Any]:
        """One event for an alert or a person: symbols as text, the address as bytes, numbers as int."""
        found: dict[str, Any] = {}
        for name, column in self.columns.items():
            value = column[at]
            if name in SYMBOLS:
                found[name] = self.symbols.text(int(value))
            elif name == "address":
                found[name] = value.tobytes()
            else:
                found[name] = int(value)
        return found


@dataclass(frozen=True, slots=True)
class Tagged:
    """Which events of a batch carry which tags: two columns of equal length, sorted by event, then by tag."""

    event: NDArray[np.uint32]
    tag: NDArray[np.uint32]


def empty_batch(symbols: Symbols) -> Batch:
    """No events."""
    records = np.empty(0, OBSERVATION)
    columns: dict[str, Column] = {name: records[name] for name in OBSERVATION.names or ()}
    columns |= {name: np.empty(0, code) for name, code in ENRICHED.items()}
    return Batch(columns, symbols)
