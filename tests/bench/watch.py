"""`python -m tests.bench.watch`: the benches of the watch, natively. `make bench-watch` calls it.

Each module of BENCHES has `rows(events)`, which measures and gives rows. More than one process may use this
machine, so what is compared with a bar is processor time of the one thread that does the work.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Final

from tests.bench.results import Row, keep

EVENTS: Final = 5_000_000
"""Events of the stream; EVENTS=... changes it. Bars are for this many."""
BENCHES: Final = (
    "tests.bench.watch_pipeline",
    "tests.bench.watch_sequences",
    "tests.bench.watch_store",
    "tests.bench.watch_memory",
    "tests.bench.gate_memory",
)
AT_LEAST: Final = ("events/s",)
"""Units of which more is better; of all others less is."""


def met(row: Row) -> bool:
    """Whether the bar is met; so is one that does not exist."""
    if row.bar is None:
        return True
    return row.value >= row.bar if row.unit.startswith(AT_LEAST) else row.value <= row.bar


def show(row: Row) -> None:
    """One line, and one for each peer."""
    bar = "" if row.bar is None else f", bar {row.bar:,.6g}: {'met' if met(row) else 'NOT MET'}"
    print(f"  {row.name:24} {row.value:>14,.6g} {row.unit}{bar}")
    for peer, value in row.peers.items():
        print(f"    {peer:22} {value:>14,.6g}")


def main() -> int:
    """0 only if every bar is met."""
    events = int(os.environ.get("EVENTS", EVENTS))
    chosen = sys.argv[1:] or BENCHES
    good = True
    for name in chosen:
        begin = time.monotonic()
        print(f"{name}: {events:,} events", flush=True)
        found = importlib.import_module(name).rows(events)
        for row in found:
            show(row)
            good &= met(row)
        keep(found)
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
