"""The gatekeeper: who is at the other end of an API connection.

gRPC for Python hands out no peer credentials. So the public socket is ours: we accept, ask the kernel who
connected (SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD), and pass the bytes on, unread, to the gRPC server
behind. That one listens in a folder of mode 0700. Each inner connection is made from a client socket that is
bound to a random abstract name which we noted beforehand; gRPC reports that name as `context.peer()`, and the
note says who it is. A connection to the inner socket from anywhere else has no note and is refused, root's
too. The note goes before the connection does, so a name cannot be used by another after us.

The kernel fixes the credentials at connect(): handing the descriptor on afterwards hands on no more than the
connection. Before 6.5 there is no SO_PEERPIDFD and the pidfd is opened from the pid: there a process that
ends between connect and accept could lend its number to another, if the whole pid space went round meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from enforcer.errors import RefusedError

log = logging.getLogger("menshen.peers")

SO_PEERPIDFD = 77
SO_PEERGROUPS = 59
MAX_CONNECTIONS = 64
MAX_GROUPS = 256
"""Python's getsockopt takes 1024 bytes at most."""
CHUNK = 64 << 10
_UCRED = struct.Struct("iII")

Identify = Callable[[int], int]
"""The identity id of a process; 0 for none."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that connected, as it was then. `pidfd` keeps its number from being taken for another's."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    pidfd: int
    identity: int = 0
    """Of the program that connected."""

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return bool(poller.poll(0))


def peer_of(connection: socket.socket, identify: Identify) -> Peer:
    """Who connected; OSError if that process is gone already."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MAX_GROUPS * 4)
    except OSError:
        raw = b""  # more groups than we can ask for: nobody is let in for one that we do not see
    groups = frozenset(struct.unpack(f"{len(raw) // 4}I", raw[: len(raw) // 4 * 4]))
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # this kernel knows it, and the process is gone
            raise
        pidfd = os.pidfd_open(pid)
    return Peer(pid, uid, gid, groups, pidfd, identify(pid))


def may_read(peer: Peer | None, group: int | None) -> None:
    """RefusedError unless this caller may look: root, and members of the group."""
    if peer is None:
        raise RefusedError("this connection did not come through the service's socket")
    if peer.uid != 0 and (group is None or group not in {peer.gid, *peer.groups}):
        raise RefusedError(
            f"uid {peer.uid} may not read here", "be root, or in the group menshen (then log in again)"
        )


class Gatekeeper:
    """Accepts on the public socket and relays to the inner one; knows the peer of every inner connection."""

    def __init__(
        self,
        public: Path,
        inner: Path,
        *,
        identify: Identify,
        mode: int = 0o660,
        group: int | None = None,
    ) -> None:
        self._public = public
        self._inner = inner
        self._identify = identify
        self._mode = mode
        self._group = group
        self._peers: dict[str, Peer] = {}
        self._open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def peer(self, inner_name: str) -> Peer | None:
        """The peer of an inner connection, by what gRPC calls it; None if it did not come through us."""
        return self._peers.get(inner_name)

    def start(self) -> None:
        """Listen; returns when clients can connect."""
        self._public.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            listener.bind(str(self._public))
        finally:
            os.umask(mask)
        if self._group is not None:
            os.chown(self._public, -1, self._group)
        self._public.chmod(self._mode)
        listener.listen(16)
        listener.setblocking(False)
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[self._loop], name="gatekeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop = self._thread = None
        self._public.unlink(missing_ok=True)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        accepting = loop.create_task(self._accept(loop))
        loop.run_forever()
        accepting.cancel()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._listener is not None
        relays: set[asyncio.Task[None]] = set()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(0.1)  # out of descriptors: the queue waits
                continue
            if self._open >= MAX_CONNECTIONS:
                connection.close()
                continue
            self._open += 1
            task = loop.create_task(self._serve(loop, connection))
            relays.add(task)
            task.add_done_callback(relays.discard)

    async def _serve(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        name = f"menshen-{secrets.token_hex(16)}"
        key = f"unix-abstract:{name}"
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        peer: Peer | None = None
        try:
            peer = peer_of(connection, self._identify)
            connection.setblocking(False)
            inner.setblocking(False)
            inner.bind("\0" + name)
            self._peers[key] = peer
            await loop.sock_connect(inner, str(self._inner))
            one = loop.create_task(_relay(loop, connection, inner))
            other = loop.create_task(_relay(loop, inner, connection))
            await asyncio.wait((one, other), return_when=asyncio.FIRST_COMPLETED)
            one.cancel()
            other.cancel()
            await asyncio.gather(one, other, return_exceptions=True)
        except OSError:
            pass  # the peer or the server went away: there is nobody to tell
        except Exception:  # nobody is let in whom we could not look at
            log.exception("a connection was refused")
        finally:
            self._peers.pop(key, None)
            inner.close()
            connection.close()
            if peer is not None:
                os.close(peer.pidfd)
            self._open -= 1


async def _relay(loop: asyncio.AbstractEventLoop, source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on, at most one chunk ahead: a slow reader slows its writer and nobody else."""
    with suppress(OSError):
        while data := await loop.sock_recv(source, CHUNK):
            await loop.sock_sendall(target, data)
