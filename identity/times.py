"""Times in credentials: whole seconds of UTC, written one way, and spans like 90d for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from identity.errors import IdentityError

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})Z)?\Z", re.ASCII)
_SPAN = re.compile(r"([1-9]\d{0,5})([smhdwy])\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
TIME_HINT = "a UTC time like 2027-01-31T00:00:00Z"


def parse_time(text: str, *, date_only: bool = False) -> int:
    """Seconds since the epoch of `2027-01-31T00:00:00Z`, and of `2027-01-31` where a bare date will do."""
    found = _TIME.match(text)
    if found and (found[2] or date_only):
        try:
            moment = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00:00'}+00:00")
        except ValueError:
            moment = None
        if moment is not None and moment.year >= 1970:
            return int(moment.timestamp())
    raise IdentityError(f"{text[:40]!r} is not a time", hint=TIME_HINT)


def format_time(seconds: float) -> str:
    """The one way that a time is written."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_span(text: str) -> int:
    """Seconds of a span like 12h, 90d, 52w or 1y."""
    found = _SPAN.match(text)
    if not found:
        raise IdentityError(f"{text[:40]!r} is not a span of time", hint="a span like 12h, 90d, 52w or 1y")
    return int(found[1]) * _SECONDS[found[2]]
