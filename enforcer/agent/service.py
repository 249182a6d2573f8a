"""The API's methods: check the caller, ask the agent, answer. Nothing is decided here."""

# ruff: noqa: N802 - the methods have the names of menshen.proto
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from bpf_lsm.errors import GateError
from enforcer import wire
from enforcer.api import menshen_pb2 as pb
from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.errors import EnforcerError, RefusedError
from enforcer.serving.peers import Gatekeeper, Peer

if TYPE_CHECKING:
    from enforcer.agent.life import Agent

log = logging.getLogger("menshen.api")
BATCH = 512
PAUSE = 0.5
"""Seconds after which a stream with no news looks whether its client is still there."""

T = TypeVar("T")


class Service(pb_grpc.AgentServicer):
    """menshen.v1.Agent."""

    def __init__(self, agent: Agent, gatekeeper: Gatekeeper) -> None:
        self._agent = agent
        self._gatekeeper = gatekeeper

    def Status(self, _request: pb.StatusRequest, context: Any) -> pb.StatusReply:
        """How things stand."""
        self._reader(context)
        return self._answer(context, self._agent.report.status)

    def ListPolicies(self, _request: pb.ListPoliciesRequest, context: Any) -> pb.ListPoliciesReply:
        """The documents in force."""
        self._reader(context)
        return self._answer(context, self._agent.report.policies)

    def ShowPolicy(self, request: pb.ShowPolicyRequest, context: Any) -> pb.ShowPolicyReply:
        """One document and its file."""
        self._reader(context)
        return self._answer(context, lambda: self._agent.report.policy(request.name))

    def Why(self, request: pb.WhyRequest, context: Any) -> pb.WhyReply:
        """One event explained."""
        self._reader(context)
        return self._answer(context, lambda: self._agent.calls.why(request.event))

    def ListIdentities(self, _request: pb.ListIdentitiesRequest, context: Any) -> pb.ListIdentitiesReply:
        """The names behind the numbers of identities."""
        self._reader(context)
        return pb.ListIdentitiesReply(names=self._agent.credentials.names.all)

    def ListHeld(self, request: pb.ListHeldRequest, context: Any) -> pb.HeldReply:
        """What is held that the policies in force do not allow."""
        self._reader(context)
        agent = self._agent

        def look() -> pb.HeldReply:
            found = agent.held.look(request.subject, request.pid)
            return wire.held_reply(agent.policy.generation, [(one.event, "") for one in found])

        return self._answer(context, look)

    def StreamEvents(self, request: pb.StreamEventsRequest, context: Any) -> Iterator[pb.EventBatch]:
        """Events, kept ones first, in batches; a client that is too slow is told how many it missed."""
        self._reader(context)
        feed, wanted = self._agent.feed, wire.filter_of(request.filter)
        if not request.follow:
            found = feed.old(wanted, since=request.since, last=request.last)
            yield from _batches(found)
            return
        found, follower = self._answer(
            context, lambda: feed.follow(wanted, since=request.since, last=request.last)
        )
        try:
            context.send_initial_metadata(())  # the client knows now that nothing will be left out
            yield from _batches(found)
            while context.is_active() and not follower.closed:
                events, lost = follower.take(BATCH, PAUSE)
                if events or lost:
                    yield pb.EventBatch(events=map(wire.event_message, events), lost=lost)
        finally:
            feed.leave(follower)

    def ApplyPolicies(self, request: pb.ApplyPoliciesRequest, context: Any) -> pb.ApplyPoliciesReply:
        """A new set, or the reasons why not; those are an answer, not an error of the call."""
        who = self._changer(context, "apply")
        return self._answer(context, lambda: self._agent.calls.apply(request, who))

    def Reload(self, _request: pb.ReloadRequest, context: Any) -> pb.ReloadReply:
        """Look at the host again: trust, catalogue, signed programs, policies on disk."""
        who = self._changer(context, "reload")
        return self._answer(context, lambda: self._agent.calls.reload(who))

    def CloseHeld(self, request: pb.CloseHeldRequest, context: Any) -> pb.HeldReply:
        """Close it."""
        who = self._changer(context, "close held")
        return self._answer(context, lambda: self._agent.calls.close_held(request, who))

    def NoteGaps(self, request: pb.NoteGapsRequest, context: Any) -> pb.NoteGapsReply:
        """The watch lost events of some sessions. It can only keep sequences from blocking."""
        self._changer(context, "note gaps")
        return self._answer(context, lambda: self._agent.calls.note_gaps(request))

    def Off(self, request: pb.OffRequest, context: Any) -> pb.OffReply:
        """The way out."""
        who = self._changer(context, "off")
        if not request.reason.strip():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "off needs a reason; it is written to the log")
        return self._answer(context, lambda: self._agent.calls.off(who, request.reason))

    def _peer(self, context: Any) -> Peer | None:
        return self._gatekeeper.peer(context.peer())

    def _reader(self, context: Any) -> None:
        try:
            self._agent.authority.may_read(self._peer(context))
        except RefusedError as refusal:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refusal))

    def _changer(self, context: Any, what: str) -> dict[str, Any]:
        """Who asks, for the audit log. The refused are logged too."""
        peer = self._peer(context)
        try:
            identity = self._agent.authority.may_change(peer)
        except RefusedError as refusal:
            self._agent.calls.refused(what, peer, str(refusal))
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refusal))
            raise
        assert peer is not None
        return self._agent.calls.who(peer, identity)

    def _answer(self, context: Any, work: Callable[[], T]) -> T:
        try:
            return work()
        except (EnforcerError, GateError) as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise
        except Exception as error:
            # The caller is a person at a terminal, and the agent must live on: say it to both.
            log.exception("a call failed")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
            raise


def _batches(events: list[Any]) -> Iterator[pb.EventBatch]:
    for start in range(0, len(events), BATCH):
        yield pb.EventBatch(events=map(wire.event_message, events[start : start + BATCH]))
