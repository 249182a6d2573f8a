"""The distribution's own programs: `os/<package>` for each file whose digest the package system vouches for.

The best witness is the chain InRelease -> Packages -> .deb -> file. Where a link is missing, dpkg's md5sums
are asked: they find damage and careless change, not an intruder who could also write the database. Each entry
says which of the two it rests on, and what neither covers has no identity.
"""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from identity import apt_lists, deb, dpkg
from identity.apt_lists import DebKey, SignedDebs
from identity.catalogue import Entry, Source
from identity.dpkg import Package
from identity.errors import IdentityError
from identity.executables import digests, is_code
from identity.progress import Progress, silent
from identity.tree import Tree

PREFIX = "os/"
_THREADS = 4
_REPORT_EVERY = 2000


class Witness(enum.StrEnum):
    """What a package file was checked against; the beginning of its entry's evidence."""

    SIGNED = "signed-metadata"
    MD5SUMS = "md5sums"


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that got no identity, and why."""

    path: str
    package: str
    why: str


@dataclass(slots=True)
class Report:
    """What enrolling the packages came to."""

    packages: int = 0
    """Packages that have code."""
    entries: list[Entry] = field(default_factory=list)
    checked: Counter[Witness] = field(default_factory=Counter)
    refused: list[Fault] = field(default_factory=list)
    """Files that are not what their package brought."""
    uncovered: list[Fault] = field(default_factory=list)
    """Files that nothing vouches for."""
    conffiles: int = 0
    """Configuration files that are code (init scripts): meant to be edited, so never vouched for."""
    unsigned: Counter[str] = field(default_factory=Counter)
    """Why packages were not checked against signed metadata, and how many."""
    releases: tuple[str, ...] = ()
    """The signed releases that were used."""
    problems: tuple[str, ...] = ()
    """What kept signed metadata from being used."""


@dataclass(frozen=True, slots=True)
class _File:
    listed: str
    """As the package has it."""
    actual: str
    """Where it is: diversions and the links of directories followed."""


@dataclass(frozen=True, slots=True)
class _Work:
    package: Package
    files: tuple[_File, ...]


def enrol(
    root: Path = Path("/"),
    *,
    debs: Iterable[Path] = (),
    keyrings: Iterable[Path] | None = None,
    now: float | None = None,
    progress: Progress = silent,
) -> Report:
    """Check the code of every installed package; `root` may be an offline tree, `debs` hold .debs."""
    tree = Tree(root)
    database = tree.outside("/var/lib/dpkg")
    installed = dpkg.installed(database)
    report = Report()
    work = list(_code(installed, dpkg.diversions(database), tree, report, progress))
    report.packages = len(work)
    progress("reading signed metadata", 0, None)
    signed = apt_lists.read(
        tree.outside("/var/lib/apt/lists"),
        {one.package.name for one in work},
        apt_lists.archive_keyrings() if keyrings is None else keyrings,
    )
    report.releases, report.problems = signed.releases, signed.problems
    available = deb.index([tree.outside("/var/cache/apt/archives"), *debs])
    moment = int(time.time() if now is None else now)
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(lambda one: _check(one, tree, signed, available, moment), work)
        for done, part in enumerate(parts, start=1):
            progress("checking packages", done, len(work))
            report.entries += part.entries
            report.checked += part.checked
            report.refused += part.refused
            report.uncovered += part.uncovered
            report.unsigned += part.unsigned
    return report


def _code(
    installed: list[Package],
    diverted: dict[str, dpkg.Diversion],
    tree: Tree,
    report: Report,
    progress: Progress,
) -> Iterator[_Work]:
    total = sum(len(package.files) for package in installed)
    seen = 0
    for package in installed:
        files = []
        for listed in package.files:
            seen += 1
            if seen % _REPORT_EVERY == 0:
                progress("looking for code in packages", seen, total)
            actual = tree.canonical(dpkg.location(listed, package.name, diverted))
            if not is_code(tree.outside(actual)):  # what a link leads to is judged under its own name
                continue
            if listed in package.conffiles:
                report.conffiles += 1
            else:
                files.append(_File(listed, actual))
        if files:
            yield _Work(package, tuple(files))


def _check(work: _Work, tree: Tree, signed: SignedDebs, available: dict[DebKey, Path], now: int) -> Report:
    package, part = work.package, Report()
    contents: dict[str, bytes] | None = None
    try:
        contents = _signed_contents(work, signed, available)
    except IdentityError as error:
        part.unsigned[error.message] += 1
    witness = Witness.MD5SUMS if contents is None else Witness.SIGNED
    for file in work.files:
        try:
            found = digests(tree.outside(file.actual))
        except (OSError, IdentityError):
            part.uncovered.append(Fault(file.actual, package.name, "it cannot be read"))
            continue
        if contents is None:
            wanted, is_so = package.md5sums.get(file.listed), found.md5
            nothing, other = "the package has no md5sum of it", "it differs from the package's md5sums"
        else:
            wanted, is_so = contents.get(file.listed), found.sha256
            nothing, other = "it is not in the signed .deb", "it differs from the signed .deb"
        if wanted is None:
            part.uncovered.append(Fault(file.actual, package.name, nothing))
        elif wanted != is_so:
            part.refused.append(Fault(file.actual, package.name, other))
        else:
            part.checked[witness] += 1
            part.entries.append(
                Entry(
                    digest=found.sha256,
                    identity=PREFIX + package.name,
                    source=Source.PACKAGE,
                    path=file.actual,
                    evidence=f"{witness} {package}",
                    by="dpkg",
                    at=now,
                )
            )
    return part


def _signed_contents(work: _Work, signed: SignedDebs, available: dict[DebKey, Path]) -> dict[str, bytes]:
    """The digests that the signed chain gives for a package's files; an error says which link is missing."""
    package = work.package
    key = (package.name, package.version, package.architecture)
    if not signed.releases:
        raise IdentityError("there is no signed metadata that could be used")
    digest = signed.digests.get(key)
    if digest is None:
        raise IdentityError("the installed version is not in the signed metadata")
    path = available.get(key)
    if path is None:
        raise IdentityError("its .deb is neither in the apt cache nor in a directory given with --debs")
    wanted = frozenset(file.listed for file in work.files)
    return deb.checked_contents(path, digest, wanted.__contains__)
