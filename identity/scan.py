"""Finding signed files in directories, verifying them, and not verifying again what has not changed."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from identity.catalogue import Catalogue, Conflict, Entry, Source
from identity.credential import SUFFIX
from identity.executables import walk
from identity.progress import Progress, silent
from identity.trust import Revoked, Trust
from identity.verify import Reason, Refused, Verified, verify_file

SETTLED_NS = 2_000_000_000
"""A file changed this recently could change again within one tick of its clock: its verdict is not kept."""

_REPORT_EVERY = 500
_THREADS = 4

Stamp = tuple[int, int, int, int, int]
"""(dev, ino, size, mtime_ns, ctime_ns): changes with any change of a file."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the last scan found of a file: its entry, or nothing where it carries no credential."""

    stamp: Stamp
    neighbour: Stamp | None
    entry: Entry | None


@dataclass(slots=True)
class Memory:
    """What a scan hands to the next one. It holds for one trust only."""

    trust: str = ""
    files: dict[str, Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found."""

    entries: tuple[Entry, ...]
    refused: tuple[Refused, ...]
    """Files that have a credential which does not hold."""
    files: int
    verified: int
    """How many files were judged anew; the others had not changed."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: str
    stamp: Stamp
    neighbour: Stamp | None


def scan(
    directories: Iterable[Path],
    trust: Trust,
    memory: Memory | None = None,
    *,
    now: float | None = None,
    progress: Progress = silent,
) -> Scan:
    """Verify every signed file below the directories. `memory` is read and brought up to date."""
    moment = time.time() if now is None else now
    memory = Memory() if memory is None else memory
    if memory.trust != trust.fingerprint:
        memory.files.clear()
    memory.trust = trust.fingerprint
    entries: list[Entry] = []
    refused: list[Refused] = []
    fresh: dict[str, Known] = {}
    changed: list[_Candidate] = []
    files = 0
    for candidate in _candidates(directories):
        files += 1
        if files % _REPORT_EVERY == 0:
            progress("looking for signed files", files, None)
        known = memory.files.get(candidate.path)
        if known is None or (known.stamp, known.neighbour) != (candidate.stamp, candidate.neighbour):
            changed.append(candidate)
        elif known.entry is None:
            fresh[candidate.path] = known
        elif not known.entry.expired(moment):
            fresh[candidate.path] = known
            entries.append(known.entry)
        else:
            changed.append(candidate)
    with ThreadPoolExecutor(_THREADS) as pool:
        verdicts = pool.map(
            lambda one: verify_file(Path(one.path), trust, moment, reached=_latest(one) / 1e9), changed
        )
        for done, (candidate, verdict) in enumerate(zip(changed, verdicts, strict=True), start=1):
            if done % _REPORT_EVERY == 0:
                progress("verifying signed files", done, len(changed))
            entry = verdict.entry() if isinstance(verdict, Verified) else None
            if entry is not None:
                entries.append(entry)
            elif isinstance(verdict, Refused) and verdict.reason is not Reason.NO_CREDENTIAL:
                refused.append(verdict)  # and judged again next time: its hour may come
                continue
            if _settled(candidate):
                fresh[candidate.path] = Known(candidate.stamp, candidate.neighbour, entry)
    memory.files = fresh
    return Scan(tuple(entries), tuple(refused), files, len(changed))


def refresh(catalogue: Catalogue, found: Scan) -> list[Conflict]:
    """Put a scan's entries in the place of the catalogue's signed ones."""
    catalogue.drop_source(Source.SIGNED)
    return catalogue.merge(found.entries)


def withdraw(catalogue: Catalogue, trust: Trust, now: float) -> list[Entry]:
    """Take out of a catalogue every entry, from whatever source, whose digest is revoked."""
    gone = [entry for entry in catalogue if trust.revocation(Revoked.FILE, entry.digest.hex(), now)]
    for entry in gone:
        catalogue.discard(entry.digest)
    return gone


def last_change(path: Path) -> float:
    """What the clock showed when a file or its credential was last changed, in seconds since the epoch.

    Whoever may set the clock, or mount a file system of his own, can make it up: then what is not valid yet
    is valid early. What has ended, or is revoked, is judged by the clock alone. 0 for what is not a file.
    """
    own = _stamp(str(path))
    return _latest(_Candidate(str(path), own, _stamp(str(path) + SUFFIX))) / 1e9 if own else 0.0


def _candidates(directories: Iterable[Path]) -> Iterator[_Candidate]:
    for directory in directories:
        for entry in walk(directory):
            if entry.name.endswith(SUFFIX):
                continue
            own = _stamp(entry.path)
            if own is not None:
                yield _Candidate(entry.path, own, _stamp(entry.path + SUFFIX))


def _stamp(path: str) -> Stamp | None:
    try:
        known = Path(path).stat()
    except OSError:
        return None
    if not stat.S_ISREG(known.st_mode):
        return None
    return (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)


def _settled(candidate: _Candidate) -> bool:
    """Whether the file is still as it was before it was verified, and has been for a while."""
    stamps = (candidate.stamp, candidate.neighbour)
    if (_stamp(candidate.path), _stamp(candidate.path + SUFFIX)) != stamps:
        return False
    return _latest(candidate) + SETTLED_NS < time.time_ns()


def _latest(candidate: _Candidate) -> int:
    """ctime of the file or its credential, in nanoseconds."""
    return max(one[4] for one in (candidate.stamp, candidate.neighbour) if one is not None)
