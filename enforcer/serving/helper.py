"""A helper that forks workers: work whose modules and memory a service would not hold itself.

The helper is forked from the service while that has one thread, and does nothing but fork: gRPC's threads and
locks are not there. A fork keeps the service's label, which an exec would lose. What a worker needs is
imported there, and goes with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

Serve = Callable[[socket.socket], None]
"""What a worker does: it answers one connection, and ends when it returns."""

_KILLED_FIRST: Final = b"500"
"""oom_score_adj: if memory is short it is a worker that goes, and not the service."""


class Helper:
    """The service's side."""

    def __init__(self, what: str, serve: Serve) -> None:
        """`what` it is, for messages; `serve` is called in each worker's process."""
        self._what = what
        self._serve = serve
        self._asked: socket.socket | None = None
        self.pid = 0
        """The helper's; 0 if there is none."""

    def start(self) -> None:
        """Fork the helper, anew if there is one; while this process has no other thread.

        It is who this process is at this moment, to the guard as well.
        """
        self.stop()
        gc.collect()
        gc.freeze()  # else each collection would write to, and so copy, all pages that are shared with it
        self._asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            self._never_return(lambda: self._help(theirs))
        theirs.close()

    def stop(self) -> None:
        """End it. Workers end when their connections do."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0

    def worker(self) -> socket.socket:
        """A connection to a new worker. OSError if there is no helper."""
        if self._asked is None:
            raise OSError(f"{self._what}: its helper was not started")
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._asked, [b"worker"], [theirs.fileno()])
        return ours

    def _never_return(self, work: Callable[[], None]) -> NoReturn:
        """A fork must not run the service's code on: whatever happens, it ends here."""
        try:
            work()
        except BaseException as error:
            os.write(2, f"menshen: {self._what}: the process ended: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)

    def _help(self, asked: socket.socket) -> None:
        """Until the service is gone, whatever else of it lives on."""
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
                    self._never_return(partial(self._work, connection))
                connection.close()

    def _work(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_bytes(_KILLED_FIRST)
        self._serve(connection)


def _let_go(kept: int) -> None:
    """Hold nothing of the service's: a link that is open somewhere is attached, also after `menshen off`."""
    gc.freeze()  # nor close by chance what has a number of the service's by then
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(entry.name))
