"""The watch's metrics. Of each type of event, generated = delivered + allowed + limited + lost, exactly."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from bpf_lsm.collection import Meter
from bpf_lsm.observation import Tally
from enforcer import __version__
from enforcer.serving.metrics import Metric, Names, Value
from enforcer.watch.report import health

if TYPE_CHECKING:
    from bpf_lsm.fill import Fill
    from bpf_lsm.watch import Counters
    from enforcer.watch.life import Watch

_OWN_METRIC: Final = frozenset({Meter.GAPS, Meter.STRINGS_LOST, Meter.OPENED})
"""Meters that have a metric of their own; GAPS is the sum of what was lost and limited."""
_NO_EVENTS: Final = frozenset({"merges", "torn_bytes", "appended"})
"""Counters of the store that do not say what became of events."""


class Look:
    """One look at a watch: everything in it is asked for once, and only if it is needed."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    @cached_property
    def counters(self) -> Counters:
        """Of the kernel's side."""
        return self.watch.source.counters()

    @cached_property
    def maps(self) -> Mapping[str, Fill]:
        """Of the kernel's side."""
        return self.watch.source.map_fill()

    @cached_property
    def rings(self) -> Mapping[str, Fill]:
        """Of the kernel's side."""
        return self.watch.source.ring_fill()

    @property
    def decoder(self) -> Any:
        """detect.decode.Decoder."""
        return self.watch.pipeline.decoder


def _events(look: Look) -> Value:
    return {
        (kind.word, tally.name.lower()): row[tally]
        for kind, row in sorted(look.counters.tallies.items())
        for tally in Tally
        if tally is not Tally.GENERATED and row[Tally.GENERATED]
    }


def _lost(look: Look) -> Value:
    lost = look.counters.total(Tally.LOST)
    return {("observations",): lost, ("strings",): look.counters.meters[Meter.STRINGS_LOST]}


def _healthy(look: Look) -> Value:
    found: dict[tuple[str, ...], float] = {}
    for line in health(look.watch):
        found[(line.name,)] = min(line.ok, found.get((line.name,), 1))
    return found


def _alerts(look: Look) -> Value:
    return {
        (each.kind, each.name, each.level): look.watch.matches.get(each.name, 0)
        for each in look.watch.detections
    }


def _stored(look: Look) -> Value:
    store = look.watch.store
    if store is None:
        return None
    return {(name,): n for name, n in store.counters.as_dict().items() if name not in _NO_EVENTS}


def metrics() -> tuple[Metric[Look], ...]:
    """All of them."""
    of: Names[Look] = Names("menshen_watch")
    return (
        *of.process(lambda look: look.watch.started),
        of.gauge(
            "build_info",
            "1",
            "What runs, on which kernel, with which set of programs.",
            lambda look: {(__version__, os.uname().release, look.watch.source.mode): 1},
            "version",
            "kernel",
            "sources",
        ),
        of.gauge("healthy", "0 or 1", "Lines of health that need attention are 0.", _healthy, "check"),
        of.gauge(
            "unseen_sources",
            "sources",
            "What this kernel does not let the watch see.",
            lambda look: len(look.watch.source.missing),
        ),
        of.counter(
            "events",
            "events",
            "Events by what became of them: `delivered`, `allowed` (by a list), `limited`, `lost`.",
            _events,
            "type",
            "outcome",
        ),
        of.counter("ring_lost_records", "records", "Records that a ring had no room for.", _lost, "ring"),
        *of.rings(lambda look: look.rings),
        of.counter(
            "ring_bad_records", "records", "Records that were none.", lambda look: look.counters.malformed
        ),
        of.gauge(
            "breaker_open",
            "0 or 1",
            "The circuit breaker is open: all but the vital types are counted only.",
            lambda look: look.watch.source.breaker_open,
        ),
        of.counter("breaker_opened", "times", "It opened.", lambda look: look.counters.meters[Meter.OPENED]),
        of.counter(
            "collection",
            "times",
            "The kernel side's other counts, by what happened (`bpf_lsm/collection.py`).",
            lambda look: {
                (meter.name.lower(),): n
                for meter, n in look.counters.meters.items()
                if meter not in _OWN_METRIC
            },
            "happened",
        ),
        of.counter(
            "missed_calls",
            "calls",
            "Calls at which the kernel passed a program over.",
            lambda look: {(name,): n for name, n in look.counters.missed.items()},
            "program",
        ),
        of.gauge(
            "map_entries",
            "entries",
            "Entries of a map.",
            lambda look: {(name,): fill.used for name, fill in look.maps.items()},
            "map",
        ),
        of.gauge(
            "map_max_entries",
            "entries",
            "Entries that it has room for.",
            lambda look: {(name,): fill.size for name, fill in look.maps.items()},
            "map",
        ),
        of.counter(
            "doubtful_strings",
            "fields",
            "Fields whose string was `lost`, `unknown` or `cut`.",
            lambda look: {(name,): getattr(look.decoder, name) for name in ("lost", "unknown", "cut")},
            "how",
        ),
        of.gauge(
            "processes",
            "processes",
            "Processes that are remembered.",
            lambda look: len(look.watch.pipeline.enricher.lineage.processes),
        ),
        of.counter(
            "forgotten_processes",
            "processes",
            "Processes that were forgotten for want of room.",
            lambda look: look.watch.pipeline.enricher.lineage.processes.forgotten,
        ),
        of.gauge(
            "detections",
            "detections",
            "Rules and sequences in force.",
            lambda look: Counter((each.kind,) for each in look.watch.detections),
            "kind",
        ),
        of.counter("alerts", "alerts", "Alerts of each rule and sequence.", _alerts, "kind", "name", "level"),
        of.gauge(
            "sequence_live_keys",
            "keys",
            "Sequences times sessions, trees or files in which one has begun.",
            lambda look: look.watch.pipeline.sequences.live_keys,
        ),
        of.gauge(
            "store_events",
            "events",
            "Events that are kept.",
            lambda look: look.watch.store.events if look.watch.store is not None else None,
        ),
        of.gauge(
            "store_bytes",
            "bytes",
            "Size of the store on disk.",
            lambda look: look.watch.store.bytes if look.watch.store is not None else None,
        ),
        of.gauge(
            "store_max_bytes",
            "bytes",
            "Size at which the oldest events go.",
            lambda look: look.watch.store_limit if look.watch.store is not None else None,
        ),
        of.counter(
            "stored_events",
            "events",
            "Events by what the store did with them (`detect/store/ledger.py`).",
            _stored,
            "what",
        ),
        of.counter(
            "failed_batches",
            "batches",
            "Batches of events that were given up.",
            lambda look: look.watch.failures,
        ),
        of.gauge(
            "pipeline_idle_seconds",
            "seconds",
            "Since the pipeline last came round.",
            lambda look: time.monotonic() - look.watch.beat,
        ),
        of.gauge(
            "gate_connected",
            "0 or 1",
            "The agent's denials are followed.",
            lambda look: not look.watch.gate.trouble,
        ),
        of.counter(
            "gate_missed_denials",
            "denials",
            "Denials of the gate that did not arrive.",
            lambda look: look.watch.gate.dropped,
        ),
        of.counter(
            "log_lost_lines",
            "lines",
            "Lines of alerts.jsonl that could not be written.",
            lambda look: look.watch.alerts_log.lost,
        ),
    )
