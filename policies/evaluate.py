"""The evaluator: reads a policy image, and nothing else, and decides as the kernel programs do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from policies import meta, pattern, sections
from policies.image import (
    ROW_UNCONFINED,
    ROW_UNIDENTIFIED,
    STATE_FLAGS,
    STATE_SINK,
    SYM_BYTE,
    SYM_CLASS,
    SYM_DEFAULT,
    SYM_SUBTREE,
    Builtin,
    Right,
    RowFlag,
    Special,
)
from policies.names import UNIDENTIFIED, identity_id

NO_RIGHT: Final = 255
"""The right of verdicts on special rights and capabilities, which are not rights on objects."""

_AMONG_KIN: Final = (Special.KILL, Special.SCHEDULE_OTHERS)
"""Need no special right toward processes of the same subject."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer: what happens, whether there is an event, and whether the denial is real.

    `rule` is the one that decided (0 for what no rule had to allow), `right` the bit it is about.
    """

    allowed: bool
    reported: bool = False
    enforced: bool = False
    rule: int = 0
    right: int = NO_RIGHT


ALLOWED: Final = Verdict(allowed=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one row may do with one class."""

    allow: int
    enforce: int
    denied: int
    any: int
    foreign: int
    rules: tuple[int, ...]


class Evaluator:
    """Classifies strings and decides on rights, from an image."""

    def __init__(self, image: bytes) -> None:
        found = sections.read(image)
        self.header = header = found.header
        self.rows, self.cells, self.grid = found.rows, found.cells, found.grid
        self.identities, self.targets = found.identities, found.targets
        self.sequences, self.slots = found.sequences, found.slots
        self._owner: list[int] = found.owners.tolist()
        self._next: list[int] = found.entries["next"].tolist()
        self.start = int(header["start"]) & ~STATE_FLAGS
        self._meta_bytes = found.meta
        self._meta: meta.Meta | None = None
        self._row_of = {int(each["identity"]): int(each["row"]) for each in self.identities}
        self._cells: dict[int, Cell] = {}

    @property
    def meta(self) -> meta.Meta:
        """The names behind the numbers."""
        if self._meta is None:
            self._meta = meta.decode(self._meta_bytes)
        return self._meta

    def row(self, subject: str | int | None) -> int:
        """The row of an identity, by name or id; None or 0 is the unidentified."""
        identity = identity_id(subject) if isinstance(subject, str) else subject or UNIDENTIFIED
        if identity == UNIDENTIFIED:
            return ROW_UNIDENTIFIED
        return self._row_of.get(identity, ROW_UNCONFINED)

    def flags(self, row: int) -> RowFlag:
        """The flags of a row."""
        return RowFlag(int(self.rows[row]["flags"]))

    def confined(self, row: int) -> bool:
        """Whether the row has a policy."""
        return RowFlag.CONFINED in self.flags(row)

    def step(self, state: int, symbol: int) -> int:
        """The `next` of a state for a symbol; it may carry STATE_FLAGS."""
        state &= ~STATE_FLAGS
        if self._owner[state + symbol] == state:
            return self._next[state + symbol]
        return self._next[state + SYM_DEFAULT]

    def state(self, text: bytes) -> int:
        """The state after reading all of `text`."""
        state = self.start
        for byte in text:
            if state & STATE_SINK:
                break
            state = self.step(state, SYM_BYTE + byte)
        return state & ~STATE_FLAGS

    def classify(self, text: bytes) -> tuple[int, int]:
        """The object class of a path, an abstract name or an endpoint; and the state."""
        state = self.state(text)
        return self.class_of(state), state

    def class_of(self, state: int) -> int:
        """The object class of what ends in `state`."""
        return self.step(state, SYM_CLASS)

    def inside(self, state: int) -> int:
        """The state behind the slash that follows: directories with the same one have the same below."""
        return self.step(state, SYM_BYTE + pattern.SLASH)

    def subtree(self, state: int) -> int:
        """The class that stands for everything strictly below the directory whose name ends in `state`."""
        return self.step(state, SYM_SUBTREE)

    def cell(self, row: int, number: int, *, foreign: bool = False) -> Cell:
        """What a row may do with a class; `foreign` objects are out of the Protections' reach."""
        at = int(self.grid[row, number])
        if foreign:
            at = int(self.cells[at]["foreign"])
        found = self._cells.get(at)
        if found is None:
            entry: Any = self.cells[at]
            found = self._cells[at] = Cell(
                allow=int(entry["allow"]),
                enforce=int(entry["enforce"]),
                denied=int(entry["denied"]),
                any=int(entry["any"]),
                foreign=int(entry["foreign"]),
                rules=tuple(int(rule) for rule in entry["rule"]),
            )
        return found

    def decide(
        self, row: int, number: int, wanted: int, *, foreign: bool = False, alias: int | None = None
    ) -> Verdict:
        """The answer for all rights in the mask `wanted` on an object of a class.

        `alias` is the class of another, protected name of the file: what that denies by name is denied here.
        """
        cell = self.cell(row, number, foreign=foreign)
        verdict = _judge(cell, wanted & ~cell.allow, wanted)
        if alias is None or verdict.enforced:
            return verdict
        by_alias = self.denial(row, alias, wanted, foreign=foreign)
        told = by_alias.enforced or (by_alias.reported and not verdict.reported)
        return by_alias if told else verdict

    def denial(self, row: int, number: int, wanted: int, *, foreign: bool = False) -> Verdict:
        """Only what is denied by name, by a deny rule or a Protection; what is merely not allowed passes."""
        cell = self.cell(row, number, foreign=foreign)
        return _judge(cell, wanted & cell.denied & ~cell.allow, wanted)

    def builtin(self, row: int, rule: Builtin, right: Right) -> Verdict:
        """A denial that no class decides; it binds the confined, in the mode of their policy."""
        flags = self.flags(row)
        if RowFlag.CONFINED not in flags:
            return ALLOWED
        enforced = RowFlag.UNRESOLVED_ENFORCE in flags
        return Verdict(not enforced, reported=True, enforced=enforced, rule=rule, right=right)

    def special(self, row: int, special: Special, target: str | int | None = None) -> Verdict:
        """A special right; `target` is the identity that it is used on, where it is used on somebody."""
        entry: Any = self.rows[row]
        if int(entry["special"]) >> special & 1:
            return ALLOWED
        if target is not None:
            identity = identity_id(target) if isinstance(target, str) else target
            # The unidentified are nobody's kin.
            if special in _AMONG_KIN and identity == int(entry["identity"]) != UNIDENTIFIED:
                return ALLOWED
            first = int(entry["targets"])
            for each in self.targets[first : first + int(entry["n_targets"])]:
                if int(each["identity"]) == identity and int(each["special"]) >> special & 1:
                    return ALLOWED
        enforced = bool(int(entry["special_enforce"]) >> special & 1)
        return Verdict(not enforced, True, enforced, int(entry["special_rule"]))

    def capability(self, row: int, number: int) -> Verdict:
        """A capability by its number."""
        entry: Any = self.rows[row]
        if int(entry["capabilities"]) >> number & 1:
            return ALLOWED
        enforced = bool(int(entry["capabilities_enforce"]) >> number & 1)
        return Verdict(not enforced, True, enforced, int(entry["capabilities_rule"]))

    def jit(self, row: int) -> Verdict:
        """Anonymous, written or writable memory made executable."""
        flags = self.flags(row)
        if RowFlag.CONFINED not in flags or RowFlag.JIT in flags:
            return ALLOWED
        enforced = RowFlag.JIT_ENFORCE in flags
        return Verdict(not enforced, True, enforced, int(self.rows[row]["jit_rule"]), Right.MAP_EXEC)

    def protected(self, number: int) -> bool:
        """Whether some rule denies something on this class by name: aliases of its objects are protected."""
        return bool(np.any(self.cells["denied"][self.grid[:, number]]))

    def protected_state(self, path: bytes) -> int | None:
        """The automaton's state of a path that is protected; None for one that is not."""
        number, state = self.classify(path)
        return state if self.protected(number) else None

    def protected_roots(self) -> tuple[str, ...]:
        """The folders (or files) below which everything that is protected by its path lies."""
        patterns = (pattern.parse(self.meta.patterns[number]) for number in self.meta.protected)
        found = {root for each in patterns if not each.abstract for root in each.roots()}
        return tuple(sorted(root for root in found if not any(_below(root, other) for other in found)))


def _judge(cell: Cell, bad: int, wanted: int) -> Verdict:
    """`bad` are the rights of those `wanted` that are not to be had."""
    if not bad:
        right = _lowest(wanted)
        return Verdict(allowed=True, rule=cell.rules[right], right=right)
    hard = bad & cell.enforce
    right = _lowest(hard or bad)
    return Verdict(not hard, reported=True, enforced=bool(hard), rule=cell.rules[right], right=right)


def _below(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
