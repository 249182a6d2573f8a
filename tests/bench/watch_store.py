"""What the store costs: bytes of an event, events a second, and how long a session takes to be found.

Ingest is the journal and sealing: what has to keep up with the stream. Merging is done after it, when there
is time, here by a child that does nothing else, so that its memory is known; size and sessions are measured
when all is merged. A session is asked of a store that is open, as a service or a long hunt has it; sessions
are drawn evenly.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.store.history import History
from detect.store.settings import StoreSettings
from detect.store.store import Store
from tests.bench.results import Row
from tests.bench.stream import stream

LOOKUPS: Final = 1000
_RATE: Final = "events/s of one core"
BARS: Final = {
    "watch/store-ingest": 1e6,
    "watch/store-bytes-per-event": 9.0,
    "watch/session-p50-ms": 10.0,
    "watch/session-p99-ms": 60.0,
}


def rows(events: int) -> list[Row]:
    """The four rows of BARS, and how fast history is merged and replayed."""
    with tempfile.TemporaryDirectory(prefix="menshen-bench-") as name:
        folder = Path(name) / "events"
        counts, ingest = _fill(folder, events)
        merging = _child(folder)
        history = History(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        segments = len(history.snapshot.listing.segments)
        first = _lookups(history, counts)
        spent, waited = _lookups(history, counts)
        began = time.process_time()
        replayed = sum(len(batch) for _, batch in history.replay())
        replay = time.process_time() - began
    if replayed != events or history.skipped:
        raise RuntimeError(f"{replayed} events came back of {events}: {history.skipped}")
    print(f"  {segments} segments, {len(counts)} sessions of up to {max(counts.values())} events", flush=True)
    found: dict[str, tuple[float, str, dict[str, float]]] = {
        "watch/store-ingest": (events / ingest, _RATE, {}),
        "watch/store-bytes-per-event": (size / events, "bytes", {}),
    }
    for part in (50, 99):
        peers = {
            "first asked": float(np.percentile(first[0], part)),
            "by the wall": float(np.percentile(waited, part)),
        }
        value = float(np.percentile(spent, part))
        found[f"watch/session-p{part}-ms"] = (value, "ms of processor time", peers)
    return [
        *(Row(name, value, unit, BARS[name], peers) for name, (value, unit, peers) in found.items()),
        Row("watch/store-merge", events / merging["seconds"], _RATE),
        Row("watch/store-merge-mb", merging["peak"] - merging["before"], "MB that merging adds at most"),
        Row("watch/store-replay", replayed / replay, _RATE),
    ]


def _batches(events: int) -> Iterator[Batch]:
    decoder, enricher = Decoder(), Enricher()
    for raw in stream(events):
        yield enricher.enrich(decoder.decode(raw))


def _fill(folder: Path, events: int) -> tuple[dict[int, int], float]:
    """Events by session, and the seconds of processor time of storing them."""
    counts: dict[int, int] = {}
    spent = 0.0
    store = _open(folder)
    for batch in _batches(events):
        sessions, number = np.unique(batch["session"], return_counts=True)
        for session, count in zip(sessions.tolist(), number.tolist(), strict=True):
            counts[session] = counts.get(session, 0) + count
        began = time.process_time()
        store.append(batch)
        spent += time.process_time() - began
    began = time.process_time()
    store.close()
    return counts, spent + time.process_time() - began


def _open(folder: Path) -> Store:
    return Store(StoreSettings(folder=folder, min_free=0, seal_seconds=1e9), background=False)


def _child(folder: Path) -> dict[str, float]:
    """Have another process merge."""
    command = [sys.executable, "-m", "tests.bench.watch_store", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def _merge(folder: Path) -> dict[str, float]:
    """Seconds of processor time of merging; MB that are resident before it, and at most."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    store = _open(folder)
    before, began = _resident("VmRSS"), time.process_time()
    store.keep()
    seconds = time.process_time() - began
    store.close()
    return {"seconds": seconds, "before": before, "peak": _resident("VmHWM")}


def _resident(which: str) -> float:
    with open("/proc/self/status") as status:  # noqa: PTH123
        (line,) = (line for line in status if line.startswith(which))
    return int(line.split()[1]) / 1024


def _lookups(history: History, counts: dict[int, int]) -> tuple[list[float], list[float]]:
    """Milliseconds of processor time, and by the wall, for random sessions."""
    random = np.random.default_rng(1)
    spent, waited = [], []
    for session in random.choice(np.array(list(counts)), LOOKUPS).tolist():
        began, wall = time.process_time(), time.perf_counter()
        found = history.session(session)
        spent.append(1e3 * (time.process_time() - began))
        waited.append(1e3 * (time.perf_counter() - wall))
        if sum(len(part) for _, part in found) != counts[session]:
            raise RuntimeError(f"session {session:x} has not all of its events")
    return spent, waited


if __name__ == "__main__":
    print(json.dumps(_merge(Path(sys.argv[1]))))
