"""The compiler's side: a worker that compiles for a while and ends.

It is a fork of the agent (enforcer/serving/helper.py), so nobody may trace it or send it a signal, and no
policy can keep it from reading its own modules.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from enforcer.agent.compiler_wire import (
    BrokenWireError,
    compiled_as_data,
    error_as_data,
    receive,
    send,
)
from enforcer.agent.compiling import Compiler
from enforcer.errors import EnforcerError

IDLE: Final = 5.0
"""Seconds without a call after which a worker ends."""
LONGEST: Final = 300
"""Seconds that one call may take."""

Answer = tuple[Any, Sequence[bytes]]


def serve(make: Callable[[], Compiler], connection: socket.socket) -> None:
    """Answer until nobody asks."""
    calls = _Calls(make())
    connection.settimeout(IDLE)
    while True:
        try:
            (name, arguments), parts = receive(connection)
        except (EOFError, TimeoutError, BrokenWireError):
            return
        signal.alarm(LONGEST)  # by default this ends the process
        head, answer = _answer(calls, name, arguments, parts)
        signal.alarm(0)
        connection.settimeout(None)
        send(connection, head, answer)
        connection.settimeout(IDLE)


def _answer(calls: _Calls, name: str, arguments: Any, parts: list[bytes]) -> Answer:
    try:
        result, answer = getattr(calls, f"on_{name}")(arguments, parts)
    except EnforcerError as error:
        return ["refused", error_as_data(error)], ()
    except Exception as error:
        return ["failed", f"{type(error).__name__}: {error}"], ()
    return ["done", result], answer


class _Calls:
    """The calls of `Compiler`, as messages."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._aliases = lru_cache(maxsize=1)(compiler.aliases)

    def on_documents(self, names: list[str], parts: list[bytes]) -> Answer:
        return [
            [one.name, one.kind, one.file, one.line, one.subject, one.mode]
            for one in self._compiler.documents(_files(names, parts))
        ], ()

    def on_compile(self, arguments: Any, parts: list[bytes]) -> Answer:
        names, known = arguments
        compiled = self._compiler.compile(_files(names, parts), None if known is None else frozenset(known))
        return compiled_as_data(compiled), (compiled.image,)

    def on_read(self, _: Any, parts: list[bytes]) -> Answer:
        compiled = self._compiler.read(parts[0])
        return compiled_as_data(compiled), (compiled.image,)

    def on_roots(self, _: Any, parts: list[bytes]) -> Answer:
        roots, _classes = self._aliases(parts[0])
        return [str(root) for root in roots], ()

    def on_classes(self, paths: list[str], parts: list[bytes]) -> Answer:
        _roots, classes = self._aliases(parts[0])
        return list(classes(paths)), ()


def _files(names: Sequence[str], parts: Sequence[bytes]) -> Mapping[str, bytes]:
    return dict(zip(names, parts, strict=True))
