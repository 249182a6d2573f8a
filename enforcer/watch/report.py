"""How the watch stands, for `menshen watch status`, the terminal application and the metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bpf_lsm.observation import Tally
from enforcer import version
from enforcer.api import watch_pb2 as pb

if TYPE_CHECKING:
    from enforcer.watch.life import Watch


def status(watch: Watch) -> pb.WatchStatusReply:
    """Everything that is counted and known."""
    host = os.uname()
    store = watch.store
    return pb.WatchStatusReply(
        version=version(),
        kernel=host.release,
        host=host.nodename,
        sources=watch.source.mode,
        missing=watch.source.missing,
        started=watch.started,
        types=list(_types(watch)),
        events_per_second=watch.per_second,
        events=watch.observations.seen,
        alerts=watch.alerts.seen,
        rules=sum(each.kind == "rule" for each in watch.detections),
        sequences=sum(each.kind == "sequence" for each in watch.detections),
        processes=len(watch.pipeline.enricher.lineage.processes),
        stored_events=store.events if store is not None else 0,
        stored_bytes=store.bytes if store is not None else 0,
        resident_bytes=resident_bytes(),
        cpu_seconds=time.process_time(),
        health=list(_health(watch)),
        breaker_open=watch.source.breaker_open,
    )


def _types(watch: Watch) -> Iterator[pb.TypeTally]:
    for kind, counts in sorted(watch.source.tallies().items()):
        if counts[Tally.GENERATED]:
            numbers = {each.name.lower(): counts[each] for each in Tally}
            yield pb.TypeTally(type=kind.word, **numbers)


def _health(watch: Watch) -> Iterator[pb.WatchHealth]:
    def line(name: str, ok: bool, text: str) -> pb.WatchHealth:
        return pb.WatchHealth(name=name, ok=ok, text=text)

    decoder = watch.pipeline.decoder
    yield line("pipeline", watch.well() and not watch.failures, f"{watch.failures} batches were given up")
    yield line(
        "strings", not (decoder.lost or decoder.unknown), f"{decoder.lost} lost, {decoder.unknown} unknown"
    )
    trouble = watch.gate.trouble
    yield line("gate", not trouble, trouble or f"denials are followed; {watch.gate.dropped} were missed")
    yield line("log", not watch.alerts_log.lost, f"{watch.alerts_log.lost} lines could not be written")
    for problem in watch.problems:
        yield line("detections", False, problem)
    for problem in watch.store.problems if watch.store is not None else ():
        yield line("store", False, problem)


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Memory that this process holds now."""
    for line in status.read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
