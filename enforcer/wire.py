"""Between our data classes and the messages of menshen.proto."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from enforcer.api import menshen_pb2 as pb
from enforcer.errors import Problem
from enforcer.events import Event, Filter

_RAW = ("path", "comm", "exe")
"""Fields that are bytes on the wire, since a path need not be UTF-8."""
_LISTS = ("flags",)
_PLAIN = tuple(name for name in Event.__dataclass_fields__ if name not in _RAW and name not in _LISTS)


def event_message(event: Event) -> pb.Event:
    """An event for the wire."""
    plain: dict[str, Any] = {name: getattr(event, name) for name in _PLAIN}
    raw: dict[str, Any] = {name: os.fsencode(getattr(event, name)) for name in _RAW}
    return pb.Event(**plain, **raw, flags=event.flags)


def event_of(message: pb.Event) -> Event:
    """An event from the wire."""
    plain: dict[str, Any] = {name: getattr(message, name) for name in _PLAIN}
    raw: dict[str, Any] = {name: os.fsdecode(getattr(message, name)) for name in _RAW}
    return Event(**plain, **raw, flags=tuple(message.flags))


def held_reply(generation: int, held: Iterable[tuple[Event, str]]) -> pb.HeldReply:
    """What is held, each with what was done about it."""
    return pb.HeldReply(
        generation=generation,
        held=[
            pb.Held(event=event_message(event), descriptor=event.detail, done=done) for event, done in held
        ],
    )


def filter_of(message: pb.Filter) -> Filter:
    """A filter from the wire."""
    return Filter(frozenset(message.kinds), message.subject, message.rule, message.path)


def problem_message(problem: Problem) -> pb.Problem:
    """A problem for the wire."""
    return pb.Problem(
        severity=pb.Problem.WARNING if problem.warning else pb.Problem.ERROR,
        message=problem.message,
        file=problem.file,
        line=problem.line,
        column=problem.column,
        rendered=str(problem),
    )


def problem_of(message: pb.Problem) -> Problem:
    """A problem from the wire."""
    return Problem(
        message.message,
        message.file,
        message.line,
        message.column,
        message.rendered,
        warning=message.severity == pb.Problem.WARNING,
    )
