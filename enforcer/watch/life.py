"""The watch: its parts, joined; one thread that brings events from the kernel to whoever wants them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from bpf_lsm.observation import Raw, Tally, Type
from detect.alert import Alert
from detect.batch import Batch, Tagged
from detect.pipeline import Outcome, Pipeline
from enforcer.api import watch_pb2 as pb
from enforcer.api import watch_pb2_grpc as pb_grpc
from enforcer.escape import escape
from enforcer.names import Names
from enforcer.places import Places
from enforcer.serving.exporter import Exporter, Outputs
from enforcer.serving.feed import Feed, Numbers
from enforcer.serving.logfile import RotatingLog
from enforcer.serving.metrics import Exported
from enforcer.serving.peers import Gatekeeper
from enforcer.serving.server import Server
from enforcer.watch import messages
from enforcer.watch.gate import GateFollower
from enforcer.watch.metrics import Look, metrics
from enforcer.watch.observations import ObservationFeed
from enforcer.watch.report import status
from enforcer.watch.service import Service
from enforcer.watch.settings import WatchSettings

if TYPE_CHECKING:
    from bpf_lsm.fill import Fill
    from bpf_lsm.watch import Counters
    from detect.store.ledger import Counters as StoreCounters

log = logging.getLogger("menshen.watch")

STUCK: Final = 30.0
"""Seconds without a sign of life after which the service manager is no longer told that we are well."""
LAST_ROUNDS: Final = 100
RATE: Final = 2.0
"""Seconds over which events per second are taken."""


class Source(Protocol):
    """Where events come from: bpf_lsm.watch, or a test."""

    @property
    def mode(self) -> str:
        """In words: full, or tracepoints only."""

    @property
    def missing(self) -> Sequence[str]:
        """What this kernel does not let us see, in words."""

    @property
    def breaker_open(self) -> bool:
        """Whether everything is counted only."""

    def read(self, timeout: float) -> Raw:
        """What there is; if nothing, what comes within `timeout` seconds."""

    def send_anew(self) -> None:
        """Every string is wanted again: some were forgotten."""

    def tallies(self) -> Mapping[Type, Mapping[Tally, int]]:
        """Exact counts, by type."""

    def gaps(self) -> tuple[Mapping[int, int], bool]:
        """Sessions with lost events -> how often; and whether there are more than can be told apart."""

    def counters(self) -> Counters:
        """Everything that the kernel's side counts."""

    def map_fill(self) -> Mapping[str, Fill]:
        """Entries of maps."""

    def ring_fill(self) -> Mapping[str, Fill]:
        """Bytes that wait in rings."""

    def close(self) -> None:
        """Detach everything."""


class Store(Protocol):
    """detect.store.Store, as far as it is needed here."""

    @property
    def events(self) -> int:
        """That are kept."""

    @property
    def bytes(self) -> int:
        """On disk."""

    @property
    def counters(self) -> StoreCounters:
        """What was done and lost."""

    @property
    def problems(self) -> Sequence[str]:
        """What an administrator should look at."""

    def append(self, batch: Batch, tagged: Tagged) -> None:
        """Keep events."""

    def close(self) -> None:
        """Seal what is open."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A rule or a sequence that is in force."""

    kind: str
    name: str
    title: str
    level: str
    place: str
    mode: str = "alert"
    tags: tuple[str, ...] = ()
    certificate: str = ""


