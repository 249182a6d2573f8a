"""The verdicts of one row on one class of objects, from the rules that match it.

The order: an enforced explicit deny (Protections first, then the policy's own, each in the order of the
files); an enforced default denial; an explicit deny in audit, then the default in audit; else allowed, by
the first rule that did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.compile.cells import (
    ALL_RIGHTS,
    ALLOWED,
    AUDITED_DEFAULT,
    AUDITED_DENY,
    ENFORCED_DEFAULT,
    ENFORCED_DENY,
    N_RIGHTS,
    Cell,
    Cells,
    key,
    plain,
)
from policies.compile.plan import Guard, Row, Unit
from policies.image import Right

UNCONFINED_PROPERTIES: Final = 1 << Right.WAIVE_EXECUTE_UNSIGNED | 1 << Right.WAIVE_MAP_UNSIGNED
LIST: Final = 1 << Right.LIST
MAP_EXEC: Final = 1 << Right.MAP_EXEC
EXECUTE: Final = 1 << Right.EXECUTE
READ: Final = 1 << Right.READ
MOUNT: Final = 1 << Right.MOUNT
"""Mounting over an object is only ever denied by a Protection; `special` says who mounts at all."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matches, in full or only for listing the directory that its pattern is below."""

    rule: Unit
    listing: bool

    @property
    def allow(self) -> int:
        """What it allows here."""
        return self.rule.allow & LIST if self.listing else self.rule.allow

    @property
    def deny(self) -> int:
        """What it denies here."""
        return self.rule.deny & LIST if self.listing else self.rule.deny


@dataclass(frozen=True, slots=True)
class GuardMatch:
    """A Protection that matches."""

    guard: Guard
    listing: bool

    @property
    def deny(self) -> int:
        """What it denies here."""
        return self.guard.deny & LIST if self.listing else self.guard.deny


@dataclass(slots=True)
class _Verdicts:
    """By right: the first rule that allows, denies in earnest, denies in audit."""

    allowed: list[int]
    enforced: list[int]
    audited: list[int]


def decide(cells: Cells, row: Row, matches: Sequence[Match], guards: Sequence[GuardMatch]) -> int:
    """The number of the cell of `row`; `matches` and `guards`, all for this row, in order."""
    without = _cell(row, matches, ())
    if not guards:
        return cells.number(without)
    foreign = cells.number(without)
    return cells.number(replace(_cell(row, matches, guards), foreign=foreign))


def _cell(row: Row, matches: Sequence[Match], guards: Sequence[GuardMatch]) -> Cell:
    verdicts = _Verdicts([0] * N_RIGHTS, [0] * N_RIGHTS, [0] * N_RIGHTS)
    allow, properties = _allow(row, matches, verdicts)
    implied = row.confined and _maps_by_reading(matches)
    for guard in guards:
        _deny(verdicts, guard.deny, guard.guard.number, guard.guard.enforce, implied)
    for match in matches:
        if match.rule.deny:
            _deny(verdicts, match.deny, match.rule.number, match.rule.enforce, implied)
    keys = tuple(_key(row, verdicts, right, allow >> right & 1) for right in range(N_RIGHTS))
    return plain(keys, properties)


def _allow(row: Row, matches: Sequence[Match], verdicts: _Verdicts) -> tuple[int, int]:
    """The rights that some rule allows, and the waivers."""
    if not row.confined:
        return ALL_RIGHTS, UNCONFINED_PROPERTIES
    allow, properties = MOUNT, 0
    for match in matches:
        rights = match.allow
        if rights & READ:
            rights |= MAP_EXEC
        for right in range(N_RIGHTS):
            if rights & ~allow & 1 << right:
                verdicts.allowed[right] = match.rule.number
        if rights & EXECUTE and not allow & EXECUTE and match.rule.as_self:
            properties |= 1 << Right.EXEC_AS_SELF
        if not match.listing:
            properties |= match.rule.properties
        allow |= rights
    return allow, properties


def _maps_by_reading(matches: Sequence[Match]) -> bool:
    """Whether mapping code is allowed only because reading is: then denying the one denies the other."""
    return any(match.allow & READ for match in matches) and not any(
        match.allow & MAP_EXEC for match in matches
    )


def _deny(verdicts: _Verdicts, deny: int, number: int, enforce: bool, implied: bool) -> None:
    if deny & READ and implied:
        deny |= MAP_EXEC
    found = verdicts.enforced if enforce else verdicts.audited
    for right in range(N_RIGHTS):
        if deny >> right & 1 and not found[right]:
            found[right] = number


def _key(row: Row, verdicts: _Verdicts, right: int, allowed: int) -> int:
    if verdicts.enforced[right]:
        return key(ENFORCED_DENY, verdicts.enforced[right])
    if not allowed and row.enforced:
        return key(ENFORCED_DEFAULT, row.default_rule)
    if verdicts.audited[right]:
        return key(AUDITED_DENY, verdicts.audited[right])
    if not allowed:
        return key(AUDITED_DEFAULT, row.default_rule)
    return key(ALLOWED, verdicts.allowed[right])
