"""A recorded stream: one JSON line a message. What was seen can be seen again, and tests need no host.

A line is {"at": seconds since the first, "stream": NAME, "data": the message as protobuf's JSON}.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from tui.source import Inbox

MESSAGES: Final[dict[str, Callable[[], Any]]] = {
    "event": pb.Event,
    "observation": wpb.Observation,
    "alert": wpb.Alert,
    "agent": pb.StatusReply,
    "watch": wpb.WatchStatusReply,
    "policies": pb.ListPoliciesReply,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message of a recording."""

    at: float
    stream: str
    message: Any


def read(path: Path) -> Iterator[Recorded]:
    """The messages of a recording; a line that is none is an error with its place."""
    from google.protobuf import json_format  # noqa: PLC0415

    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
                message = MESSAGES[line["stream"]]()
                json_format.ParseDict(line["data"], message, ignore_unknown_fields=True)
                yield Recorded(float(line["at"]), line["stream"], message)
            except (ValueError, KeyError, TypeError, json_format.ParseError) as error:
                raise click.ClickException(
                    f"{path}:{number}: not a line of a recording: {error!r}\n"
                    f'  expected {{"at": seconds, "stream": {"|".join(MESSAGES)}, "data": {{...}}}}'
                ) from None


def encode(at: float, stream: str, message: Any) -> str:
    """One line of a recording."""
    from google.protobuf import json_format  # noqa: PLC0415

    data = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps({"at": round(at, 3), "stream": stream, "data": data}, ensure_ascii=True)


class Replay:
    """A recording in the place of the services; `speed` 0 gives everything at once."""

    name = "replay"

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        self._recorded = list(read(path))
        self._speed = speed
        self._stopped = threading.Event()

    def start(self, inbox: Inbox) -> None:
        """Give what was recorded, at the pace at which it came."""
        if self._speed:
            threading.Thread(target=self._play, args=[inbox], name="replay", daemon=True).start()
        else:
            for recorded in self._recorded:
                deliver(inbox, recorded.stream, recorded.message)

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def why(self, event: pb.Event) -> pb.WhyReply | None:
        """A recording cannot be asked."""
        return None

    def policy(self, name: str) -> pb.ShowPolicyReply | None:
        """A recording cannot be asked."""
        return None

    def _play(self, inbox: Inbox) -> None:
        begun = time.monotonic()
        for recorded in self._recorded:
            late = begun + recorded.at / self._speed - time.monotonic()
            if late > 0 and self._stopped.wait(late):
                return
            deliver(inbox, recorded.stream, recorded.message)


def deliver(inbox: Inbox, stream: str, message: Any) -> None:
    """One message to its place."""
    if stream in ("event", "observation"):
        inbox.lines.put([message])
    elif stream == "alert":
        inbox.alerts.put([message])
    else:
        setattr(inbox, stream, message)