class Watch:
    """One watch over one source."""

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        store: Store | None,
        places: Places,
        settings: WatchSettings,
        *,
        names: Names,
        detections: Sequence[Detection] = (),
        problems: Sequence[str] = (),
        identify: Callable[[int], int] = lambda _pid: 0,
        group: int | None = None,
    ) -> None:
        self.started = time.time()
        self.source = source
        self.pipeline = pipeline
        self.store = store
        self.detections = tuple(detections)
        self.problems = tuple(problems)
        """With rules and sequences."""
        self.matches: dict[str, int] = {}
        """Alerts, by name of the rule or sequence."""
        self.group = group
        self.failures = 0
        self.beat = time.monotonic()
        self.per_second = 0.0
        self.ended = threading.Event()
        self.store_limit = settings.store_bytes
        self._settings = settings
        self._names = names
        self._learned = 0
        self._rate = (time.monotonic(), 0)
        self._gaps: dict[int, int] = {}
        self._more_gaps = False
        for folder in (places.state, places.run, places.log):
            folder.mkdir(parents=True, exist_ok=True)
        places.run.chmod(0o755)  # the socket in it has its own mode
        self.observations = ObservationFeed(settings.keep_events)
        self.alerts: Feed[pb.Alert] = Feed(settings.keep_alerts)
        self.alerts_log = RotatingLog(
            places.alerts_log, limit=settings.log_bytes, keep=settings.log_files, group=group
        )
        self._numbers = Numbers(places.alert_counter)
        self.gate = GateFollower(places, names)
        self.exporter = Exporter(
            Exported(metrics(), lambda: Look(self)),
            Outputs(settings.metrics, settings.metrics_file, places.watch_metrics_socket, group),
        )
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)
        self._server = Server(
            places.watch_socket, places.watch_inner_socket, self._register, identify=identify, group=group
        )

    def _register(self, server: Any, gatekeeper: Gatekeeper) -> None:
        add: Any = pb_grpc.add_WatchServicer_to_server  # generated, without types
        add(Service(self, gatekeeper, status), server)

    def start(self) -> None:
        """Bring everything up."""
        self.gate.start()
        self._thread.start()
        self._server.start()
        self.exporter.start()

    def stop(self) -> None:
        """End in the order in which nothing is lost: the source, the pipeline, the store."""
        self.ended.set()
        self.exporter.stop()
        self.gate.stop()
        self._thread.join(STUCK)
        self.source.close()
        if self.store is not None:
            self.store.close()
        self.observations.close()
        self.alerts.close()
        self._server.stop()
        self.alerts_log.close()

    def well(self) -> bool:
        """Whether the pipeline goes round; the service manager restarts a watch that is not well."""
        return time.monotonic() - self.beat < STUCK

    # The pipeline's thread

    def _run(self) -> None:
        while not self.ended.is_set():
            try:
                self.turn(self._settings.poll)
            except Exception:  # one batch that cannot be judged must not blind the host
                self.failures += 1
                log.exception("a batch of events was given up")
                self.ended.wait(0.1)
        for _ in range(LAST_ROUNDS):  # what came before the end, but not for ever
            if not self.turn(0):
                break

    def turn(self, timeout: float) -> int:
        """One round: what the kernel has, and what the gate denied; how many records the kernel had."""
        self.beat = time.monotonic()
        if self._learned != self.gate.connected:
            self._learned = self.gate.connected
            self.pipeline.enricher.identities_changed()
        raw = self.source.read(timeout)
        boot = messages.boot_time()
        if len(raw.records) or raw.strings:
            unknown = self.pipeline.decoder.unknown
            self._pass_on(self.pipeline.process(raw), boot)
            if self.pipeline.decoder.unknown > unknown:
                self.source.send_anew()
        elif paused := self.pipeline.pause():
            self._tell(paused, boot)
        if (denied := self.gate.take(self.pipeline.decoder.symbols, boot)) is not None:
            self.pipeline.sequences.blocks(dict(self.gate.sequences))
            self._pass_on(self.pipeline.judge(denied), boot)
        self._measure()
        return len(raw.records)

    def _pass_on(self, outcome: Outcome, boot: float) -> None:
        if outcome.alerts:
            self._tell(outcome.alerts, boot)
        self.observations.publish(outcome.batch, outcome.tagged, self.pipeline.rules.tags, boot)
        if self.store is not None:
            self.store.append(outcome.batch, outcome.tagged)

    def _tell(self, found: list[Alert], boot: float) -> None:
        told = [
            messages.alert(number, each, boot)
            for number, each in zip(self._numbers.take(len(found)), found, strict=True)
        ]
        for each in found:
            self.matches[each.name] = self.matches.get(each.name, 0) + 1
            log.warning("alert %s: %s, session %x", each.level.name.lower(), escape(each.title), each.session)
        self.alerts.publish(told)
        self.alerts_log.write(map(messages.as_line, told))

    def _measure(self) -> None:
        then, seen = self._rate
        now = time.monotonic()
        if now - then >= RATE:
            self.per_second = (self.observations.seen - seen) / (now - then)
            self._rate = (now, self.observations.seen)
            self._note_gaps()

    def _note_gaps(self) -> None:
        """Sessions of which more was lost: their sequences are incomplete, and the gate denies none."""
        gaps, more = self.source.gaps()
        new = {session for session, count in gaps.items() if count != self._gaps.get(session)}
        if new or more != self._more_gaps:
            for session in new:
                self.pipeline.sequences.gap(session)
            if self.gate.tell_gaps(new, all_of_them=more):
                self._gaps, self._more_gaps = dict(gaps), more
