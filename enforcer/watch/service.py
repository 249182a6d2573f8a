"""The methods of watch.proto: check the caller, ask the watch, answer."""

# ruff: noqa: N802 - the methods have the names of watch.proto
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import grpc

from detect.alert import Level
from enforcer.api import watch_pb2 as pb
from enforcer.api import watch_pb2_grpc as pb_grpc
from enforcer.errors import EnforcerError
from enforcer.serving.peers import Gatekeeper, may_read
from enforcer.watch import messages
from enforcer.watch.observations import Observed, Wanted

if TYPE_CHECKING:
    from enforcer.watch.life import Watch

BATCH: Final = 512
PAUSE: Final = 0.5
"""Seconds after which a stream with no news looks whether its client is still there."""
LEVELS: Final = {level.name.lower(): level for level in Level}


class Service(pb_grpc.WatchServicer):
    """menshen.v1.Watch."""

    def __init__(
        self, watch: Watch, gatekeeper: Gatekeeper, status: Callable[[Watch], pb.WatchStatusReply]
    ) -> None:
        self._watch = watch
        self._gatekeeper = gatekeeper
        self._status = status

    def Status(self, _request: pb.WatchStatusRequest, context: Any) -> pb.WatchStatusReply:
        """How things stand."""
        self._reader(context)
        return self._status(self._watch)

    def StreamObservations(
        self, request: pb.StreamObservationsRequest, context: Any
    ) -> Iterator[pb.ObservationBatch]:
        """Events, kept ones first; a client that is too slow is told how many it missed."""
        self._reader(context)
        feed = self._watch.observations
        try:
            wanted = _wanted(request.filter)
            if not request.follow:
                yield from _batches(feed.old(wanted, request.last))
                return
            found, follower = feed.follow(wanted, request.last)
        except EnforcerError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return
        try:
            context.send_initial_metadata(())
            yield from _batches(found)
            while context.is_active() and not follower.closed:
                taken, lost = follower.take(BATCH, PAUSE)
                if taken or lost:
                    yield _batch(taken, lost)
        finally:
            feed.leave(follower)

    def StreamAlerts(self, request: pb.StreamAlertsRequest, context: Any) -> Iterator[pb.AlertBatch]:
        """Alerts, kept ones first."""
        self._reader(context)
        if request.level and request.level not in LEVELS:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"there is no level {request.level}: {', '.join(LEVELS)}"
            )
        least = LEVELS.get(request.level, Level.INFORMATIONAL)
        feed = self._watch.alerts

        def wanted(alert: pb.Alert) -> bool:
            return LEVELS[alert.level] >= least

        if not request.follow:
            yield pb.AlertBatch(alerts=feed.old(wanted, last=request.last))
            return
        try:
            found, follower = feed.follow(wanted, last=request.last)
        except EnforcerError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            return
        try:
            context.send_initial_metadata(())
            yield pb.AlertBatch(alerts=found)
            while context.is_active() and not follower.closed:
                alerts, lost = follower.take(BATCH, PAUSE)
                if alerts or lost:
                    yield pb.AlertBatch(alerts=alerts, lost=lost)
        finally:
            feed.leave(follower)

    def ListDetections(self, _request: pb.ListDetectionsRequest, context: Any) -> pb.ListDetectionsReply:
        """Rules and sequences in force, with how often they came true."""
        self._reader(context)
        return pb.ListDetectionsReply(
            detections=[
                pb.Detection(
                    kind=each.kind,
                    name=each.name,
                    title=each.title,
                    level=each.level,
                    mode=each.mode,
                    place=each.place,
                    matches=self._watch.matches.get(each.name, 0),
                    tags=each.tags,
                    certificate=each.certificate,
                )
                for each in self._watch.detections
            ]
        )

    def _reader(self, context: Any) -> None:
        try:
            may_read(self._gatekeeper.peer(context.peer()), self._watch.group)
        except EnforcerError as refusal:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refusal))


def _wanted(given: pb.ObservationFilter) -> Wanted:
    return Wanted(frozenset(given.types), given.text, given.session, given.tagged)


def _batches(found: list[tuple[Observed, int]]) -> Iterator[pb.ObservationBatch]:
    for first in range(0, len(found), BATCH):
        yield _batch(found[first : first + BATCH])


def _batch(taken: list[tuple[Observed, int]], lost: int = 0) -> pb.ObservationBatch:
    return pb.ObservationBatch(observations=[messages.observation(*each) for each in taken], lost=lost)
