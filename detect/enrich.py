"""What a record does not say: the process and its parent, the container, the name of the identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.batch import ENRICHED, Batch
from detect.lineage import Lineage
from detect.processes import Ask, Processes
from detect.symbols import Symbols
from detect.table import ABSENT, Recent

NAMES: Final = 1 << 14
"""Control groups and identities that are remembered, each; twice as many at most."""

Numbers = NDArray[Any]
Name = Callable[[int], bytes | None]
"""Of a control group's id or a subject's number, the name; None: not known yet, ask again."""


def no_name(_number: int) -> bytes | None:
    """For streams whose host cannot be asked."""
    return b""


def nothing_known(_pid: int) -> None:
    """For streams whose host cannot be asked."""
    return


class Enricher:
    """Adds the columns of ENRICHED. It keeps the state of one host, and wants its batches in order.

    `container` names a control group's container, `identity` a subject, `ask` tells what processes run that
    were there before the watch. Each is asked once for what it knows.
    """

    def __init__(
        self,
        *,
        container: Name = no_name,
        identity: Name = no_name,
        ask: Ask = nothing_known,
        processes: Processes | None = None,
    ) -> None:
        self.lineage = Lineage(Processes() if processes is None else processes, ask)
        self._names = {"container": (container, Recent(NAMES)), "identity": (identity, Recent(NAMES))}
        self._symbols: Symbols | None = None

    def identities_changed(self) -> None:
        """Subjects are named anew: another policy image is in force."""
        self._names["identity"][1].clear()

    def enrich(self, batch: Batch) -> Batch:
        """The same events with ENRICHED."""
        if batch.symbols is not self._symbols:
            self._move(batch.symbols)
        out = {name: np.zeros(len(batch), code) for name, code in ENRICHED.items()}
        out["container"] = self._named("container", batch["cgroup"])
        out["identity"] = self._named("identity", batch["subject"])
        first = 0
        while first < len(batch):
            first = self.lineage.follow(batch, out, first)
        return batch.with_columns(**out)

    def _move(self, symbols: Symbols) -> None:
        if self._symbols is not None:
            for column in self.lineage.processes.symbols():
                distinct, back = np.unique(column, return_inverse=True)
                column[:] = np.array(symbols.adopt(self._symbols, distinct.tolist()), np.uint32)[back]
        for _, table in self._names.values():
            table.clear()
        self._symbols = symbols

    def _named(self, what: str, numbers: Numbers) -> NDArray[np.uint32]:
        """Symbols of the names of a column of numbers."""
        assert self._symbols is not None
        name, table = self._names[what]
        symbols = table.get(numbers)
        absent = np.nonzero(symbols == ABSENT)[0]
        if len(absent):
            distinct, back = np.unique(numbers[absent], return_inverse=True)
            names = [name(number) for number in distinct.tolist()]
            found = np.array([self._symbols.intern(one or b"") for one in names], np.uint32)
            final = np.array([one is not None for one in names])
            table.put(distinct[final], found[final])
            symbols[absent] = found[back]
        return symbols
