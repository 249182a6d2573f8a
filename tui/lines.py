"""Messages of the API as lines and fields for a person. Nothing of the host gets through unescaped."""

from __future__ import annotations

import time
from typing import Any, Final

from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from enforcer.escape import escape, escape_bytes

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
            make = event_text if isinstance(self.message, pb.Event) else observation_text
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


def clock(seconds: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


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


def observation_text(seen: wpb.Observation) -> str:
    """Who, what, with what outcome, and what the rules call it."""
    who = escape(seen.identity) if seen.identity not in ("", "unidentified") else ""
    parts = [who, escape_bytes(seen.exe)]
    if seen.type == "exec" and seen.args:
        parts.append(arguments(seen.args))
    elif seen.path:
        parts.append(escape_bytes(seen.path) + (f" -> {escape_bytes(seen.path2)}" if seen.path2 else ""))
    if where := address(seen.address, seen.port, seen.protocol):
        parts.append(where)
    if seen.target_pid:
        parts.append(f"pid {seen.target_pid}")
    if seen.result < 0:
        parts.append(f"errno {-seen.result}")
    if seen.tags:
        parts.append(f"[{', '.join(map(escape, seen.tags))}]")
    return " ".join(part for part in parts if part)


def arguments(raw: bytes) -> str:
    """The arguments of a program on one line."""
    return " ".join(escape_bytes(part) for part in raw.rstrip(b"\0").split(b"\0"))


def address(host: str, port: int, protocol: str) -> str:
    """An endpoint as people write it."""
    if not host:
        return f"port {port}/{protocol}" if port else ""
    named = f"[{host}]" if ":" in host else host
    return f"{escape(named)}:{port}" + (f"/{escape(protocol)}" if protocol else "")


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
