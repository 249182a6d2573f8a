"""What the gate denied, as events of the watch: the agent is followed by its API, as any other client does.

The gate decides and the watch looks on. So the watch has no hand on the gate's rings, and where no agent
runs it only lacks these events.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Final

import click
import numpy as np

from bpf_lsm.observation import OBSERVATION, STRING_FIELDS, Type
from detect.batch import Batch, Column
from detect.symbols import Symbols
from enforcer import client
from enforcer.api import menshen_pb2 as pb
from enforcer.events import UNIDENTIFIED
from enforcer.names import Names
from enforcer.places import Places
from identity.errors import IdentityError
from identity.names import identity_id

log = logging.getLogger("menshen.gate")

ROOM: Final = 20_000
RETRY: Final = 5.0
TELLING: Final = 1.0
"""Seconds for the agent to be told of gaps: the pipeline waits meanwhile, and tries again."""
KINDS: Final = {"denial": Type.DENIAL, "would-deny": Type.WOULD_DENY}
EACCES: Final = 13
_NUMBERS: Final = (
    "pid",
    "tid",
    "ppid",
    "uid",
    "login_uid",
    "detail",
    "target_pid",
    "rule",
    "cgroup",
    "session",
)
_PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}


class GateFollower:
    """A thread that follows the agent's denials; the watch takes them when it looks."""

    def __init__(self, places: Places, names: Names) -> None:
        """`names` learns who the agent knows."""
        self._places = places
        self._names = names
        self._waiting: deque[pb.Event] = deque(maxlen=ROOM)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._call: Any = None
        self.dropped = 0
        self.connected = 0
        """How often the names were learned."""
        self.sequences: dict[int, str] = {}
        """Rules of the image in force that are sequences, as far as one has denied something."""
        self.trouble = "not connected yet"
        """Why the agent cannot be followed; empty if it is."""

    def start(self) -> None:
        """Begin, and go on until stopped."""
        threading.Thread(target=self._run, name="gate", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        if self._call is not None:
            self._call.cancel()

    def tell_gaps(self, sessions: set[int], *, all_of_them: bool) -> bool:
        """Events were lost: the gate is not to deny on what these sessions began. Whether it was told."""
        try:
            with client.agent(self._places.socket) as stub:
                request = pb.NoteGapsRequest(sessions=sorted(sessions), all=all_of_them)
                stub.NoteGaps(request, timeout=TELLING)
        except click.ClickException as error:
            log.warning("the gate was not told of lost events: %s", error.message.splitlines()[0])
            return False
        return True

    def take(self, symbols: Symbols, boot: float) -> Batch | None:
        """What came since the last time, oldest first; None if nothing did."""
        with self._lock:
            events, self._waiting = list(self._waiting), deque(maxlen=ROOM)
        return batch_of(events, symbols, boot) if events else None

    def _run(self) -> None:
        since = 0
        while not self._stopped.is_set():
            try:
                with client.agent(self._places.socket) as stub:
                    known = stub.ListIdentities(pb.ListIdentitiesRequest(), timeout=client.TIMEOUT).names
                    self._names.learn_names(name for name in known if name != UNIDENTIFIED)
                    self.connected += 1
                    request = pb.StreamEventsRequest(
                        filter=pb.Filter(kinds=list(KINDS)), follow=True, since=since, last=0 if since else 1
                    )
                    self._call = stub.StreamEvents(request)
                    self._call.initial_metadata()  # it comes at once, and denials perhaps never
                    self.trouble = ""
                    for batch in self._call:
                        since = self._put(batch) or since
                self.trouble = "the agent has ended"
            except click.ClickException as error:
                self.trouble = error.message.splitlines()[0]
            self._stopped.wait(RETRY)

    def _put(self, batch: pb.EventBatch) -> int:
        """Keep them; the number of the last."""
        for event in batch.events:
            if event.rule_kind == "sequence":
                self.sequences[event.rule] = event.rule_name
            else:
                self.sequences.pop(event.rule, None)  # of another image
        with self._lock:
            room = ROOM - len(self._waiting)
            self.dropped += max(0, len(batch.events) - room) + batch.lost
            self._waiting.extend(batch.events)
        return batch.events[-1].id if batch.events else 0


def batch_of(events: list[pb.Event], symbols: Symbols, boot: float) -> Batch:
    """Denials as columns. `boot`: seconds since the epoch at which the host's clock began."""
    records = np.zeros(len(events), OBSERVATION)
    for at, event in enumerate(events):
        record = records[at]
        record["time"] = max(0, round((event.time - boot) * 1e9))
        record["type"] = KINDS.get(event.kind, Type.DENIAL)
        record["result"] = -EACCES if event.kind == "denial" else 0
        record["subject"] = identity_of(event.subject)
        record["target"] = identity_of(event.target)
        for name in _NUMBERS:
            record[name] = getattr(event, name)
        record["generation"] = event.generation & 0xFFFFFFFF
        record["port"] = event.port
        record["protocol"] = _PROTOCOLS.get(event.protocol, 0)
        _set_address(record, event.address)
    columns: dict[str, Column] = {name: records[name] for name in OBSERVATION.names or ()}
    for name in STRING_FIELDS:
        columns[name] = np.zeros(len(events), "<u4")
    for name in ("exe", "path", "comm"):
        columns[name] = np.array(symbols.intern_all(getattr(event, name) for event in events), "<u4")
    return Batch(columns, symbols)


def identity_of(name: str) -> int:
    """The number of an identity; 0 for what has none."""
    with suppress(IdentityError):  # an id that has no name is shown as a number
        return identity_id(name) if name and name != UNIDENTIFIED else 0
    return 0


def _set_address(record: Any, text: str) -> None:
    if not text:
        return
    address = ipaddress.ip_address(text)
    record["family"] = address.version
    record["address"][: len(address.packed)] = list(address.packed)
