"""A watch over a stream that is made, with one rule and no sequences; its API is the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpf_lsm.collection import Meter
from bpf_lsm.fill import Fill
from bpf_lsm.observation import OBSERVATION, Raw, Tally, Type
from bpf_lsm.watch import Counters
from detect.alert import Alert, Evidence, Level
from detect.batch import Batch, Tagged
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.pipeline import Pipeline
from enforcer import client
from enforcer.api import watch_pb2 as pb
from enforcer.names import Names
from enforcer.places import Places
from enforcer.watch.life import Detection, Watch
from enforcer.watch.settings import WatchSettings
from tests.bench.stream import stream

NOTHING = Raw(np.empty(0, OBSERVATION), ())


class FakeSource:
    """Gives batches that a test puts in."""

    mode = "tracepoints only"
    missing = ("file-open: a test",)
    breaker_open = False

    def __init__(self) -> None:
        self.waiting: list[Raw] = []
        self.counts: dict[Type, dict[Tally, int]] = {}
        self.meters = dict.fromkeys(Meter, 0)
        self.lost_of: dict[int, int] = {}
        self.closed = False
        self.anew = 0
        self.fail = False
        self._lock = threading.Lock()

    def put(self, batches: Sequence[Raw]) -> None:
        with self._lock:
            self.waiting.extend(batches)
            for raw in batches:
                for kind in raw.records["type"].tolist():
                    counts = self.counts.setdefault(Type(kind), dict.fromkeys(Tally, 0))
                    counts[Tally.GENERATED] += 1
                    counts[Tally.DELIVERED] += 1

    def read(self, timeout: float) -> Raw:
        if self.fail:
            self.fail = False
            raise RuntimeError("a test")
        with self._lock:
            if self.waiting:
                return self.waiting.pop(0)
        time.sleep(min(timeout, 0.01))
        return NOTHING

    def send_anew(self) -> None:
        self.anew += 1

    def tallies(self) -> Mapping[Type, Mapping[Tally, int]]:
        return self.counts

    def counters(self) -> Counters:
        return Counters(self.counts, self.meters, {"on_exec": 0}, 0)

    def map_fill(self) -> dict[str, Fill]:
        return {"reads": Fill(7, 4096)}

    def ring_fill(self) -> dict[str, Fill]:
        return {"observations": Fill(0, 8 << 20), "strings": Fill(24, 4 << 20)}

    def gaps(self) -> tuple[Mapping[int, int], bool]:
        return self.lost_of, False

    def close(self) -> None:
        self.closed = True


class ExecRule:
    """Tags every exec, and alerts on the first of each batch."""

    tags: tuple[str, ...] = ("any-exec", "attack.t1059")

    def match(self, batch: Batch) -> Tagged:
        found = np.nonzero(batch["type"] == Type.EXEC)[0].astype(np.uint32)
        return Tagged(np.repeat(found, 2), np.tile(np.array([0, 1], np.uint32), len(found)))

    def alerts(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        if not len(tagged.event):
            return []
        row = batch.row(int(tagged.event[0]))
        evidence = (Evidence("a program started", row),)
        place = "rules/any-exec.yml:1"
        return [
            Alert(row["time"], "rule", "any-exec", "A program", Level.LOW, row["session"], place, evidence)
        ]


class NoSequences:
    """None."""

    live_keys = 0

    def feed(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        return []

    def __init__(self) -> None:
        self.gaps: list[int] = []

    def gap(self, session: int) -> None:
        self.gaps.append(session)

    def blocks(self, rules: Mapping[int, str]) -> None:
        pass

    def drain(self) -> list[Alert]:
        return []


class Host:
    """A running watch, and a way to ask it."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder)
        self.source = FakeSource()
        pipeline = Pipeline(Decoder(), Enricher(), ExecRule(), NoSequences())
        self.watch = Watch(
            self.source,
            pipeline,
            None,
            self.places,
            WatchSettings(keep_events=1000, store=False),
            names=Names(),
            detections=[Detection("rule", "any-exec", "A program", "low", "rules/any-exec.yml:1")],
        )
        self.watch.start()

    def feed(self, events: int, seed: int = 1) -> None:
        """So many events of the stream, and wait until they went through."""
        due = self.watch.observations.seen + events
        self.source.put(list(stream(events, seed, batch=256)))
        until(lambda: self.watch.observations.seen >= due)

    def ask(self, method: str, request: Any) -> Any:
        with client.watch(self.places.watch_socket) as stub:
            return getattr(stub, method)(request, timeout=10)

    def status(self) -> pb.WatchStatusReply:
        reply: pb.WatchStatusReply = self.ask("Status", pb.WatchStatusRequest())
        return reply


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.watch.stop()
