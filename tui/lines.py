"""Messages of the API as lines and fields for a person. Nothing of the host gets through unescaped."""

from __future__ import annotations

import time
from typing import Any, Final

from enforcer import observed
from enforcer.api import menshen_pb2 as pb
from enforcer.escape import escape, escape_bytes
from enforcer.observed import address, arguments, clock

STYLES: Final = {
    "denial": ("DENY", "bold red"),
    "would-deny": ("would", "yellow"),
    "exec": ("exec", "green"),
    "notice": ("note", "cyan"),
    "alert": ("ALERT", "bold magenta"),
}
LEVELS: Final = {
    "informational": "dim",
    "low": "cyan",
    "medium": "yellow",
    "high": "red",
    "critical": "bold red",
}
_MUST_RENDER = ("time",)


class Line:
    """One message of a stream, with its text made when it is first looked at."""

    __slots__ = ("_text", "kind", "message", "number")

    def __init__(self, message: Any, number: int) -> None:
        self.message = message
        self.number = number
        self.kind: str = message.kind if isinstance(message, pb.Event) else message.type
        self._text = ""

    @property
    def text(self) -> str:
        """The line without its clock and kind."""
        if not self._text:
            make = event_text if isinstance(self.message, pb.Event) else observed.text
            self._text = make(self.message)
        return self._text

    @property
    def clock(self) -> str:
        """Local time of day."""
        return clock(self.message.time)

    @property
    def word(self) -> str:
        """The kind as it stands in the line."""
        return STYLES.get(self.kind, (self.kind, ""))[0]

    @property
    def style(self) -> str:
        """Of the kind."""
        return STYLES.get(self.kind, ("", "blue"))[1]


def event_text(event: pb.Event) -> str:
    """Who, what, to what, and by which rule."""
    if event.kind == "notice":
        return escape(event.text)
    if event.kind == "exec":
        return f"{escape(event.subject)} {escape_bytes(event.path)}  pid {event.pid}"
    right = "" if event.right == event.operation else event.right
    parts = [escape(event.subject), event.operation, right, _thing(event)]
    rule = f"{escape(event.rule_name)} ({escape(event.rule_place)})" if event.rule_name else ""
    return " ".join(part for part in parts if part) + (f"  {rule}" if rule else "")


def _thing(event: pb.Event) -> str:
    parts = [escape_bytes(event.path), address(event.address, event.port, event.protocol)]
    if event.target:
        parts.append(f"toward {escape(event.target)}")
    found = " ".join(part for part in parts if part)
    return found or escape(event.detail_words)


def fields(message: Any) -> list[tuple[str, str]]:
    """Every field that says something, escaped, in the order of the message."""
    found = []
    for descriptor in message.DESCRIPTOR.fields:
        value = getattr(message, descriptor.name)
        if not value and descriptor.name not in _MUST_RENDER:
            continue
        if descriptor.message_type is not None:
            continue
        found.append((descriptor.name.replace("_", " "), value_text(descriptor.name, value)))
    return found


def value_text(name: str, value: Any) -> str:
    """One field's value."""
    if name == "time":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if name in ("session", "cgroup"):
        return f"{value:x}"
    if name == "args":
        return arguments(value)
    if isinstance(value, bytes):
        return escape_bytes(value)
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, bool | int | float):
        return str(value)
    return ", ".join(escape(str(item)) for item in value)
