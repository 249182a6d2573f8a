"""The agent: its parts, joined; its start and its end. What is pinned in the kernel outlives it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bpf_lsm.errors import GateError
from enforcer import certificates
from enforcer.agent import aliases
from enforcer.agent.authority import Authority
from enforcer.agent.calls import Calls
from enforcer.agent.compiling import Compiled, Compiler
from enforcer.agent.credentials import Credentials
from enforcer.agent.documents import DocumentStore
from enforcer.agent.gateway import GateLike
from enforcer.agent.held import Held
from enforcer.agent.metrics import Look, metrics
from enforcer.agent.policy import Policy
from enforcer.agent.report import Report
from enforcer.agent.resolve import Resolver
from enforcer.agent.rings import Journal, RingReader
from enforcer.agent.rules import RuleTables
from enforcer.agent.service import Service
from enforcer.agent.tallies import Tallies
from enforcer.agent.tasks import Executables
from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.boot import beginning
from enforcer.boot.beginning import Stage
from enforcer.errors import Problem
from enforcer.events import Event
from enforcer.names import AGENT, COMMAND, WATCH
from enforcer.places import Places
from enforcer.serving.exporter import Exporter, Outputs
from enforcer.serving.feed import Feed, Numbers
from enforcer.serving.logfile import RotatingLog
from enforcer.serving.metrics import Exported
from enforcer.serving.peers import Gatekeeper
from enforcer.serving.server import Server
from enforcer.settings import Settings
from identity.names import identity_id

if TYPE_CHECKING:
    from bpf_lsm.tables import Alias

log = logging.getLogger("menshen.agent")

RULES = 65_536
ROWS = 4_096
STUCK = 30.0
"""Seconds without a sign of life of a reader after which the watchdog is no longer fed."""
STEP = 5.0
"""Seconds by which the clock of the day must move against the one since boot to be taken for set."""


class Agent:
    """One agent over one gate."""

    def __init__(
        self,
        gate: GateLike,
        compiler: Compiler,
        places: Places,
        settings: Settings,
        *,
        credentials: Credentials,
        executables: Executables,
        group: int | None = None,
        self_fault: Callable[[], str] = lambda: "",
        armed: Callable[[], None] = lambda: None,
    ) -> None:
        """`self_fault`: why the agent's next start would not be known as the agent; empty if it will.

        `armed` is called when this process is the agent to the guard, and has one thread still.
        """
        self.gate = gate
        self.started = time.time()
        self._places = places
        self._settings = settings
        self._compiler = compiler
        self._self_fault = self_fault
        self._armed = armed
        self._search_due = 0.0
        self._passed_over = 0
        self._clock_offset = _clock_offset()
        self._ended = threading.Event()
        self._is_off = False
        for folder in (places.state, places.run, places.log, places.policies, places.trust):
            folder.mkdir(parents=True, exist_ok=True)
        # As the watch's unit has them: where process 1 has no identity the guard lets it change no mode.
        places.state.chmod(0o755)
        places.run.chmod(0o755)  # the socket in it has its own mode
        places.log.chmod(0o750)
        names, tables = credentials.names, RuleTables()
        self.feed: Feed[Event] = Feed(settings.keep_events)
        self.denials_log = RotatingLog(
            places.denials_log, limit=settings.log_bytes, keep=settings.log_files, group=group
        )
        self.journal = Journal(self.feed, Numbers(places.event_counter), self.denials_log)
        self.credentials = credentials
        self._executables = executables
        self.tallies = Tallies(gate, places.run / "tallies.json", RULES, ROWS)
        self.policy = Policy(
            gate,
            compiler,
            store=DocumentStore(places.policies, places.pending),
            last_good=places.last_good,
            names=names,
            tables=tables,
            aliases=self._aliases,
            known=self.credentials.known,
            begun=self.tallies.begin,
        )
        self.authority = Authority(group, names, self.identify, self.policy.confines)
        self.report = Report(self, places.beginning)
        self.calls = Calls(self, places, settings)
        resolver = Resolver(names, tables)
        self.held = Held(gate, resolver, self.journal)
        self.readers = [
            RingReader("denials", gate.denials, resolver, self.journal, keep=True, wait=settings.poll)
        ]
        if settings.events:
            self.readers.append(
                RingReader("events", gate.events, resolver, self.journal, keep=False, wait=settings.poll)
            )
        self._server = Server(
            places.socket, places.inner_socket, self._register, identify=self.identify, group=group
        )

        self.exporter = Exporter(
            Exported(metrics(), lambda: Look(self)),
            Outputs(settings.metrics, settings.metrics_file, places.metrics_socket, group),
        )

    def _register(self, server: Any, gatekeeper: Gatekeeper) -> None:
        add: Any = pb_grpc.add_AgentServicer_to_server  # generated, without types
        add(Service(self, gatekeeper), server)

    # Start and end

    def start(self, *, adopted: bool) -> None:
        """Bring everything up. `adopted`: the gate was running already, with its own image and labels.

        Then the kernel has its identities too, and searching for signed programs can wait until we answer.
        """
        if adopted and self.gate.image() is None:  # a former agent ended while it began
            adopted = False
            say(self.credentials.load())
        if adopted:
            self.tallies.adopt(self.gate.generation)
        else:
            self._fill()
        self.revoke()
        self.policy.boot()
        if self.policy.fault:
            self.journal.notice(f"the policies on disk are not in force: {self.policy.fault}")
        self._arm()
        self._armed()
        for reader in self.readers:
            reader.start()
        self._search_due = time.monotonic() + (0 if adopted else self._settings.rescan)
        self._server.start()
        self.exporter.start()
        self.held.count()
        self.journal.notice(
            f"the agent {'took over a running gate' if adopted else 'started'}, "
            f"generation {self.policy.generation} is in force"
        )

    def stop(self) -> None:
        """End this process's part; enforcement goes on unless it was turned off."""
        self._ended.set()
        self.feed.close()
        self.exporter.stop()
        self._server.stop()
        if not self._is_off:
            for reader in self.readers:
                reader.stop()
            self.gate.close()
        self.denials_log.close()

    @property
    def ended(self) -> threading.Event:
        """Set when the process should end."""
        return self._ended

    def turn_off(self) -> list[str]:
        """End enforcement, and then this process; what could not be taken away."""
        for reader in self.readers:
            reader.stop()
        left = []
        try:
            self.gate.off()
        except GateError as error:
            log.critical("not everything could be taken away: %s", error)
            left.append(str(error))
        self._is_off = True
        self._ended.set()
        return left

    @property
    def is_off(self) -> bool:
        """Whether enforcement was turned off."""
        return self._is_off

    def _fill(self) -> None:
        """Identities and labels for a gate that has none. What was hashed before it was loaded is known, so
        this takes a moment only: a program that starts in it finds no catalogue and is unidentified."""
        change = self.credentials.push(self.gate)
        found = self._executables.look(self.credentials.lookup)
        count = self.gate.adopt_tasks(found.by_file, {os.getpid(): identity_id(AGENT)})
        log.info("%d programs are known by digest; %d tasks were here before the gate", change.total, count)
        self._begun(count)
        if found.unidentified:
            log.warning("running without an identity: %s", ", ".join(sorted(found.unidentified)[:20]))
        late = [pid for pid in found.by_pid if self.identify(pid) == 0]
        if late:
            log.warning("started while the gate was, and so without identity until restarted: %s", late[:50])

    def _begun(self, running: int) -> None:
        """Nobody put an image in force earlier: how late it is."""
        try:
            begun = replace(beginning.measure(Stage.AGENT, running), searched=True)
            beginning.note(begun, self._places.beginning)
        except OSError as error:
            log.error("how late enforcement began is not on record: %s", error)

    def revoke(self) -> None:
        """Tell the gate at once which sequences were taken back, whatever the image says."""
        certified = certificates.read(self._places.certificates, self._places.trust)
        self.gate.set_revoked(certified.revoked)
        for number, reason in certified.revoked.items():
            log.warning("sequence %016x does not block: %s", number, reason)

    def _arm(self) -> None:
        """Arm the guard, if the agent's next start will be known to it: else it would lock us out as well."""
        if not self._settings.guard:
            log.warning("the guard is off in the settings: root can take enforcement away")
            return
        if fault := self._self_fault():
            log.error("the guard is not armed, since %s: run `menshen enrol-self` and start again", fault)
            return
        self.gate.arm_guard(identity_id(AGENT), identity_id(COMMAND), identity_id(WATCH))

    def _aliases(self, compiled: Compiled) -> dict[Alias, int]:
        roots, class_of = self._compiler.aliases(compiled.image)
        return aliases.search(roots, class_of)

    # What time brings

    def tick(self) -> None:
        """Do what is due: take away what has expired, and from time to time search for signed programs."""
        if self.gate.guarded and self.gate.follow_first():
            who = self.credentials.names(self.identify(1))
            self.journal.notice(f"process 1 is {who} now: what it starts for the unit is the agent")
        if (over := self.gate.counters()["passed_over"]) > self._passed_over:
            self._passed_over = over
            self.gate.touch_tree()
            self.journal.notice(f"the kernel passed over {over} calls of ours: cached paths are void")
        if abs(step := _clock_offset() - self._clock_offset) > STEP:
            self._clock_offset += step
            self.journal.notice(f"the clock was set by {step:+.0f} s: credentials are looked at anew")
            self.credentials.push(self.gate, self.journal)  # tells what has expired by this time,
            self._search_due = 0.0  # and this finds what had by the other
        if (now := time.monotonic()) >= self._search_due:
            self._search_due = now + self._settings.rescan
            say(self.credentials.load())
        elif self.due() > 0:
            return
        self.gate.sweep_sequences()
        change = self.credentials.push(self.gate, self.journal)
        if change.added or change.removed:
            log.info("credentials: %d new, %d gone", change.added, change.removed)
            self.journal.notice(f"programs with an identity: {change.added} new, {change.removed} gone")

    def due(self) -> float:
        """Seconds until something is to be done."""
        waits = [self._search_due - time.monotonic()]
        if (expiry := self.credentials.next_expiry()) is not None:
            waits.append(expiry - time.time())
        return max(0.0, min(waits))

    def well(self) -> bool:
        """Whether the readers go round; the service manager restarts an agent that is not well."""
        return all(time.monotonic() - reader.beat < STUCK for reader in self.readers)

    def health(self) -> list[tuple[str, bool, str]]:
        """What an administrator should look at."""
        fault = self.policy.fault
        lost = self.gate.counters()
        losses = {
            name: lost.get(name, 0) for name in ("denials_lost", "events_lost", "no_scratch", "no_label")
        }
        failures = sum(reader.failures + reader.undecoded for reader in self.readers)
        return [
            ("held", not self.held.fault, self.held.fault or "what is held was looked for"),
            ("policies", not fault, fault or "what lies on disk is in force"),
            ("guard", self.gate.guarded, "armed" if self.gate.guarded else "not armed"),
            ("losses", not any(losses.values()), ", ".join(f"{n} {v}" for n, v in losses.items())),
            ("readers", self.well() and not failures, f"{failures} records were not understood"),
            ("metrics", not self.exporter.fault, self.exporter.fault or self.exporter.where),
            ("log", not self.denials_log.lost, f"{self.denials_log.lost} lines could not be written"),
        ]

    # Who is who

    def identify(self, pid: int) -> int:
        """The identity of a process; 0 for none."""
        label = self.gate.label_of(pid)
        return label.identity if label is not None else 0


def _clock_offset() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def say(problems: Iterable[Problem]) -> None:
    for problem in problems:
        log.warning("%s", problem)
