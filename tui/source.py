"""Where the screen's content comes from: the two services, or a recording (tui/replay.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import click

from enforcer import client
from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from tui.buffer import Buffer

RETRY: Final = 2.0
"""Seconds until a service that was not there is tried again."""
STATUS: Final = 1.0
"""Seconds between two looks at how things stand."""
TIMEOUT: Final = 10.0
OLD: Final = 500
"""Messages from before that a stream begins with."""


class Inbox:
    """What a source fills and the screen reads."""

    def __init__(self) -> None:
        self.lines = Buffer()
        self.alerts = Buffer()
        self.agent: pb.StatusReply | None = None
        self.watch: wpb.WatchStatusReply | None = None
        self.policies: pb.ListPoliciesReply | None = None
        self.trouble: dict[str, str] = {}
        """By service: why it cannot be reached, in words."""


class Source(Protocol):
    """Fills an inbox until it is stopped; answers what the screen asks for one event."""

    name: str

    def start(self, inbox: Inbox) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, without waiting for anybody."""

    def why(self, event: pb.Event) -> pb.WhyReply | None:
        """Why this was decided; None if it cannot be asked."""

    def policy(self, name: str) -> pb.ShowPolicyReply | None:
        """One document; None if it cannot be asked."""


Connect = Callable[[Path | None], AbstractContextManager[Any]]
Receive = Callable[[Any], None]


class Live:
    """The running agent and the running watch. Either may be away, and come back."""

    name = "live"

    def __init__(self, agent_socket: Path | None = None, watch_socket: Path | None = None) -> None:
        self._agent: Callable[[], AbstractContextManager[Any]] = lambda: client.agent(agent_socket)
        self._watch: Callable[[], AbstractContextManager[Any]] = lambda: client.watch(watch_socket)
        self._stopped = threading.Event()
        self._calls: set[Any] = set()

    def start(self, inbox: Inbox) -> None:
        """One thread for each stream, and one for each service's status."""
        workers = {
            "events": lambda: self._again(
                "agent", inbox, self._agent, lambda stub: self._events(stub, inbox)
            ),
            "agent-status": lambda: self._again(
                "agent", inbox, self._agent, lambda stub: self._agent_status(stub, inbox)
            ),
            "observations": lambda: self._again(
                "watch", inbox, self._watch, lambda stub: self._observations(stub, inbox)
            ),
            "alerts": lambda: self._again(
                "watch", inbox, self._watch, lambda stub: self._alerts(stub, inbox)
            ),
            "watch-status": lambda: self._again(
                "watch", inbox, self._watch, lambda stub: self._watch_status(stub, inbox)
            ),
        }
        for name, work in workers.items():
            threading.Thread(target=work, name=name, daemon=True).start()

    def stop(self) -> None:
        """Cancel every call; the threads end by themselves."""
        self._stopped.set()
        for call in list(self._calls):
            call.cancel()

    def why(self, event: pb.Event) -> pb.WhyReply | None:
        """Ask the agent."""
        try:
            with self._agent() as stub:
                reply: pb.WhyReply = stub.Why(pb.WhyRequest(event=event.id), timeout=TIMEOUT)
                return reply
        except click.ClickException:
            return None

    def policy(self, name: str) -> pb.ShowPolicyReply | None:
        """Ask the agent."""
        try:
            with self._agent() as stub:
                reply: pb.ShowPolicyReply = stub.ShowPolicy(pb.ShowPolicyRequest(name=name), timeout=TIMEOUT)
                return reply
        except click.ClickException:
            return None

    def _again(
        self,
        who: str,
        inbox: Inbox,
        connect: Callable[[], AbstractContextManager[Any]],
        receive: Receive,
    ) -> None:
        """Connect and receive, for ever; what goes wrong is kept in words."""
        while not self._stopped.is_set():
            try:
                with connect() as stub:
                    receive(stub)
            except (click.ClickException, ValueError) as error:
                inbox.trouble[who] = error.message if isinstance(error, click.ClickException) else str(error)
            self._stopped.wait(RETRY)

    def _stream(self, call: Any) -> Iterator[Any]:
        self._calls.add(call)
        try:
            yield from call
        finally:
            self._calls.discard(call)

    def _events(self, stub: Any, inbox: Inbox) -> None:
        for batch in self._stream(stub.StreamEvents(pb.StreamEventsRequest(follow=True, last=OLD))):
            inbox.lines.put(batch.events, batch.lost)

    def _observations(self, stub: Any, inbox: Inbox) -> None:
        request = wpb.StreamObservationsRequest(follow=True, last=OLD)
        for batch in self._stream(stub.StreamObservations(request)):
            inbox.lines.put(batch.observations, batch.lost)

    def _alerts(self, stub: Any, inbox: Inbox) -> None:
        for batch in self._stream(stub.StreamAlerts(wpb.StreamAlertsRequest(follow=True, last=OLD))):
            inbox.alerts.put(batch.alerts, batch.lost)

    def _agent_status(self, stub: Any, inbox: Inbox) -> None:
        while not self._stopped.is_set():
            inbox.agent = stub.Status(pb.StatusRequest(), timeout=TIMEOUT)
            inbox.policies = stub.ListPolicies(pb.ListPoliciesRequest(), timeout=TIMEOUT)
            inbox.trouble.pop("agent", None)
            self._stopped.wait(STATUS)

    def _watch_status(self, stub: Any, inbox: Inbox) -> None:
        while not self._stopped.is_set():
            inbox.watch = stub.Status(wpb.WatchStatusRequest(), timeout=TIMEOUT)
            inbox.trouble.pop("watch", None)
            self._stopped.wait(STATUS)
