"""Looking for signed programs in the configured folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from identity.catalogue import Entry
from identity.credential import SUFFIX
from identity.trust import Trust
from identity.verify import Reason, Refused, Verified, verify_file

_Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    entries: tuple[Entry, ...]
    refused: tuple[Refused, ...]
    """Files that carry a credential which does not hold."""
    files: int


@dataclass(slots=True)
class Scanner:
    """Searches folders; a file that has not changed since, under the same trust, is not read again."""

    folders: tuple[str, ...]
    _known: dict[Path, tuple[_Stamp, Verified | Refused]] = field(default_factory=dict)
    _fingerprint: str = ""

    def scan(self, trust: Trust, now: float) -> Found:
        """Verify every program that carries a credential."""
        if trust.fingerprint != self._fingerprint:
            self._known, self._fingerprint = {}, trust.fingerprint
        fresh: dict[Path, tuple[_Stamp, Verified | Refused]] = {}
        files = 0
        for path, stamp in _candidates(self.folders):
            files += 1
            known = self._known.get(path)
            result = known[1] if known and known[0] == stamp and _lasts(known[1], now) else None
            if result is None:
                result = verify_file(path, trust, now)
            fresh[path] = (stamp, result)
        self._known = fresh
        results = [result for _, result in fresh.values()]
        return Found(
            tuple(result.entry() for result in results if isinstance(result, Verified)),
            tuple(r for r in results if isinstance(r, Refused) and r.reason is not Reason.NO_CREDENTIAL),
            files,
        )


def _lasts(result: Verified | Refused, now: float) -> bool:
    """Whether time alone cannot have changed the result."""
    if isinstance(result, Verified):
        return now < result.expires
    return result.reason not in (Reason.NOT_YET_VALID, Reason.KEY_NOT_VALID, Reason.UNREADABLE)


def _candidates(folders: Iterable[str]) -> Iterator[tuple[Path, _Stamp]]:
    """Regular files that may be run, or that have a credential beside them."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            beside = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
            for name in names:
                path = Path(parent, name)
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and (status.st_mode & 0o111 or name in beside):
                    yield path, (*_stamp(status), *_stamp_of(path.with_name(name + SUFFIX), name in beside))


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _stamp_of(path: Path, present: bool) -> _Stamp:
    try:
        return _stamp(path.stat()) if present else ()
    except OSError:
        return ()
