"""What the store costs: bytes of an event, events a second, and how long a session takes to be found.

Ingest is the journal and sealing: what has to keep up with the stream. Merging is done after it, when there
is time, and has a row of its own; size and sessions are measured when all is merged. A session is asked of
a store that is open, as a service or a long hunt has it; sessions are drawn evenly.
"""

from __future__ import annotations

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
        counts, ingest, merging = _fill(folder, events)
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
        Row("watch/store-merge", events / merging, _RATE),
        Row("watch/store-replay", replayed / replay, _RATE),
    ]


def _batches(events: int) -> Iterator[Batch]:
    decoder, enricher = Decoder(), Enricher()
    for raw in stream(events):
        yield enricher.enrich(decoder.decode(raw))


def _fill(folder: Path, events: int) -> tuple[dict[int, int], float, float]:
    """Events by session, and the seconds of processor time of storing them and of merging."""
    counts: dict[int, int] = {}
    spent = 0.0
    store = Store(StoreSettings(folder=folder, min_free=0, seal_seconds=1e9), background=False)
    for batch in _batches(events):
        sessions, number = np.unique(batch["session"], return_counts=True)
        for session, count in zip(sessions.tolist(), number.tolist(), strict=True):
            counts[session] = counts.get(session, 0) + count
        began = time.process_time()
        store.append(batch)
        spent += time.process_time() - began
    began = time.process_time()
    store.close()
    stored = time.process_time()
    store.keep()
    store.close()
    return counts, spent + stored - began, time.process_time() - stored


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
