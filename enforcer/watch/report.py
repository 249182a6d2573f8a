"""How the watch stands, for `menshen watch status`, the terminal application and the metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bpf_lsm.observation import Tally
from enforcer import __version__
from enforcer.api import watch_pb2 as pb
from enforcer.serving.process import resident_bytes

if TYPE_CHECKING:
    from enforcer.watch.life import Watch


def status(watch: Watch) -> pb.WatchStatusReply:
    """Everything that is counted and known."""
    host = os.uname()
    store = watch.store
    return pb.WatchStatusReply(
        version=__version__,
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
        health=list(health(watch)),
        breaker_open=watch.source.breaker_open,
        metrics=watch.exporter.where,
    )


def _types(watch: Watch) -> Iterator[pb.TypeTally]:
    for kind, counts in sorted(watch.source.tallies().items()):
        if counts[Tally.GENERATED]:
            numbers = {each.name.lower(): counts[each] for each in Tally}
            yield pb.TypeTally(type=kind.word, **numbers)


def health(watch: Watch) -> Iterator[pb.WatchHealth]:
    """What an administrator should look at, line by line."""

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
    if watch.exporter.fault:
        yield line("metrics", False, watch.exporter.fault)
    for problem in watch.problems:
        yield line("detections", False, problem)
    for problem in watch.store.problems if watch.store is not None else ():
        yield line("store", False, problem)
