"""Files to Documents: every fault of every file at once, each with its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from policies import nodes, shape
from policies.collector import paused
from policies.errors import Place, PolicyError, PolicyErrors
from policies.model import Documents, FileRule, Policy, Protection
from policies.read import Reader
from policies.read_sequence import SequenceReader
from policies.sequence import Sequence
from policies.suggest import suggestion

LIBRARY: Final = Path(__file__).parent / "library"
SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FAULTS: Final = 200
API_VERSION: Final = "menshen/v1"

OTHER_KINDS: Final = frozenset({"TrustRoot"})
LATER_KINDS: Final = frozenset({"Persona", "Service", "Test"})
KINDS: Final = ("Policy", "Protection", "Sequence", "TrustRoot")


def load_paths(paths: Iterable[str | os.PathLike[str]]) -> Documents:
    """Read files, and folders with everything below them that ends in .yaml, .yml or .json."""
    found = Documents()
    errors: list[PolicyError] = []
    with paused():
        for path in _files(paths, errors):
            try:
                found += parse_bytes(path.read_bytes(), str(path))
            except PolicyErrors as group:
                errors.extend(group.errors)
            except OSError as error:
                errors.append(PolicyError(f"cannot be read: {error.strerror}", place=Place(str(path))))
    errors.extend(clashes(found))
    if errors:
        raise PolicyErrors.of(errors)
    return found


def parse_bytes(data: bytes, path: str) -> Documents:
    """The documents of one file; PolicyErrors holds all its faults."""
    policies: list[Policy] = []
    protections: list[Protection] = []
    sequences: list[Sequence] = []
    errors: list[PolicyError] = []
    other = 0
    for node in nodes.documents(data, path):
        check = shape.Shape()
        kind = _kind(node, check)
        if kind in OTHER_KINDS:
            other += 1
        elif kind == "Policy" and isinstance(node, nodes.Mapping):
            check.check(node, shape.load("policy.json"), "the document")
            policy = Reader(check).policy(node)
            policies += [policy] if policy else []
        elif kind == "Protection" and isinstance(node, nodes.Mapping):
            check.check(node, shape.load("protection.json"), "the document")
            protection = Reader(check).protection(node)
            protections += [protection] if protection else []
        elif kind == "Sequence" and isinstance(node, nodes.Mapping):
            check.check(node, shape.load("sequence.json"), "the document")
            sequence = SequenceReader(check).sequence(node)
            sequences += [sequence] if sequence else []
        errors.extend(sorted(check.errors, key=lambda error: (error.line, error.column)))
    if errors:
        if len(errors) > MAX_FAULTS:
            more = PolicyError(f"and {len(errors) - MAX_FAULTS} faults more", place=Place(path))
            errors = [*errors[:MAX_FAULTS], more]
        raise PolicyErrors.of(errors)
    return Documents(tuple(policies), tuple(protections), other, tuple(sequences))


def parse_text(text: str, path: str = "policy.yaml") -> Documents:
    """`parse_bytes` for text, with the clashes between its documents refused as `load_paths` does."""
    found = parse_bytes(text.encode("utf-8", "surrogatepass"), path)
    if errors := list(clashes(found)):
        raise PolicyErrors.of(errors)
    return found


@cache
def base_rules() -> tuple[FileRule, ...]:
    """The rules of the shipped base policy (semantics.md, 12)."""
    path = LIBRARY / "base.yaml"
    check = shape.Shape()
    rules: list[FileRule] = []
    for node in nodes.documents(path.read_bytes(), "menshen:base.yaml"):
        assert isinstance(node, nodes.Mapping)
        check.check(node, shape.load("base.json"), "the document")
        rules.extend(Reader(check).base(node))
    if check.errors:
        raise PolicyErrors.of(check.errors)
    return tuple(rules)


def clashes(documents: Documents) -> Iterator[PolicyError]:
    """Names given twice, and subjects with two policies."""
    for kind, found in (
        ("Policy", documents.policies),
        ("Protection", documents.protections),
        ("Sequence", documents.sequences),
    ):
        seen: dict[str, Place] = {}
        for document in found:
            first = seen.setdefault(document.name, document.name_place)
            if first is not document.name_place:
                message = f'there are two of kind {kind} named "{document.name}": the other is at {first}'
                yield PolicyError(message, place=document.name_place, hint="rename or remove one of them")
    subjects: dict[str, Policy] = {}
    for policy in documents.policies:
        other = subjects.setdefault(policy.subject.identity, policy)
        if other is not policy:
            message = (
                f'{policy.subject} has two policies, "{other.name}" at {other.subject.place} '
                f'and "{policy.name}" here'
            )
            hint = "put all rules of a subject into one policy"
            yield PolicyError(message, place=policy.subject.place, hint=hint)


def _kind(node: nodes.Node, check: shape.Shape) -> str:
    if not isinstance(node, nodes.Mapping):
        check.fault(node, "a document must be a mapping", node.place, f"begin with apiVersion: {API_VERSION}")
        return ""
    kind = node.entries.get("kind")
    if kind is None:
        check.fault(node, 'the document has no "kind"', node.place, f"add kind: one of {', '.join(KINDS)}")
        return ""
    value = str(kind.value) if isinstance(kind, nodes.Scalar) else "?"
    if value in LATER_KINDS:
        hint = f"kinds that are: {', '.join(KINDS)}"
        check.fault(node, f"kind {value} is not supported yet", kind.place, hint)
    elif value not in KINDS:
        instead = {kind.lower(): kind for kind in KINDS}
        check.fault(node, f'unknown kind "{value}"', kind.place, suggestion(value, KINDS, instead))
    return value


def _files(paths: Iterable[str | os.PathLike[str]], errors: list[PolicyError]) -> Iterator[Path]:
    seen: set[Path] = set()
    for each in paths:
        path = Path(each)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        elif path.exists():
            found = [path]
        else:
            errors.append(PolicyError("there is no such file or folder", place=Place(str(path))))
            continue
        for file in found:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file
