"""What passes between the agent and its compiler: a call or an answer as JSON, and bytes behind it.

No pickles: what comes from a process that reads untrusted files is data, and nothing else.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from sys import intern
from typing import Any, Final

from enforcer.agent.compiling import Compiled, Document, Subject
from enforcer.agent.rules import Rule
from enforcer.errors import EnforcerError, Problem

_SIZES: Final = struct.Struct("<IQ")
"""Bytes of JSON, and of all that follows it."""
LARGEST: Final = 1 << 30
"""Bytes of one message; a longer one is none of ours."""


class BrokenWireError(Exception):
    """The other side is gone, or what it says is no message."""


def send(connection: socket.socket, head: Any, parts: Sequence[bytes] = ()) -> None:
    """One message. OSError if nobody takes it."""
    text = json.dumps([head, [len(part) for part in parts]]).encode("utf-8", "surrogateescape")
    connection.sendall(_SIZES.pack(len(text), sum(map(len, parts))) + text)
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket) -> tuple[Any, list[bytes]]:
    """One message; EOFError if there comes none any more, BrokenWireError if it is cut or no message."""
    first = _exactly(connection, _SIZES.size, at_start=True)
    size, more = _SIZES.unpack(first)
    if size + more > LARGEST:
        raise BrokenWireError(f"a message of {size + more} bytes")
    try:
        head, sizes = json.loads(_exactly(connection, size))
        if sum(sizes) != more:
            raise ValueError("the sizes of its parts are wrong")
    except (ValueError, TypeError) as error:
        raise BrokenWireError(f"no message: {error}") from None
    return head, [_exactly(connection, part) for part in sizes]


def _exactly(connection: socket.socket, size: int, *, at_start: bool = False) -> bytes:
    found = bytearray(size)
    view, got = memoryview(found), 0
    while got < size:
        count = connection.recv_into(view[got:])
        if not count:
            if at_start and not got:
                raise EOFError
            raise BrokenWireError("a message is cut")
        got += count
    return bytes(found)


def compiled_as_data(compiled: Compiled) -> list[Any]:
    """All of it but the image."""
    tables = (compiled.documents, compiled.rules, compiled.subjects, compiled.warnings, compiled.lockouts)
    return [compiled.hash, *([astuple(row) for row in table] for table in tables)]


def compiled_from_data(data: Any, image: bytes) -> Compiled:
    """The same back; TypeError or ValueError if it is no such data."""
    digest, documents, rules, subjects, warnings, lockouts = data
    return Compiled(
        image,
        digest,
        tuple(Document(*_once(row)) for row in documents),
        tuple(Rule(*_once(row)) for row in rules),
        tuple(Subject(*_once(row)) for row in subjects),
        tuple(Problem(*row) for row in warnings),
        tuple(Problem(*row) for row in lockouts),
    )


def _once(row: Sequence[Any]) -> Iterator[Any]:
    """With strings that are kept once: rules repeat files and modes, generations repeat rules."""
    return (intern(each) if type(each) is str else each for each in row)


def error_as_data(error: EnforcerError) -> list[Any]:
    """An error for the person who applies, with its places."""
    return [error.message, error.hint, [astuple(problem) for problem in error.problems]]


def error_from_data(data: Any) -> EnforcerError:
    """The same back."""
    message, hint, problems = data
    return EnforcerError(message, hint, tuple(Problem(*row) for row in problems))
