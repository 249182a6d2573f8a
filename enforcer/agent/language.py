"""The policy language as the agent uses it: package `policies` behind the protocol of compiling.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import policies
from enforcer.agent.aliases import ClassesOf
from enforcer.agent.compiling import Compiled, Document, Files, Subject
from enforcer.agent.rules import BUILTIN, Rule
from enforcer.certificates import Certified
from enforcer.errors import EnforcerError, Problem
from policies.checks import Issue, Severity, check
from policies.compile import DEFAULT_CAPACITY, compile_documents
from policies.errors import PolicyError, PolicyErrors
from policies.evaluate import Evaluator
from policies.image import Builtin, RowFlag
from policies.meta import Meta
from policies.model import Documents, Policy, Protection
from policies.parse import parse_bytes
from policies.sequence import Action, Sequence, uncertified

_KINDS = {"protection": "Protection", "default": "Policy", "sequence": "Sequence"}
"""Kinds of rule of which each document has exactly one."""

_GLOB = "*?[]{}\\"
GUARD = Path(policies.__file__).parent / "library/guard.yaml"
PREFIX = Path("/opt/menshen")
"""Where GUARD takes Menshen to be installed."""
OURS = "menshen:"
"""Begins the place of rules that come with the product; their documents are not listed among the host's."""


class Language:
    """Files to images, and images to what people want to know of them."""

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        *,
        guarded: bool = False,
        prefix: Path = PREFIX,
        certified: Callable[[], Certified] | None = None,
    ) -> None:
        """`guarded`: what keeps the gate itself is compiled into every image; `prefix`: where it is.

        `certified`: which sequences may block; None: not asked, since the files are for another host.
        """
        self._certified = certified
        self._capacity = capacity
        self._guard = _guard(prefix) if guarded else b""

    def documents(self, files: Files) -> list[Document]:
        """What the files hold."""
        found = self._parse(files)
        every: tuple[Policy | Protection | Sequence, ...] = (
            *found.policies,
            *found.protections,
            *found.sequences,
        )
        return [
            Document(
                one.name,
                type(one).__name__,
                one.name_place.path,
                one.name_place.line,
                str(one.subject) if isinstance(one, Policy) else "",
                one.mode.value,
            )
            for one in every
        ]

    def compile(self, files: Files, known: Collection[str] | None = None) -> Compiled:
        """The image of these files, and what the checks say of it."""
        documents, demoted = self._certify(self._parse(files))
        if self._guard:
            documents += parse_bytes(self._guard, f"{OURS}{GUARD.name}")
        try:
            compiled = compile_documents(documents, capacity=self._capacity)
        except PolicyErrors as group:
            raise _error(group) from None
        issues = [*demoted, *(_problem(issue) for issue in check(compiled, known))]
        if documents.other:
            text = "TrustRoot documents belong in /etc/menshen/trust: among policies they are not read"
            issues.append(Problem(text, warning=True))
        return _contents(
            compiled.image,
            tuple(one for one in issues if one.warning),
            tuple(one for one in issues if not one.warning),
        )

    def read(self, image: bytes) -> Compiled:
        """The contents of an image."""
        return _contents(image)

    def aliases(self, image: bytes) -> tuple[Iterable[Path], ClassesOf]:
        """Where protected files can be, and what class a protected path has."""
        evaluator = Evaluator(image)

        def class_of(path: str) -> int | None:
            number, _ = evaluator.classify(os.fsencode(path))
            return number if evaluator.protected(number) else None

        return [Path(root) for root in evaluator.protected_roots()], lambda paths: [*map(class_of, paths)]

    def _certify(self, documents: Documents) -> tuple[Documents, list[Problem]]:
        """Sequences block only with a certificate; those whose certificate is over only tell from now on."""
        if self._certified is None:
            return documents, []
        certified = self._certified()
        sequences: list[Sequence] = []
        told: list[Problem] = []
        for each in documents.sequences:
            why = certified.lapsed.get(each.digest) if each.blocks else None
            sequences.append(replace(each, mode=Action.ALERT) if why else each)
            if why:
                text = f'sequence "{each.name}" does not block: {why}'
                place = each.mode_place or each.place
                told.append(Problem(text, place.path, place.line, place.column, warning=True))
        if errors := list(uncertified(sequences, certified.digests)):
            raise _error(PolicyErrors.of(errors))
        return replace(documents, sequences=tuple(sequences)), told

    def _parse(self, files: Files) -> Documents:
        found = Documents()
        errors: list[PolicyError] = []
        for name, content in sorted(files.items()):
            try:
                found += parse_bytes(content, name)
            except PolicyErrors as group:
                errors.extend(group.errors)
        if errors:
            raise _error(PolicyErrors.of(errors))
        return found


def _guard(prefix: Path) -> bytes:
    literal = "".join(f"\\\\{char}" if char in _GLOB else char for char in str(prefix))
    return GUARD.read_bytes().replace(os.fsencode(f'"{PREFIX}'), os.fsencode(f'"{literal}'))


def _problem(issue: Issue) -> Problem:
    place = issue.place
    warns = issue.severity is Severity.WARNING
    return Problem(issue.message, place.path, place.line, place.column, issue.render(), warning=warns)


def _contents(
    image: bytes, warnings: tuple[Problem, ...] = (), lockouts: tuple[Problem, ...] = ()
) -> Compiled:
    try:
        evaluator = Evaluator(image)
        meta = evaluator.meta
    except (PolicyError, ValueError) as error:
        raise EnforcerError(f"that is no policy image of this release: {error}") from None
    rules = tuple(_rules(meta))
    subjects = tuple(
        Subject(
            identity=int(row["identity"]),
            name=name,
            confined=bool(row["flags"] & RowFlag.CONFINED),
            enforced=bool(row["flags"] & RowFlag.UNRESOLVED_ENFORCE),
        )
        for row, name in zip(evaluator.rows, meta.rows, strict=True)
    )
    owners = {
        int(row["default_rule"]): name for row, name in zip(evaluator.rows[1:], meta.rows[1:], strict=True)
    }
    documents = tuple(
        Document(rule.name, _KINDS[rule.kind], rule.file, rule.line, owners.get(number, ""), rule.mode)
        for number, rule in enumerate(rules)
        if rule.kind in _KINDS and not rule.file.startswith(OURS)
    )
    digest = bytes(evaluator.header["hash"]).hex()
    size = int(evaluator.header["size"])
    return Compiled(image[:size], digest, documents, rules, subjects, warnings, lockouts)


def _rules(meta: Meta) -> Iterator[Rule]:
    for number, entry in enumerate(meta.rules):
        if entry.kind == "builtin":
            yield BUILTIN.get(Builtin(number), Rule(entry.owner, "builtin"))
        else:
            mode = entry.mode.value if entry.mode else ""
            yield Rule(entry.owner, entry.kind, entry.place.path, entry.place.line, entry.text, mode)


def _error(group: PolicyErrors) -> EnforcerError:
    problems = tuple(
        Problem(error.message, error.path, error.line, error.column, error.render()) for error in group.errors
    )
    return EnforcerError("the policies cannot be used", problems=problems)
