"""One event of the history in words, for a terminal or a page. Nothing of the host's is unescaped."""

from __future__ import annotations

import datetime
import errno
import os
from collections.abc import Mapping
from typing import Any, Final

from bpf_lsm.observation import Type
from enforcer import words
from enforcer.escape import escape, escape_bytes

_OPENS: Final = {Type.FILE_OPEN, Type.FILE_WRITE}
_MODES: Final = {Type.FILE_CREATE, Type.FILE_CHMOD}
_NO_LOGIN: Final = 0xFFFF_FFFF


def clock(nanoseconds: int) -> str:
    """Local date and time, to the millisecond."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        when = datetime.datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"
    return f"{when:%Y-%m-%d %H:%M:%S}.{rest // 10**6:03}"


def kind(number: int) -> str:
    """The type in words; one of a newer watch stays a number."""
    return Type(number).word if number in list(Type) else f"type-{number}"


def arguments(raw: bytes) -> str:
    """The arguments of a program on one line."""
    return " ".join(escape_bytes(part) for part in raw.rstrip(b"\0").split(b"\0"))


def what(event: Mapping[str, Any]) -> str:
    """What was done to what, and how it ended."""
    number = event["type"]
    parts = [arguments(event["args"]) if number == Type.EXEC else "", escape_bytes(event["path"])]
    if event["path2"]:
        parts.append(f"-> {escape_bytes(event['path2'])}")
    parts.append(_endpoint(event))
    if event["target_pid"]:
        parts.append(f"pid {event['target_pid']}")
    parts.append(_detail(number, event))
    if event["result"] < 0:
        parts.append(f"failed: {errno.errorcode.get(-event['result'], -event['result'])}")
    if event["tags"]:
        parts.append(f"[{escape(event['tags'].replace(',', ', '))}]")
    return " ".join(part for part in parts if part)


def _endpoint(event: Mapping[str, Any]) -> str:
    if not event["address"] and not event["port"]:
        return ""
    host = f"[{event['address']}]" if ":" in event["address"] else event["address"]
    protocol = words.protocol(event["protocol"])
    return escape(f"{host}:{event['port']}") + (f"/{protocol}" if protocol else "")


def _detail(number: int, event: Mapping[str, Any]) -> str:
    detail = event["detail"]
    if number in _OPENS:
        return words.open_flags(detail)
    if number in _MODES:
        return f"mode {detail & 0o7777:o}"
    if number == Type.EXIT:
        return f"status {detail >> 8}" if not detail & 0x7F else f"by signal {detail & 0x7F}"
    if number == Type.CREDENTIALS:
        return f"uid {detail} -> {event['uid']}"
    if number == Type.LOGIN:
        return f"as {event['login_uid']}"
    if number == Type.KILL:
        return words.signal_name(detail)
    return ""


def as_json(event: Mapping[str, Any]) -> dict[str, Any]:
    """For `--json`: the session in hexadecimal, arguments as a list, bytes that are no text as surrogates."""
    found: dict[str, Any] = {}
    for name, value in event.items():
        if name in {"args", "parent_args"}:
            found[name] = [os.fsdecode(part) for part in value.split(b"\0")] if value else []
        elif isinstance(value, bytes):
            found[name] = os.fsdecode(value)
        else:
            found[name] = value
    found["time"] = iso(event["time"])
    found["type"] = kind(event["type"])
    found["session"] = f"{event['session']:x}"
    found["digest"] = f"{event['digest']:016x}" if event["digest"] else ""
    found["tags"] = event["tags"].split(",") if event["tags"] else []
    found["login_uid"] = None if event["login_uid"] == _NO_LOGIN else event["login_uid"]
    return found


def iso(nanoseconds: int) -> str:
    """UTC, to the microsecond."""
    try:
        when = datetime.datetime.fromtimestamp(nanoseconds // 10**9, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9 // 1000:06}Z"
