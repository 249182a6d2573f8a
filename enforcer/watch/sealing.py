"""The store's work on sealed pieces in a process of its own: Arrow is there, and not in the watch.

A worker ends when there was nothing to do for a while. One that is killed is an OSError: the journal stays
unsealed, or the pieces unmerged, and it is tried again.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from enforcer.serving.helper import Helper

T = TypeVar("T")

IDLE: Final = 5.0
"""Seconds without a call after which a worker ends."""
LONGEST: Final = 300.0
"""Seconds that one call may take."""


class Sealing:
    """Calls functions there. What they are given and what they answer can be pickled."""

    def __init__(self) -> None:
        self._helper = Helper("the store's sealing", _serve)
        self._idle: deque[Connection] = deque()
        """Workers that nobody waits for: a merge keeps no journal from being sealed."""

    def start(self) -> None:
        """Fork the helper, while this process has no other thread."""
        self._helper.start()

    def stop(self) -> None:
        """End the helper and its workers."""
        while self._idle:
            self._idle.pop().close()
        self._helper.stop()

    def __call__(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function answers. Its OSError; a RuntimeError for any other error; OSError (ECHILD) if
        its process is gone."""
        found: Any
        done, found = self._ask((function, arguments))
        if not done:
            raise found
        result: T = found
        return result

    def _ask(self, call: tuple[object, ...]) -> Any:
        with suppress(IndexError):
            try:
                return self._exchange(self._idle.pop(), call)
            except (OSError, EOFError):
                pass  # it had waited for long, and may have just ended
        try:
            return self._exchange(Connection(self._helper.worker().detach()), call)
        except (OSError, EOFError) as error:
            raise OSError(errno.ECHILD, f"the process that seals gave no answer: {error!r}") from None

    def _exchange(self, worker: Connection, call: tuple[object, ...]) -> Any:
        try:
            worker.send(call)
            if not worker.poll(LONGEST):
                raise TimeoutError(f"none in {LONGEST:.0f} s")
            answer = worker.recv()
        except BaseException:
            worker.close()
            raise
        self._idle.append(worker)
        return answer


def _serve(connection: socket.socket) -> None:
    calls = Connection(connection.detach())
    with suppress(EOFError, OSError):
        while calls.poll(IDLE):
            function, arguments = calls.recv()
            calls.send(_answer(function, arguments))


def _answer(function: Callable[..., T], arguments: tuple[object, ...]) -> tuple[bool, T | Exception]:
    try:
        return True, function(*arguments)
    except OSError as error:
        return False, OSError(error.errno, error.strerror or str(error))
    except Exception as error:  # of Arrow's own kinds, which the watch does not know
        return False, RuntimeError(f"{type(error).__name__}: {error}")
