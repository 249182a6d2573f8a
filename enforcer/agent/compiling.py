"""Between the policy language and the agent: files in, an image and what a person wants to know of it out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from enforcer.agent.aliases import ClassesOf
from enforcer.agent.rules import Rule
from enforcer.errors import Problem

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a policy file."""

    name: str
    kind: str
    file: str
    line: int
    subject: str
    mode: str


@dataclass(frozen=True, slots=True)
class Subject:
    """One row of an image."""

    identity: int
    name: str
    confined: bool
    enforced: bool


@dataclass(frozen=True, slots=True)
class Compiled:
    """An image and its contents."""

    image: bytes
    hash: str
    documents: tuple[Document, ...]
    rules: tuple[Rule, ...]
    """By number, the builtin ones first."""
    subjects: tuple[Subject, ...]
    """By row."""
    warnings: tuple[Problem, ...] = ()
    lockouts: tuple[Problem, ...] = ()
    """What would shut out an administrator or a service that the host needs: refused unless forced."""

    def confines(self, identity: int) -> bool:
        """Whether a policy that is enforced confines this identity; 0 is the unidentified."""
        return any(row.identity == identity and row.enforced for row in self.subjects[1:])


class Compiler(Protocol):
    """What the agent needs of the language."""

    def documents(self, files: Files) -> list[Document]:
        """What the files hold; EnforcerError with located problems if they cannot be read."""

    def compile(self, files: Files, known: Collection[str] | None = None) -> Compiled:
        """EnforcerError with located problems if they cannot be compiled.

        `known` are the identities that this host can vouch for; None: all.
        """

    def read(self, image: bytes) -> Compiled:
        """The contents of an image that was compiled before; EnforcerError if it is none."""

    def aliases(self, image: bytes) -> tuple[Iterable[Path], ClassesOf]:
        """The folders that protected files are in, and the object classes of paths that are protected."""
