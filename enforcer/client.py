"""The command line's end of the API."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import grpc

from enforcer.escape import escape
from enforcer.places import Places

MAX_MESSAGE = 64 << 20
TIMEOUT = 120.0
_UNITS = {"agent": "menshen", "watch": "menshen-watch"}
_START = {
    "agent": "systemctl start menshen (or menshen agent)",
    "watch": "systemctl start menshen-watch (or menshen watch)",
}


@contextmanager
def agent(socket: Path | None = None) -> Iterator[Any]:
    """The agent's methods; what it refuses ends the command with its sentence."""
    from enforcer.api import menshen_pb2_grpc as pb_grpc  # noqa: PLC0415

    with _connected(socket or Places().socket, "agent") as channel:
        stub: Any = pb_grpc.AgentStub(channel)  # type: ignore[no-untyped-call]  # generated, without types
        yield stub


@contextmanager
def watch(socket: Path | None = None) -> Iterator[Any]:
    """The watch's methods, in the same way."""
    from enforcer.api import watch_pb2_grpc as pb_grpc  # noqa: PLC0415

    with _connected(socket or Places().watch_socket, "watch") as channel:
        stub: Any = pb_grpc.WatchStub(channel)  # type: ignore[no-untyped-call]  # generated, without types
        yield stub


@contextmanager
def _connected(path: Path, who: str) -> Iterator[grpc.Channel]:
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.default_authority", "menshen"),
    ]
    _reachable(path, who)
    with grpc.insecure_channel(f"unix:{path}", options=options) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise click.ClickException(_sentence(error, path, who)) from None


def _reachable(path: Path, who: str) -> None:
    """Say at once what gRPC would say only after a while, and less clearly."""
    try:
        if stat.S_ISSOCK(path.stat().st_mode) and os.access(path, os.W_OK):
            return
    except FileNotFoundError:
        raise click.ClickException(f"no {who} listens at {path}\n  start it: {_START[who]}") from None
    except OSError:
        pass
    raise click.ClickException(f"{path} cannot be reached\n  be root, or in the group menshen")


def _sentence(error: grpc.RpcError, path: Path, who: str) -> str:
    code, details = error.code(), "\n".join(escape(line) for line in (error.details() or "").splitlines())
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"the {who} at {path} does not answer: {details}\n  systemctl status {_UNITS[who]}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the {who} at {path} did not answer in time"
    return details or str(code)
