"""Cells: what one subject may do with one class, told once each; and columns: one cell for every row.

A cell keeps, for each right, a key that orders verdicts by strictness: the rank, then the rule. The cell
for everything below a directory is the least of its parts: AND of what is allowed, OR of what is held or
denied, the strictest key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.image import Right
from policies.layout import CELL

RIGHTS: Final = tuple(right for right in Right if right < Right.WAIVE_EXECUTE_UNSIGNED)
N_RIGHTS: Final = len(RIGHTS)
ALL_RIGHTS: Final = (1 << N_RIGHTS) - 1

ENFORCED_DENY: Final = 0
ENFORCED_DEFAULT: Final = 1
AUDITED_DENY: Final = 2
AUDITED_DEFAULT: Final = 3
ALLOWED: Final = 4
"""Ranks, the strictest first."""

_RANK: Final = 24
_RULE: Final = (1 << _RANK) - 1
SELF: Final = -1

Column = npt.NDArray[np.int32]


def key(rank: int, rule: int) -> int:
    """How strict a verdict is, and which rule it is from: the lower, the stricter."""
    return rank << _RANK | rule


@dataclass(frozen=True, slots=True)
class Cell:
    """`keys` by right. `foreign` is the cell without Protections, SELF if this is it."""

    keys: tuple[int, ...]
    properties: int = 0
    denied: int = 0
    any: int = 0
    foreign: int = SELF

    @property
    def allow(self) -> int:
        """The rights that hold without an event, and the properties."""
        return _bits(self.keys, (ALLOWED,)) | self.properties

    @property
    def enforce(self) -> int:
        """Of the others: those whose denial is real."""
        return _bits(self.keys, (ENFORCED_DENY, ENFORCED_DEFAULT))

    @property
    def rules(self) -> list[int]:
        """By right: the rule that allowed or denied it."""
        return [each & _RULE for each in self.keys]


def _bits(keys: tuple[int, ...], ranks: tuple[int, ...]) -> int:
    return sum(1 << right for right, each in enumerate(keys) if each >> _RANK in ranks)


def plain(keys: tuple[int, ...], properties: int) -> Cell:
    """The cell of an ordinary class: what is held is what is allowed, denied what a rule denies by name."""
    cell = Cell(keys, properties, _bits(keys, (ENFORCED_DENY, AUDITED_DENY)))
    return replace(cell, any=cell.allow)


class Cells:
    """Distinct cells, numbered by first use."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self._numbers: dict[Cell, int] = {}
        self.combine = cache(self._combine)
        """The cell that stands for both."""

    def __len__(self) -> int:
        return len(self.cells)

    def number(self, cell: Cell) -> int:
        """The number of a cell."""
        found = self._numbers.get(cell)
        if found is None:
            if cell.foreign != SELF and replace(cell, foreign=SELF) == self.cells[cell.foreign]:
                return cell.foreign
            found = self._numbers[cell] = len(self.cells)
            self.cells.append(cell)
        return found

    def _combine(self, left: int, right: int) -> int:
        one, other = self.cells[left], self.cells[right]
        foreign = SELF
        if one.foreign != SELF or other.foreign != SELF:
            foreign = self.combine(
                left if one.foreign == SELF else one.foreign,
                right if other.foreign == SELF else other.foreign,
            )
        return self.number(
            Cell(
                keys=tuple(map(min, one.keys, other.keys)),
                properties=one.properties & other.properties,
                denied=one.denied | other.denied,
                any=one.any | other.any,
                foreign=foreign,
            )
        )

    def table(self) -> npt.NDArray[np.void]:
        """The cells as the image holds them."""
        table = np.zeros(len(self.cells), dtype=CELL)
        table["allow"] = [cell.allow for cell in self.cells]
        table["enforce"] = [cell.enforce for cell in self.cells]
        table["denied"] = [cell.denied for cell in self.cells]
        table["any"] = [cell.any for cell in self.cells]
        table["foreign"] = [
            number if cell.foreign == SELF else cell.foreign for number, cell in enumerate(self.cells)
        ]
        table["rule"][:, :N_RIGHTS] = [cell.rules for cell in self.cells]
        return table


class Columns:
    """Distinct columns, numbered by first use: the object classes.

    A column has a cell for each row, and last the number of a set of steps of sequences (`steps`).
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.columns: list[Column] = []
        self._steps: dict[int, int] = {}
        self._numbers: dict[bytes, int] = {}
        self.combine = cache(self._combine)
        """The class that stands for both."""

    def __len__(self) -> int:
        return len(self.columns)

    def number(self, column: Column) -> int:
        """The class that has this column."""
        content = column.tobytes()
        found = self._numbers.get(content)
        if found is None:
            found = self._numbers[content] = len(self.columns)
            self.columns.append(column)
        return found

    def _combine(self, left: int, right: int) -> int:
        if left == right:
            return left
        one, other = self.columns[left], self.columns[right]
        column = one.copy()
        column[-1] = self.steps(0)  # what is below a directory is no step of anything
        for at in np.flatnonzero(one[:-1] != other[:-1]).tolist():
            column[at] = self.cells.combine(int(one[at]), int(other[at]))
        return self.number(column)

    def steps(self, slots: int) -> int:
        """The number of a set of steps, given as bits."""
        return self._steps.setdefault(slots, len(self._steps))

    def grid(self) -> npt.NDArray[np.uint16]:
        """Rows by classes, as the image holds them."""
        return np.stack(self.columns, axis=1)[:-1].astype("<u2")

    def slots(self) -> npt.NDArray[np.uint64]:
        """By class: the steps that it concerns, as bits."""
        sets = np.fromiter(self._steps, "<u8")
        return sets[[int(column[-1]) for column in self.columns]]
