"""Policies as values: what the documents say, with the place of whatever can be the reason of a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from policies.endpoint import EndpointPattern
from policies.errors import Place
from policies.image import Special
from policies.pattern import Pattern

if TYPE_CHECKING:
    from policies.sequence import Sequence


class Mode(Enum):
    """What becomes of an access that is not allowed."""

    AUDIT = "audit"
    ENFORCE = "enforce"


class Effect(Enum):
    """What a rule does with its rights."""

    ALLOW = "allow"
    DENY = "deny"


class Word(Enum):
    """The rights as they are written (semantics.md, 3)."""

    READ = "read"
    WRITE = "write"
    APPEND = "append"
    CREATE = "create"
    DELETE = "delete"
    RENAME = "rename"
    LINK = "link"
    ATTRIBUTES = "attributes"
    EXECUTE = "execute"
    MAP_EXEC = "map-exec"
    IOCTL = "ioctl"
    MOUNT = "mount"
    CONNECT = "connect"
    LISTEN = "listen"


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """An identity, or the unidentified (`identity` is then empty)."""

    identity: str
    place: Place

    @property
    def unidentified(self) -> bool:
        """Whether these are the programs without an identity."""
        return not self.identity

    def __str__(self) -> str:
        return self.identity or "unidentified"


@dataclass(frozen=True, slots=True)
class Located:
    """What has a place in a file, which is also how it is named in verdicts."""

    place: Place

    @property
    def text(self) -> str:
        """The source line that the rule begins on."""
        return self.place.text.strip()


@dataclass(frozen=True, slots=True)
class FileRule(Located):
    """An entry of `files`. `mode` None: the policy's."""

    effect: Effect
    rights: frozenset[Word]
    paths: tuple[Pattern, ...]
    mode: Mode | None = None
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class ExecRule(Located):
    """An entry of `exec`."""

    paths: tuple[Pattern, ...]
    as_self: bool = False
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class NetworkRule(Located):
    """An entry of `network`: either endpoints or unix sockets."""

    effect: Effect
    action: Word
    endpoint: EndpointPattern | None = None
    unix: Pattern | None = None
    mode: Mode | None = None


Rule = FileRule | ExecRule | NetworkRule


@dataclass(frozen=True, slots=True)
class SpecialSpec:
    """The `special` field. Places are None where the list was left out."""

    words: frozenset[Special] = frozenset()
    towards: tuple[tuple[Special, tuple[str, ...]], ...] = ()
    capabilities: frozenset[str] = frozenset()
    words_place: Place | None = None
    capabilities_place: Place | None = None


@dataclass(frozen=True, slots=True)
class Policy(Located):
    """What a subject may do. `place` is the document's `spec`, which default denials name."""

    name: str
    name_place: Place
    subject: SubjectRef
    mode: Mode = Mode.AUDIT
    base: bool = True
    jit: bool = False
    jit_place: Place | None = None
    files: tuple[FileRule, ...] = ()
    exec: tuple[ExecRule, ...] = ()
    network: tuple[NetworkRule, ...] = ()
    special: SpecialSpec = field(default_factory=SpecialSpec)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules in the order that verdicts use."""
        return (*self.files, *self.exec, *self.network)


@dataclass(frozen=True, slots=True)
class Protection(Located):
    """Who may touch objects. `place` is its `objects`, which denials name."""

    name: str
    name_place: Place
    objects: tuple[Pattern, ...]
    operations: frozenset[Word]
    only: tuple[SubjectRef, ...]
    mode: Mode = Mode.AUDIT


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that is compiled together. `other` counts documents of kinds that are not ours."""

    policies: tuple[Policy, ...] = ()
    protections: tuple[Protection, ...] = ()
    other: int = 0
    sequences: tuple[Sequence, ...] = ()

    def __add__(self, more: Documents) -> Documents:
        return Documents(
            self.policies + more.policies,
            self.protections + more.protections,
            self.other + more.other,
            self.sequences + more.sequences,
        )
