"""What a string matches, to its object class: one column of cells, a cell for every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from policies.compile.cells import Cells, Column, Columns
from policies.compile.decide import GuardMatch, Match, decide
from policies.compile.nfa import LISTING
from policies.compile.plan import Glob, Guard, Plan, Unit
from policies.compile.sequences import Slot


class Classes:
    """Gives every set of accepts (glob number times two, plus LISTING) its class; class 0 matches nothing."""

    def __init__(self, plan: Plan, globs: Sequence[Glob]) -> None:
        self.plan = plan
        self.cells = Cells()
        self.columns = Columns(self.cells)
        numbers = {glob: number for number, glob in enumerate(globs)}
        self.units: list[list[Unit]] = [[] for _ in globs]
        self.guards: list[list[Guard]] = [[] for _ in globs]
        for unit in plan.units:
            for glob in unit.globs:
                self.units[numbers[glob]].append(unit)
        for guard in plan.guards:
            for glob in guard.globs:
                self.guards[numbers[glob]].append(guard)
        self.slots = [0] * len(globs)
        """By glob: the steps of sequences, as bits."""
        for slot in plan.blocking.slots:
            for glob in slot.globs:
                self.slots[numbers[glob]] |= 1 << slot.number
        self.base_rows = [number for number, row in enumerate(plan.rows) if row.base]
        cells = [decide(self.cells, row, (), ()) for row in plan.rows]
        self.empty: Column = np.array([*cells, self.columns.steps(0)], np.int32)
        self.class_of = cache(self._class_of)
        """The class of everything that matches exactly these."""
        self.class_of(())
        self._decided: dict[tuple[object, ...], int] = {}

    def _class_of(self, accepts: tuple[int, ...]) -> int:
        matches, guards = self._matches(accepts)
        by_row: dict[int, list[Match]] = {}
        for match in matches:
            for row in self.base_rows if match.rule.row is None else (match.rule.row,):
                by_row.setdefault(row, []).append(match)
        column = self.empty.copy()
        for number in range(len(self.plan.rows)) if guards else by_row:
            column[number] = self._cell(number, by_row.get(number, []), guards)
        steps = 0
        for accept in accepts:
            if accept & 1 != LISTING:
                steps |= self.slots[accept >> 1]
        column[-1] = self.columns.steps(steps)
        return self.columns.number(column)

    def _cell(self, number: int, matches: list[Match], guards: list[GuardMatch]) -> int:
        row = self.plan.rows[number]
        concerned = [each for each in guards if number not in each.guard.only]
        what = tuple((match.rule.number, match.listing) for match in matches)
        against = tuple((each.guard.number, each.listing) for each in concerned)
        # Rows without a policy are alike.
        memory = (number if row.confined else None, what, against)
        found = self._decided.get(memory)
        if found is None:
            found = self._decided[memory] = decide(self.cells, row, matches, concerned)
        return found

    def _matches(self, accepts: tuple[int, ...]) -> tuple[list[Match], list[GuardMatch]]:
        """The rules behind the globs, each once and in order; one full match outdoes any for listing."""
        full: dict[int, Unit | Guard] = {}
        listing: dict[int, Unit | Guard] = {}
        for accept in accepts:
            where = listing if accept & 1 == LISTING else full
            where.update((guard.number, guard) for guard in self.guards[accept >> 1])
            where.update((unit.number, unit) for unit in self.units[accept >> 1])
        matches: list[Match] = []
        guards: list[GuardMatch] = []
        for number in sorted(full.keys() | listing.keys()):
            rule = full.get(number) or listing[number]
            if isinstance(rule, Unit):
                matches.append(Match(rule, number not in full))
            else:
                guards.append(GuardMatch(rule, number not in full))
        return matches, guards


def globs_of(plan: Plan) -> list[Glob]:
    """Every distinct pattern, in the order of the rules."""
    found: dict[Glob, None] = {}
    rules: Iterable[Unit | Guard | Slot] = (*plan.guards, *plan.units, *plan.blocking.slots)
    for rule in rules:
        for glob in rule.globs:
            found.setdefault(glob)
    return list(found)
