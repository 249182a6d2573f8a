"""The catalogue as objects. A case is one operation, tried by one kind of subject; it has two sides.

On the side `no` a rule denies it; on the side `yes`, its twin, the same operation is done to a like object by
somebody who may: so no case is denied only because the operation does not work.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from policies.image import Builtin, Right, Special

FOLDER: Final = Path(__file__).resolve().parent / "catalogue"
VARIANTS: Final = ("native", "ia32", "io_uring", "container", "chroot")
USUAL: Final = ("native", "ia32", "container", "chroot")
"""Where a case is tried that says nothing else; `uring: true` adds io_uring."""

SUBJECTS: Final = ("policy", "placed", "protection", "incapable", "unidentified")
"""`policy`: confined, all capabilities, no special right. `placed`: with a few special rights, so that it can
put itself somewhere. `protection`: root without a policy, held by a Protection. `incapable`: everything but
capabilities. `unidentified`: no credential."""


@dataclass(frozen=True, slots=True)
class Denial:
    """What denies it: the kind of rule, and which right, word, capability or builtin rule it is about."""

    kind: str
    """right, special, capability, builtin or jit."""
    what: str = ""

    @property
    def errors(self) -> tuple[int, ...]:
        """What the call may end with (semantics, 17). Calls make EACCES of some refusals that are EPERM."""
        if self.kind in ("special", "capability"):
            return errno.EPERM, errno.EACCES
        return (errno.EPERM,) if self.what in ("connect", "listen") else (errno.EACCES,)

    def __str__(self) -> str:
        return self.what if self.kind == "right" else f"{self.kind} {self.what}".strip()


@dataclass(frozen=True, slots=True)
class Case:
    """One way that is tried."""

    klass: str
    do: str
    """The operation's name in actor/."""
    hook: str
    """The program that answers."""
    denial: Denial
    by: str = "policy"
    needs: tuple[str, ...] = ()
    """Rights on the object that the denied side holds all the same."""
    deny: tuple[str, ...] = ()
    """Rights that the denied side is denied by name."""
    natural: tuple[int, ...] = ()
    """Errors that the call may end with when nobody denies it."""
    variants: tuple[str, ...] = USUAL
    since: tuple[int, int] = (0, 0)
    before: tuple[int, int] = (99, 0)
    container_since: tuple[int, int] = (0, 0)
    against: str = ""
    """Whom a Protection denies it; else `root`."""
    twin: str = ""
    """Who does it on the allowed side; else `trusted`, or the same root where a Protection denies."""
    in_container: Denial | None = None
    """What denies it there, where that is something else."""
    open: str = ""
    """Why it succeeds; a case without is closed."""
    open_in: tuple[str, ...] = ()
    """The variants that it is open in; none: in all."""

    @property
    def id(self) -> str:
        return self.do if self.by == "policy" else f"{self.do}.{self.by}"

    def is_open(self, variant: str) -> bool:
        """Whether it is known to succeed there."""
        return bool(self.open) and (not self.open_in or variant in self.open_in)

    def exists(self, variant: str, release: tuple[int, int]) -> bool:
        """Whether there is such a thing in this variant on a kernel of this version."""
        since = max(self.since, self.container_since) if variant == "container" else self.since
        return variant in self.variants and since <= release < self.before

    def denial_in(self, variant: str) -> Denial:
        """What denies it in this variant."""
        return self.in_container if self.in_container and variant == "container" else self.denial

    def denied_to(self, variant: str) -> str:
        """Who tries it in vain."""
        if self.by == "protection":
            return self.against or "root"
        return "placed" if self.by == "policy" and variant == "io_uring" else self.by

    @property
    def allowed_by(self) -> str:
        """Who does it on the allowed side."""
        return self.twin or ("root" if self.by == "protection" else "trusted")


@dataclass(frozen=True, slots=True)
class Class:
    """One way round, and the cases that try it."""

    name: str
    about: str
    cases: tuple[Case, ...] = field(default=())


class CatalogueError(Exception):
    """The catalogue's data is not as it should be."""


_CASE_FIELDS: Final = frozenset(
    ("do", "hook", "denies", "by", "needs", "deny", "natural", "variants", "uring", "since")
) | {"before", "container_since", "against", "in_container", "twin", "open", "open_in"}
_CLASS_FIELDS: Final = frozenset(("class", "about", "cases", "hook", "denies", "variants", "by", "uring"))


@cache
def classes() -> tuple[Class, ...]:
    """The whole catalogue."""
    found: list[Class] = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text()):
            found.append(_class(entry, f"{path.name}: {entry.get('class')}"))
    names = [case.id for each in found for case in each.cases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CatalogueError(f"twice in the catalogue: {', '.join(sorted(twice))}")
    return tuple(found)


def cases() -> Iterator[Case]:
    """All cases."""
    for each in classes():
        yield from each.cases


def _class(entry: dict[str, Any], where: str) -> Class:
    _check(entry, _CLASS_FIELDS, where)
    defaults = {
        name: value for name, value in entry.items() if name in {"hook", "denies", "variants", "by", "uring"}
    }
    name = entry["class"]
    return Class(
        name, entry["about"], tuple(_case(name, {**defaults, **each}, where) for each in entry["cases"])
    )


def _case(klass: str, entry: dict[str, Any], where: str) -> Case:
    where = f"{where}: {entry.get('do')}"
    _check(entry, _CASE_FIELDS, where)
    variants = list(entry.get("variants", USUAL))
    if entry.get("uring"):
        variants.insert(1, "io_uring")
    case = Case(
        klass,
        entry["do"],
        entry["hook"],
        _denial(entry["denies"], where),
        by=entry.get("by", "policy"),
        needs=tuple(entry.get("needs", ())),
        deny=tuple(entry.get("deny", ())),
        natural=tuple(getattr(errno, name) for name in entry.get("natural", ())),
        variants=tuple(variants),
        since=_version(entry.get("since", "0.0")),
        before=_version(entry.get("before", "99.0")),
        container_since=_version(entry.get("container_since", "0.0")),
        against=entry.get("against", ""),
        twin=entry.get("twin", ""),
        in_container=_denial(entry["in_container"], where) if "in_container" in entry else None,
        open=entry.get("open", ""),
        open_in=tuple(entry.get("open_in", ())),
    )
    if case.by not in SUBJECTS or not set(case.variants) <= set(VARIANTS):
        raise CatalogueError(f"{where}: no such subject or variant")
    return case


def _check(entry: dict[str, Any], known: frozenset[str], where: str) -> None:
    if unknown := set(entry) - known:
        raise CatalogueError(f"{where}: unknown {', '.join(map(str, unknown))}")


def _denial(text: str, where: str) -> Denial:
    kind, _, what = text.rpartition(" ")
    if text == "jit":
        return Denial("jit")
    kind = kind or "right"
    known = {
        "right": [right.name.lower().replace("_", "-") for right in Right],
        "special": [special.word for special in Special],
        "builtin": [rule.name.lower().replace("_", "-") for rule in Builtin],
    }
    if kind not in (*known, "capability") or (kind in known and what not in known[kind]):
        raise CatalogueError(f"{where}: nothing denies `{text}`")
    return Denial(kind, what)


def _version(text: str) -> tuple[int, int]:
    if not isinstance(text, str):
        raise CatalogueError(f"{text}: a version is written in quotes")
    major, _, minor = text.partition(".")
    return int(major), int(minor)
