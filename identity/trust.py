"""Whom this host believes: keys, the names that each may give, and what was taken back."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from identity.errors import Place
from identity.names import RESERVED_PREFIXES, matches

if TYPE_CHECKING:
    from identity.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Grant:
    """One key's entry in one trust root."""

    root: str
    key: PublicKey
    identities: tuple[str, ...]
    reserved: tuple[str, ...]
    """The reserved prefixes that the root opens explicitly."""
    not_before: int | None
    expires: int | None
    place: Place

    def gives(self, name: str) -> bool:
        """Whether this key may give this name."""
        held = next((prefix for prefix in RESERVED_PREFIXES if name.startswith(prefix)), None)
        if held is not None and held not in self.reserved:
            return False
        return any(matches(pattern, name) for pattern in self.identities)


class Revoked(enum.StrEnum):
    """What a revocation takes back; the values are the field names in a trust root."""

    KEY = "keyId"
    FILE = "sha256"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Something that is believed no more from `since` on (always, without it), whatever other roots say."""

    kind: Revoked
    value: str
    since: int | None
    reason: str
    root: str

    def in_force(self, now: float) -> bool:
        """Whether it has begun."""
        return self.since is None or now >= self.since


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """One document."""

    name: str
    grants: tuple[Grant, ...]
    revocations: tuple[Revocation, ...]
    place: Place


class Trust:
    """All trust roots of a host together: grants add up, revocations hold for all."""

    def __init__(self, roots: Iterable[TrustRoot] = ()) -> None:
        self.roots = tuple(roots)
        self._grants: dict[str, list[Grant]] = {}
        self._revocations: dict[tuple[Revoked, str], list[Revocation]] = {}
        for root in self.roots:
            for grant in root.grants:
                self._grants.setdefault(grant.key.key_id, []).append(grant)
            for revocation in root.revocations:
                self._revocations.setdefault((revocation.kind, revocation.value), []).append(revocation)

    def grants(self, key_id: str) -> tuple[Grant, ...]:
        """What is known of a key; nothing for an unknown one."""
        return tuple(self._grants.get(key_id, ()))

    def revocation(self, kind: Revoked, value: str, now: float) -> Revocation | None:
        """The revocation in force of a key, file or statement."""
        return next((one for one in self._of(kind, value) if one.in_force(now)), None)

    def revoked_from(self, kind: Revoked, value: str) -> int | None:
        """When a revocation that is only announced will begin."""
        return min((one.since for one in self._of(kind, value) if one.since is not None), default=None)

    def _of(self, kind: Revoked, value: str) -> Iterator[Revocation]:
        return iter(self._revocations.get((kind, value), ()))

    @property
    def fingerprint(self) -> str:
        """Changes whenever anything that is believed changes."""
        parts: list[str] = []
        for root in sorted(self.roots, key=lambda root: root.name):
            parts += [
                repr((root.name, g.key.key_id, g.identities, g.reserved, g.not_before, g.expires))
                for g in root.grants
            ]
            parts += [repr((root.name, r.kind.value, r.value, r.since)) for r in root.revocations]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
