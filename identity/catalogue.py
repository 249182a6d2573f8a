"""The catalogue: which identity a file's sha256 stands for, on whose word, and until when."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from identity.errors import IdentityError
from identity.names import check_name, identity_id, ids

DIGEST_BYTES = 32


class Source(enum.StrEnum):
    """Who vouched for a digest; where two claim the same bytes, the earlier member here wins."""

    PACKAGE = "package"
    """The distribution's package database. First, so that no signature can rename an os/ program's bytes."""
    ENROLLED = "enrolled"
    """An administrator of this host."""
    SIGNED = "signed"
    """A statement signed by a trusted key."""


_STRENGTH = {source: rank for rank, source in enumerate(Source)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One digest and what is known of it. Times are whole seconds since the epoch."""

    digest: bytes
    identity: str
    source: Source
    path: str
    expires: int | None = None
    evidence: str = ""
    """What was checked: `key:<id>`, `signed-metadata`, `md5sums`, or the enrolling person's reason."""
    by: str = ""
    at: int | None = None

    def __post_init__(self) -> None:
        if len(self.digest) != DIGEST_BYTES:
            raise IdentityError(f"a catalogue digest has {len(self.digest)} bytes, not {DIGEST_BYTES}")
        check_name(self.identity)

    @property
    def identity_id(self) -> int:
        """The id that the kernel knows this identity by."""
        return identity_id(self.identity)

    def expired(self, now: float) -> bool:
        """Whether the word that this entry rests on has lapsed."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two claims of different identities on the same bytes; `kept` is in force."""

    kept: Entry
    refused: Entry

    def __str__(self) -> str:
        return (
            f"{self.refused.path}: has the same bytes as {self.kept.path}, which is {self.kept.identity} "
            f"({self.kept.source}); the claim of {self.refused.identity} ({self.refused.source}) is not taken"
        )


@dataclass(frozen=True, slots=True)
class Diff:
    """What to do to a kernel map that holds the old catalogue so that it holds the new one."""

    added: tuple[Entry, ...]
    """New digests, and digests whose identity changed."""
    removed: tuple[Entry, ...]
    """Digests that are gone (not those that changed)."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


class Catalogue:
    """Entries by digest. One digest has one identity; conflicts go by source, then by who was first."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[bytes, Entry] = {}
        self.merge(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]  # it changes

    def get(self, digest: bytes) -> Entry | None:
        """The entry of a digest, expired or not; None for the unidentified."""
        return self._entries.get(digest)

    def lookup(self, digest: bytes, now: float) -> Entry | None:
        """The entry of a digest if it holds at `now`."""
        entry = self._entries.get(digest)
        return None if entry is None or entry.expired(now) else entry

    def add(self, entry: Entry) -> Conflict | None:
        """Take in an entry. Of two identities for the same bytes the stronger source's stays."""
        present = self._entries.get(entry.digest)
        if present is None:
            self._entries[entry.digest] = entry
            return None
        weaker = _STRENGTH[entry.source] > _STRENGTH[present.source]
        if present.identity == entry.identity:
            if not weaker:
                self._entries[entry.digest] = entry
            return None
        if _STRENGTH[entry.source] < _STRENGTH[present.source]:
            self._entries[entry.digest] = entry
            return Conflict(kept=entry, refused=present)
        return Conflict(kept=present, refused=entry)

    def merge(self, entries: Iterable[Entry]) -> list[Conflict]:
        """Take in many entries and report what was not taken as claimed."""
        return [conflict for entry in entries if (conflict := self.add(entry)) is not None]

    def discard(self, digest: bytes) -> Entry | None:
        """Take an entry out; None if there was none."""
        return self._entries.pop(digest, None)

    def drop_source(self, source: Source) -> int:
        """Take out everything that rests on one source, before it is read anew; returns how many."""
        gone = [digest for digest, entry in self._entries.items() if entry.source is source]
        for digest in gone:
            del self._entries[digest]
        return len(gone)

    def expire(self, now: float) -> list[Entry]:
        """Take out what has lapsed and return it."""
        gone = [entry for entry in self if entry.expired(now)]
        for entry in gone:
            del self._entries[entry.digest]
        return gone

    def next_expiry(self) -> int | None:
        """When the next entry lapses; None if none ever does."""
        return min((entry.expires for entry in self if entry.expires is not None), default=None)

    def identities(self) -> dict[int, str]:
        """Identity ids and their names. Two names with one id are refused."""
        return ids({entry.identity for entry in self})

    def pairs(self, now: float) -> Iterator[tuple[bytes, int]]:
        """What the kernel needs: (digest, identity id) of every entry that holds at `now`."""
        return ((entry.digest, identity_id(entry.identity)) for entry in self if not entry.expired(now))


def diff(old: Catalogue, new: Catalogue) -> Diff:
    """What changed for the kernel between two catalogues."""
    added = []
    for entry in new:
        before = old.get(entry.digest)
        if before is None or before.identity != entry.identity:
            added.append(entry)
    return Diff(tuple(added), tuple(entry for entry in old if entry.digest not in new))
