"""Who may be who: trust roots, the catalogue, signed programs, and the kernel's copy of it all.

The catalogue file (packages, enrolled programs) belongs to `menshen identity enrol`; signed programs are
found by searching. The kernel's table is always made to equal what holds now, in one change.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcer.agent.gateway import GateLike
from enforcer.agent.rings import Journal
from enforcer.errors import Problem
from enforcer.names import Names
from enforcer.places import Places
from identity import catalogue_file, scan, trust_file
from identity.catalogue import Catalogue, Source
from identity.errors import IdentityError
from identity.trust import Trust

log = logging.getLogger("menshen.credentials")


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at the host changed in the kernel's table."""

    total: int
    added: int = 0
    removed: int = 0
    problems: tuple[Problem, ...] = ()


class Credentials:
    """The catalogue in force."""

    def __init__(
        self,
        places: Places,
        folders: Iterable[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._places = places
        self._folders = tuple(folders)
        self._memory = scan.Memory()
        self.names = Names()
        self._clock = clock
        self._lock = threading.Lock()
        self._trust = Trust()
        self.catalogue = Catalogue()

    def load(self, *, search: bool = True) -> tuple[Problem, ...]:
        """Read everything anew. What cannot be read is a problem, and its part of the old stays in force.

        Without `search` only the catalogue file and the trust roots: enough to begin with, not to `push`.
        """
        with self._lock:
            return self._load(search)

    def _load(self, search: bool) -> tuple[Problem, ...]:
        problems: list[Problem] = []
        now = self._clock()
        fresh = Catalogue()
        try:
            stored = catalogue_file.load(self._places.catalogue) if self._places.catalogue.exists() else ()
            fresh.merge(entry for entry in stored if entry.source is not Source.SIGNED)
        except IdentityError as error:
            problems.append(_problem(error))
            fresh.merge(entry for entry in self.catalogue if entry.source is not Source.SIGNED)
        try:
            folder = self._places.trust
            self._trust = trust_file.load([folder]) if folder.is_dir() else Trust()
        except IdentityError as error:
            problems.append(_problem(error))
        if search:
            found = scan.scan(_without_ours(self._folders), self._trust, self._memory, now=now)
            conflicts = scan.refresh(fresh, found)
            problems += [Problem(str(refused), str(refused.path), warning=True) for refused in found.refused]
            problems += [Problem(str(clash), clash.refused.path, warning=True) for clash in conflicts]
        fresh.expire(now)
        scan.withdraw(fresh, self._trust, now)
        try:
            self.names.learn(fresh.identities())
        except IdentityError as error:
            return (*problems, _problem(error))
        self.catalogue = fresh
        return tuple(problems)

    def push(self, gate: GateLike, journal: Journal | None = None) -> Change:
        """Make the kernel's table equal to the catalogue as it holds now."""
        with self._lock:
            now = self._clock()
            gone = [(entry, "has expired") for entry in self.catalogue.expire(now)]
            gone += [(entry, "is revoked") for entry in scan.withdraw(self.catalogue, self._trust, now)]
            for entry, what in gone if journal else ():
                assert journal is not None
                text = f"the credential of {entry.identity} {what}: it has no identity from its next start on"
                journal.notice(text, subject=entry.identity, path=entry.path)
            wanted = dict(self.catalogue.pairs(now))
            there = gate.credentials()
            add = {digest: identity for digest, identity in wanted.items() if there.get(digest) != identity}
            remove = [digest for digest in there if digest not in wanted]
            if add or remove:
                gate.set_credentials(add, remove)
            return Change(len(wanted), len(add), len(remove))

    def lookup(self, digest: bytes) -> int | None:
        """The identity id of a file's sha256."""
        entry = self.catalogue.lookup(digest, self._clock())
        return entry.identity_id if entry else None

    def known(self) -> frozenset[str]:
        """The identities that some program on this host can have."""
        return frozenset(entry.identity for entry in self.catalogue)

    def next_expiry(self) -> int | None:
        """When the next credential lapses."""
        return self.catalogue.next_expiry()


def _without_ours(folders: Iterable[str]) -> Iterator[Path]:
    """The folders, without Menshen's own environment: it has thousands of files and no statements."""
    ours = Path(sys.prefix)
    for folder in map(Path, folders):
        if folder in ours.parents and folder.is_dir():
            yield from (path for path in folder.iterdir() if path != ours and path not in ours.parents)
        elif folder != ours:
            yield folder


def _problem(error: IdentityError) -> Problem:
    place = error.place
    if place is None:
        return Problem(error.message, rendered=str(error))
    return Problem(error.message, place.file, place.line, place.column, str(error))
