"""The lock-out check: would these policies really deny what systemd, sshd or the agent cannot do without?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from policies import nodes, shape
from policies.checks.issue import Issue, Severity, Subject, validator
from policies.compile.assemble import CAPABILITIES
from policies.endpoint import TCP, encode
from policies.errors import PolicyErrors
from policies.evaluate import Evaluator, Verdict
from policies.explain import DOES
from policies.image import ROW_UNIDENTIFIED, Right, Special
from policies.nodes import Mapping, Node, Scalar, Sequence
from policies.operations import Operations
from policies.parse import LIBRARY

ESSENTIALS: Final = "essentials.yaml"


@dataclass(frozen=True, slots=True)
class Access:
    """One right on one object, or a special right or capability by name."""

    kind: str
    what: str
    right: Right | None = None

    def __str__(self) -> str:
        return f"{DOES[self.right]} {self.what}" if self.right is not None else f"use {self.kind} {self.what}"

    def verdict(self, evaluator: Evaluator, row: int) -> Verdict:
        """What the image says to it."""
        operations = Operations(evaluator, row)
        if self.kind == "special":
            return operations.special(Special[self.what.upper().replace("-", "_")])
        if self.kind == "capability":
            return operations.capability(CAPABILITIES.index(self.what))
        assert self.right is not None
        if self.kind == "endpoint":
            host, _, port = self.what.rpartition(":")
            return operations.judge(encode(TCP, host.strip("[]"), int(port)), self.right)
        return operations.judge(self.what, self.right)


@dataclass(frozen=True, slots=True)
class Essential:
    """What one identity cannot do without, and what it would mean."""

    identity: str
    consequence: str
    accesses: tuple[Access, ...]


@cache
def essentials() -> tuple[Essential, ...]:
    """The shipped list."""
    found: list[Essential] = []
    for document in nodes.documents((LIBRARY / ESSENTIALS).read_bytes(), f"menshen:{ESSENTIALS}"):
        check = shape.Shape()
        if not check.check(document, shape.load("essentials.json"), "the document"):
            raise PolicyErrors.of(check.errors)
        assert isinstance(document, Mapping)
        spec, metadata = document.entries["spec"], document.entries["metadata"]
        assert isinstance(spec, Mapping)
        assert isinstance(metadata, Mapping)
        accesses = tuple(each for entry in _items(spec.entries["accesses"]) for each in _accesses(entry))
        found.append(
            Essential(_text(spec.entries["identity"]), _text(metadata.entries["description"]), accesses)
        )
    return tuple(found)


@validator("lock-out")
def lockouts(subject: Subject) -> Iterator[Issue]:
    """An error for every rule that would deny an essential access, with its first victim."""
    evaluator = subject.evaluator
    for essential in essentials():
        row, name = evaluator.row(essential.identity), essential.identity
        if subject.known is not None and essential.identity not in subject.known:
            row, name = ROW_UNIDENTIFIED, f"{essential.identity}, which has no credential on this host,"
        denials: dict[int, list[Access]] = {}
        for access in essential.accesses:
            verdict = access.verdict(evaluator, row)
            if verdict.enforced:
                denials.setdefault(verdict.rule, []).append(access)
        for rule, accesses in denials.items():
            entry = evaluator.meta.rules[rule]
            more = f" and {len(accesses) - 1} more" if len(accesses) > 1 else ""
            yield Issue(
                Severity.ERROR,
                "lock-out",
                f"{name} could not {accesses[0]}{more}: {essential.consequence}",
                entry.place,
                _hint(entry.kind, entry.owner, essential.identity),
            )


def _hint(kind: str, owner: str, identity: str) -> str:
    if kind == "protection":
        return f"add {{identity: {identity}}} to only, or use mode: audit first"
    return f'use mode: audit in "{owner}" first, and allow what it reports'


def _accesses(entry: Node) -> Iterator[Access]:
    assert isinstance(entry, Mapping)
    lists = {key: [_text(item) for item in _items(value)] for key, value in entry.entries.items()}
    for kind, key in (("path", "paths"), ("endpoint", "endpoints")):
        for what in lists.get(key, ()):
            for word in lists.get("rights", ()):
                yield Access(kind, what, Right[word.upper().replace("-", "_")])
    yield from (Access("special", what) for what in lists.get("special", ()))
    yield from (Access("capability", what) for what in lists.get("capabilities", ()))


def _items(node: Node) -> tuple[Node, ...]:
    assert isinstance(node, Sequence)
    return node.items


def _text(node: Node) -> str:
    assert isinstance(node, Scalar)
    return str(node.value)
