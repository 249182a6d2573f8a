"""The kernel as a source of events: loads the watch's programs, with the gate's labels if there is one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

from bpf_lsm import pins, watch
from bpf_lsm.collection import Meter
from bpf_lsm.errors import GateError
from bpf_lsm.fill import Fill
from bpf_lsm.gate import PIN_DIR
from bpf_lsm.observation import Raw, Tally, Type
from bpf_lsm.watch import Breaker, Counters, Limit
from enforcer.watch.settings import WatchSettings

log = logging.getLogger("menshen.watch")

WORDS: Final = {"functions": "full", "tracepoints": "tracepoints only"}
VITAL: Final = frozenset(
    {Type.EXEC, Type.FORK, Type.EXIT, Type.CREDENTIALS, Type.LOGIN, Type.MODULE, Type.BPF}
)
"""What passes while the circuit breaker is open: without it nothing else could be understood afterwards."""
BURST: Final = 2
"""Seconds' worth of events of a type that may come at once."""

ANEW: Final = 5.0
"""Seconds between two times that all strings are sent again."""


class KernelSource:
    """`life.Source` over bpf_lsm.watch."""

    def __init__(self, settings: WatchSettings, reads: Sequence[bytes]) -> None:
        """`reads`: the files whose reading is an event."""
        self._anew, self._sent = False, 0.0
        labels = _gate_labels()
        try:
            self._watch = watch.Watch.load(labels=labels)
        finally:
            if labels is not None:
                os.close(labels)
        limit = Limit(settings.rate, settings.rate * BURST)
        limits = {kind: limit for kind in Type if kind not in VITAL}
        self._watch.set_limits(limits, breaker=Breaker(settings.breaker, vital=VITAL))
        self._watch.watch_reads(reads)
        self._without_gate = labels is None
        self._watch.start()

    @property
    def mode(self) -> str:
        """Which programs run, in words."""
        return WORDS.get(self._watch.source.name, self._watch.source.name)

    @property
    def missing(self) -> Sequence[str]:
        """What is not seen."""
        without = ("identities: the gate's labels cannot be read",) if self._without_gate else ()
        return (*self._watch.source.missing, *without)

    @property
    def breaker_open(self) -> bool:
        """Whether all but the vital types are counted only."""
        return self._watch.breaker_open

    def read(self, timeout: float) -> Raw:
        """What there is, or comes within `timeout` seconds."""
        if self._anew and time.monotonic() - self._sent >= ANEW:
            self._anew, self._sent = False, time.monotonic()
            return self._watch.renumber()
        return self._watch.read(timeout)

    def send_anew(self) -> None:
        """With the next reading, but not more often than every few seconds."""
        self._anew = True

    def tallies(self) -> Mapping[Type, Mapping[Tally, int]]:
        """Exact counts."""
        return self._watch.counters().tallies

    def gaps(self) -> tuple[Mapping[int, int], bool]:
        """Sessions with lost events -> how often; and whether there are more than can be told apart."""
        meters = self._watch.counters().meters
        return self._watch.gaps(), bool(meters[Meter.MARKS_FULL])

    def counters(self) -> Counters:
        """Everything that the kernel's side counts."""
        return self._watch.counters()

    def map_fill(self) -> Mapping[str, Fill]:
        """Entries of maps."""
        return self._watch.map_fill()

    def ring_fill(self) -> Mapping[str, Fill]:
        """Bytes that wait in rings."""
        return self._watch.ring_fill()

    def close(self) -> None:
        """Detach everything."""
        self._watch.close()


def _gate_labels() -> int | None:
    """A descriptor of the running gate's labels; None without a gate, or where its guard does not let us."""
    try:
        return pins.take_map(PIN_DIR, "labels")
    except GateError as error:
        log.info("no identities: %s", error)
        return None
