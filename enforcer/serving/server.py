"""An API server: gRPC on an inner socket, the gatekeeper on the public one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from enforcer.serving.feed import MAX_FOLLOWERS
from enforcer.serving.peers import Gatekeeper, Identify

MAX_MESSAGE = 64 << 20
SPARE_THREADS = 8

Register = Callable[[Any, Gatekeeper], None]
"""Adds the service to the gRPC server; it asks the gatekeeper who calls."""


class Server:
    """Both listeners, started and stopped together."""

    def __init__(
        self,
        public: Path,
        inner: Path,
        register: Register,
        *,
        identify: Identify,
        group: int | None,
        followers: int = MAX_FOLLOWERS,
    ) -> None:
        inner.parent.mkdir(parents=True, exist_ok=True)
        inner.parent.chmod(0o700)
        inner.unlink(missing_ok=True)
        self.gatekeeper = Gatekeeper(public, inner, identify=identify, group=group)
        self._inner, self._register, self._followers = inner, register, followers
        self._server: Any = None

    def start(self) -> None:
        """Answer from now on. gRPC has threads from its first object on: until now this process can fork."""
        # Every follower holds a thread: there are more threads than followers may be.
        workers = futures.ThreadPoolExecutor(self._followers + SPARE_THREADS, thread_name_prefix="api")
        self._server = grpc.server(
            workers,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._register(self._server, self.gatekeeper)
        mask = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{self._inner}")
        finally:
            os.umask(mask)
        self._server.start()
        self.gatekeeper.start()

    def stop(self, grace: float = 1.0) -> None:
        """Let calls end, then close."""
        if self._server is not None:
            self._server.stop(grace).wait(grace + 1)
        self.gatekeeper.stop()
