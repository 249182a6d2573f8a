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

from enforcer.api import menshen_pb2_grpc as pb_grpc
from enforcer.escape import escape
from enforcer.places import Places

MAX_MESSAGE = 64 << 20
TIMEOUT = 120.0


@contextmanager
def agent(socket: Path | None = None) -> Iterator[Any]:
    """The agent's methods; what it refuses ends the command with its sentence."""
    path = socket or Places().socket
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.default_authority", "menshen"),
    ]
    _reachable(path)
    with grpc.insecure_channel(f"unix:{path}", options=options) as channel:
        stub: Any = pb_grpc.AgentStub(channel)  # type: ignore[no-untyped-call]  # generated, without types
        try:
            yield stub
        except grpc.RpcError as error:
            raise click.ClickException(_sentence(error, path)) from None


def _reachable(path: Path) -> None:
    """Say at once what gRPC would say only after a while, and less clearly."""
    try:
        if stat.S_ISSOCK(path.stat().st_mode) and os.access(path, os.W_OK):
            return
    except FileNotFoundError:
        raise click.ClickException(
            f"no agent listens at {path}\n  start it: systemctl start menshen (or menshen agent)"
        ) from None
    except OSError:
        pass
    raise click.ClickException(f"{path} cannot be reached\n  be root, or in the group menshen")


def _sentence(error: grpc.RpcError, path: Path) -> str:
    code, details = error.code(), "\n".join(escape(line) for line in (error.details() or "").splitlines())
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"the agent at {path} does not answer: {details}\n  systemctl status menshen"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the agent at {path} did not answer in time"
    return details or str(code)
