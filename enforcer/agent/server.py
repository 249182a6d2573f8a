"""The API server: gRPC on the inner socket, the gatekeeper on the public one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc

from enforcer.agent.feed import MAX_FOLLOWERS
from enforcer.agent.peers import Gatekeeper
from enforcer.agent.service import Service
from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.places import Places

if TYPE_CHECKING:
    from enforcer.agent.life import Agent

MAX_MESSAGE = 64 << 20
SPARE_THREADS = 8


class Server:
    """Both listeners, started and stopped together."""

    def __init__(
        self, agent: Agent, places: Places, group: int | None, identify: Callable[[int], int]
    ) -> None:
        private = places.inner_socket.parent
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
        places.inner_socket.unlink(missing_ok=True)
        self.gatekeeper = Gatekeeper(places.socket, places.inner_socket, identify=identify, group=group)
        # Every follower holds a thread: there are more threads than followers may be.
        workers = futures.ThreadPoolExecutor(MAX_FOLLOWERS + SPARE_THREADS, thread_name_prefix="api")
        self._server = grpc.server(
            workers,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", 0),
            ],
        )
        register: Any = pb_grpc.add_AgentServicer_to_server  # generated, without types
        register(Service(agent, self.gatekeeper), self._server)
        mask = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{places.inner_socket}")
        finally:
            os.umask(mask)

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()
        self.gatekeeper.start()

    def stop(self, grace: float = 1.0) -> None:
        """Let calls end, then close."""
        self._server.stop(grace).wait(grace + 1)
        self.gatekeeper.stop()
