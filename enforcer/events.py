"""An event as people and logs know it: every number of the kernel's record resolved to its name.

The same in the agent's buffer, in denials.jsonl and on the wire. Strings of the host (path, comm, exe) are
raw here, with bytes that are not UTF-8 as surrogates; whoever prints them uses `enforcer.escape`.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any


class Kind(enum.StrEnum):
    """Why there is an event."""

    DENIAL = "denial"
    WOULD_DENY = "would-deny"
    EXEC = "exec"
    NOTICE = "notice"
    """Of the agent itself: a credential that expired, an image that was installed, a loss."""


UNIDENTIFIED = "unidentified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Empty strings and zeros are what there is nothing to say about."""

    id: int = 0
    time: float
    kind: str
    subject: str = ""
    target: str = ""
    operation: str = ""
    right: str = ""
    path: str = ""
    address: str = ""
    port: int = 0
    protocol: str = ""
    pid: int = 0
    tid: int = 0
    ppid: int = 0
    uid: int = 0
    login_uid: int = 0
    comm: str = ""
    exe: str = ""
    generation: int = 0
    rule: int = 0
    rule_name: str = ""
    rule_kind: str = ""
    rule_place: str = ""
    rule_text: str = ""
    mode: str = ""
    detail: int = 0
    detail_words: str = ""
    flags: tuple[str, ...] = ()
    cgroup: int = 0
    target_pid: int = 0
    session: int = 0
    text: str = ""


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Event)}
_NAMES = frozenset(_DEFAULTS)


def as_line(event: Event) -> dict[str, Any]:
    """For a JSON line: what is not empty, in the order of the fields."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, default in _DEFAULTS.items()
        if (value := getattr(event, name)) != default or name in ("id", "time", "kind")
    }


def from_line(line: dict[str, Any]) -> Event | None:
    """The event of a JSON line; None for a line that is none of ours."""
    known = {name: value for name, value in line.items() if name in _NAMES}
    if not isinstance(known.get("id"), int) or "time" not in known or "kind" not in known:
        return None
    known["flags"] = tuple(known.get("flags", ()))
    return Event(**known)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events somebody wants; what is empty does not filter."""

    kinds: frozenset[str] = frozenset()
    subject: str = ""
    """A name; a trailing `*` stands for any rest."""
    rule: str = ""
    path: str = ""
    """The beginning of the path."""

    def __call__(self, event: Event) -> bool:
        """Whether this event is wanted."""
        if self.kinds and event.kind not in self.kinds:
            return False
        if self.rule and event.rule_name != self.rule:
            return False
        if self.path and not event.path.startswith(self.path):
            return False
        if self.subject.endswith("*"):
            return event.subject.startswith(self.subject[:-1])
        return not self.subject or event.subject == self.subject
