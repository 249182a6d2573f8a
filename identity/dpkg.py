"""The dpkg database, of this host or of a tree: what is installed, which files that is, and their md5sums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from identity.errors import IdentityError, Place
from identity.files import read_limited

MAX_DATABASE = 256 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}\Z")
_MD5 = re.compile(r"([0-9a-f]{32})  (.+)\Z")
_INSTALLED = frozenset({"installed", "triggers-awaited", "triggers-pending"})


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package."""

    name: str
    version: str
    architecture: str
    files: tuple[str, ...]
    md5sums: dict[str, bytes] = field(repr=False)
    conffiles: frozenset[str] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.architecture}"


@dataclass(frozen=True, slots=True)
class Diversion:
    """A file that one package (or the administrator) moved out of the way of the others."""

    path: str
    moved_to: str
    by: str


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a control file (status, Packages, Release): fields by their names in lower case."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + line[1:]
        else:
            name, colon, value = line.partition(":")
            last = name.lower() if colon else ""
            if last:
                fields[last] = value.strip()
    if fields:
        yield fields


def installed(database: Path) -> list[Package]:
    """The installed packages, by name. `database` is /var/lib/dpkg, or that of a tree."""
    status = database / "status"
    text = _text(status)
    found = []
    for stanza in stanzas(text):
        if stanza.get("status", "").split(" ")[-1] not in _INSTALLED:
            continue
        name, architecture = stanza.get("package", ""), stanza.get("architecture", "")
        if not _NAME.match(name) or "/" in architecture or not architecture:
            raise IdentityError(f"a stanza has the package name {name[:40]!r}", place=Place(str(status)))
        found.append(_package(database / "info", name, architecture, stanza))
    return sorted(found, key=lambda package: (package.name, package.architecture))


def diversions(database: Path) -> dict[str, Diversion]:
    """The diversions in force, by the path that is diverted."""
    path = database / "diversions"
    if not path.exists():
        return {}
    lines = _text(path).splitlines()
    triples = zip(lines[0::3], lines[1::3], lines[2::3], strict=False)
    return {old: Diversion(old, new, by) for old, new, by in triples}


def location(path: str, package: str, diverted: dict[str, Diversion]) -> str:
    """Where a package's file really is: a diverted one has moved, but not for who diverted it."""
    diversion = diverted.get(path)
    return path if diversion is None or diversion.by == package else diversion.moved_to


def _package(info: Path, name: str, architecture: str, stanza: dict[str, str]) -> Package:
    listed = _info(info, name, architecture, "list")
    sums: dict[str, bytes] = {}
    for line in _info(info, name, architecture, "md5sums").splitlines():
        if match := _MD5.match(line):
            sums["/" + match[2].removeprefix("./")] = bytes.fromhex(match[1])
    conffiles = frozenset(
        line.split(" ")[0] for line in stanza.get("conffiles", "").split("\n") if line.startswith("/")
    )
    files = tuple(path for path in listed.splitlines() if path.startswith("/") and path != "/.")
    return Package(name, stanza.get("version", ""), architecture, files, sums, conffiles)


def _info(info: Path, name: str, architecture: str, kind: str) -> str:
    for file in (info / f"{name}:{architecture}.{kind}", info / f"{name}.{kind}"):
        if file.is_file():
            return _text(file)
    return ""


def _text(path: Path) -> str:
    return read_limited(path, MAX_DATABASE, "package database").decode("utf-8", "surrogateescape")
