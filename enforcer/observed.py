"""How an event of the watch looks on a line: nothing of the host gets through unescaped."""

from __future__ import annotations

import time

from enforcer.api import watch_pb2 as pb
from enforcer.escape import escape, escape_bytes
from enforcer.events import UNIDENTIFIED


def clock(seconds: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def compact(seen: pb.Observation) -> str:
    """Time, kind, and the rest of it."""
    return f"{clock(seen.time)} {seen.type:11} {text(seen)}"


def text(seen: pb.Observation) -> str:
    """Who, what, with what outcome, and what the rules call it."""
    who = escape(seen.identity) if seen.identity != UNIDENTIFIED else ""
    parts = [who, escape_bytes(seen.exe)]
    if seen.type == "exec" and seen.args:
        parts.append(arguments(seen.args))
    elif seen.path:
        parts.append(escape_bytes(seen.path) + (f" -> {escape_bytes(seen.path2)}" if seen.path2 else ""))
    parts.append(address(seen.address, seen.port, seen.protocol))
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
    named = f"[{host}]" if ":" in host else host
    if not named and not port:
        return ""
    return (f"{escape(named)}:{port}" if named else f"port {port}") + (f"/{protocol}" if protocol else "")
