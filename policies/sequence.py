"""Sequences as values: steps over tagged events, what joins them, and how long they may take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from policies.endpoint import EndpointPattern
from policies.errors import Place, PolicyError
from policies.model import Located
from policies.pattern import Pattern
from policies.suggest import nearest


class Key(Enum):
    """What the events of a sequence have in common."""

    SESSION = "session"
    TREE = "tree"
    FILE = "file"


class Action(Enum):
    """What becomes of a sequence that comes true."""

    ALERT = "alert"
    BLOCK = "block"


class Act(Enum):
    """What a step of the kernel form does."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    DELETE = "delete"
    RENAME = "rename"
    LINK = "link"
    CHMOD = "chmod"
    EXECUTE = "execute"
    CONNECT = "connect"


class Kind(Enum):
    """What the values of a field are."""

    TEXT = "text"
    NUMBER = "number"
    ADDRESS = "address"


TEXTS: Final = frozenset(
    {"exe", "args", "path", "path2", "comm", "parent_exe", "parent_args", "identity", "container"}
)
"""The fields whose values are text."""


def kind(field: str) -> Kind:
    """What the values of a field are."""
    if field == "address":
        return Kind.ADDRESS
    return Kind.TEXT if field in TEXTS else Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Captured:
    """The value that an earlier step remembered under this name."""

    name: str

    def __str__(self) -> str:
        return f"${self.name}"


Value = str | int | bytes | Captured
"""Of a condition: text, a number, an address (16 bytes, as events have it), or what was captured."""


@dataclass(frozen=True, slots=True)
class KernelForm(Located):
    """A step as the kernel decides it: a right on paths, or a connect to endpoints."""

    operation: Act
    paths: tuple[Pattern, ...] = ()
    endpoints: tuple[EndpointPattern, ...] = ()
    unidentified: bool = False


@dataclass(frozen=True, slots=True)
class Step(Located):
    """One thing that happens, or must not. Times are nanoseconds, 0 for no limit; `distinct` "" for none."""

    name: str
    tags: tuple[str, ...]
    tag_places: tuple[Place, ...]
    count: int = 1
    distinct: str = ""
    within: int = 0
    absent: bool = False
    capture: tuple[tuple[str, str], ...] = ()
    where: tuple[tuple[str, Value], ...] = ()
    kernel: KernelForm | None = None


@dataclass(frozen=True, slots=True)
class Sequence(Located):
    """One document. `place` is its `spec`, which alerts give; `mode_place` is None if `mode` was left out."""

    name: str
    name_place: Place
    title: str
    level: str
    tags: tuple[str, ...]
    key: Key
    within: int
    steps: tuple[Step, ...]
    mode: Action = Action.ALERT
    mode_place: Place | None = None

    @property
    def blocks(self) -> bool:
        """Whether the kernel is to deny its last step."""
        return self.mode is Action.BLOCK

    @property
    def digest(self) -> bytes:
        """sha256 of everything that decides whether it comes true: not of title, level, tags and mode."""
        content = {
            "name": self.name,
            "key": self.key.value,
            "within": self.within,
            "steps": [_content(step) for step in self.steps],
        }
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _content(step: Step) -> dict[str, Any]:
    kernel = step.kernel
    return {
        "name": step.name,
        "tags": sorted(step.tags),
        "count": step.count,
        "distinct": step.distinct,
        "within": step.within,
        "absent": step.absent,
        "capture": sorted(step.capture),
        "where": sorted([field, _shown(value)] for field, value in step.where),
        "kernel": kernel
        and {
            "operation": kernel.operation.value,
            "paths": sorted(map(str, kernel.paths)),
            "endpoints": sorted(map(str, kernel.endpoints)),
            "unidentified": kernel.unidentified,
        },
    }


def _shown(value: Value) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return repr(value) if isinstance(value, str) else str(value)


def unknown_tags(sequences: Iterable[Sequence], known: Collection[str]) -> Iterator[PolicyError]:
    """The tags that no rule gives: such a step would silently never be taken."""
    for sequence in sequences:
        for step in sequence.steps:
            for tag, place in zip(step.tags, step.tag_places, strict=True):
                if tag not in known:
                    near = nearest(tag, known)
                    hint = f"did you mean {' or '.join(near)}?" if near else "add a rule that gives it"
                    yield PolicyError(f'no rule gives the tag "{tag}"', place=place, hint=hint)


def uncertified(sequences: Iterable[Sequence], certified: Collection[bytes]) -> Iterator[PolicyError]:
    """The sequences that are to block and whose digest is not among those with a certificate that holds."""
    for sequence in sequences:
        if sequence.blocks and sequence.digest not in certified:
            message = f'sequence "{sequence.name}" is not certified as it stands, and so may not block'
            hint = f"run menshen certify {sequence.name}, or write mode: alert"
            yield PolicyError(message, place=sequence.mode_place or sequence.place, hint=hint)
