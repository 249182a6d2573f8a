"""The compiler's side: a helper that forks workers, and a worker that compiles for a while and ends.

The helper is forked from the agent while that has one thread, and does nothing but fork: gRPC's threads and
locks are not there. A fork keeps the agent's label, which an exec would lose, so nobody may trace a worker or
send it a signal, and a policy cannot keep it from reading its own modules. What a worker needs is imported
there, and goes with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NoReturn

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
_KILLED_FIRST: Final = b"500"
"""oom_score_adj: if memory is short it is the compiler that goes, and not the agent."""

Answer = tuple[Any, Sequence[bytes]]


def fork_helper(make: Callable[[], Compiler]) -> tuple[int, socket.socket]:
    """The helper's pid, and where it is asked for workers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        _never_return(lambda: _help(theirs, make))
    theirs.close()
    return pid, ours


def _never_return(work: Callable[[], None]) -> NoReturn:
    """A fork must not run the agent's code on: whatever happens, it ends here."""
    try:
        work()
    except BaseException as error:
        os.write(2, f"menshen: the policy compiler's process ended: {error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _help(asked: socket.socket, make: Callable[[], Compiler]) -> None:
    """Until the agent is gone, whatever else of it lives on."""
    _let_go(asked.fileno())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers need not be waited for
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 16, 1)
        if not message:
            return
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            if not os.fork():
                asked.close()
                _never_return(partial(_work, connection, make))
            connection.close()


def _let_go(kept: int) -> None:
    """Hold nothing of the agent's: a link that is open somewhere is attached, whatever `menshen off` says."""
    gc.freeze()  # nor close by chance what has a number of the agent's by then
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(entry.name))


def _work(connection: socket.socket, make: Callable[[], Compiler]) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_KILLED_FIRST)
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
