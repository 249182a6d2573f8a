"""Documents to an image: the one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from policies.collector import paused
from policies.compile import assemble, comb, plan, sequences
from policies.compile.assemble import Tables
from policies.compile.cells import ALL_RIGHTS
from policies.compile.classes import Classes, globs_of
from policies.compile.dfa import MAX_STATES, Dfa, ExplosionError, determinise
from policies.compile.minimise import minimise
from policies.compile.nfa import Nfa
from policies.compile.plan import Glob, Guard, Plan, Unit
from policies.compile.shortcuts import shortcuts
from policies.compile.subtree import subtrees
from policies.errors import NOWHERE, Place, PolicyError, PolicyErrors
from policies.image import MAX_CELLS, MAX_ROWS
from policies.layout import ENTRY, HEADER, SEQUENCES
from policies.meta import Meta, RuleEntry, encode
from policies.model import Documents, Policy, Protection
from policies.parse import base_rules, clashes
from policies.pattern import Pattern

DEFAULT_CAPACITY: Final = 8 << 20
MIN_STATE: Final = 3 * ENTRY.itemsize


@dataclass(frozen=True)
class Compiled:
    """An image, and what it was made from."""

    image: bytes
    documents: Documents
    meta: Meta
    n_states: int
    n_classes: int
    n_cells: int
    capacity: int = DEFAULT_CAPACITY

    @property
    def hash(self) -> str:
        """The content hash, in hexadecimal."""
        header = np.frombuffer(self.image, dtype=HEADER, count=1)[0]
        return bytes(header["hash"]).hex()

    @property
    def rules(self) -> tuple[RuleEntry, ...]:
        """The rules by number, the builtin ones first."""
        return self.meta.rules


def compile_documents(documents: Documents, *, capacity: int = DEFAULT_CAPACITY) -> Compiled:
    """Compile; PolicyErrors says what clashes, explodes or does not fit, and what to reduce."""
    if errors := list(clashes(documents)):
        raise PolicyErrors.of(errors)
    with paused():
        made = plan.make(documents, base_rules())
        return _Compilation(documents, made, globs_of(made), capacity).run()


@dataclass
class _Compilation:
    documents: Documents
    plan: Plan
    globs: list[Glob]
    capacity: int
    classes: Classes = field(init=False)

    def run(self) -> Compiled:
        self.classes = Classes(self.plan, self.globs)
        raw = self._automaton()
        numbers = [self.classes.class_of(accepts) for accepts in raw.accepts]
        self._check_tables(0)
        n_ordinary = len(self.classes.columns)
        dfa, classes = minimise(raw, numbers)
        below = subtrees(dfa, classes, self.classes.columns.combine)
        self._check_tables(len(dfa))
        tables = self._tables()
        first = assemble.offsets(tables).automaton // ENTRY.itemsize
        laid = comb.lay_out(dfa, classes, below, shortcuts(dfa, classes, below), first)
        described = Meta(
            rules=tuple(self.plan.rules),
            rows=tuple(row.name for row in self.plan.rows),
            patterns=tuple(map(str, self.globs)),
            classes=_patterns_of(raw, numbers, n_ordinary),
            protected=self._protected(),
        )
        encoded = encode(described)
        image = assemble.assemble(
            tables,
            laid,
            encoded,
            n_rules=len(self.plan.rules),
            n_classes=len(self.classes.columns),
        )
        n_classes, n_cells = len(self.classes.columns), len(self.classes.cells)
        if len(image) > self.capacity:
            parts = {
                f"the automaton of {len(dfa)} states": laid.entries.nbytes,
                f"{len(self.plan.rows)} subjects times {n_classes} classes of objects": tables.grid.nbytes,
                f"{n_cells} different answers (cells)": tables.cells.nbytes,
                "the names of rules and patterns": len(encoded),
            }
            largest = max(parts, key=lambda part: parts[part])
            what = f"the image has {len(image)} bytes, at most {self.capacity}"
            raise self._too_many(f"{what}; {largest} alone: {parts[largest]}")
        return Compiled(image, self.documents, described, len(dfa), n_classes, n_cells, self.capacity)

    def _automaton(self) -> Dfa:
        nfa = Nfa()
        for number, glob in enumerate(self.globs):
            nfa.add(number, glob)
        limit = min(MAX_STATES, self.capacity // MIN_STATE)
        try:
            return determinise(nfa, limit)
        except ExplosionError as error:
            worst = ", ".join(f'"{self.globs[number]}"' for number in error.patterns) or "the longest"
            message = f"too many rules for the tables: the patterns need {error}"
            hint = (
                f"the ones that multiply most: {worst}; write ** only at the end, and fewer * in a component"
            )
            place = self._place_of(error.patterns[0]) if error.patterns else NOWHERE
            raise PolicyErrors.of([PolicyError(message, place=place, hint=hint)]) from None

    def _place_of(self, glob: int) -> Place:
        users: list[Guard | Unit] = [*self.plan.guards, *self.plan.units]
        places = [(each.globs, self.plan.rules[each.number].place) for each in users]
        places += [(slot.globs, slot.form.place) for slot in self.plan.blocking.slots]
        return next(place for globs, place in places if self.globs[glob] in globs)

    def _protected(self) -> tuple[int, ...]:
        rules: list[Guard | Unit] = [*self.plan.guards, *self.plan.units]
        denied = {glob for each in rules if each.deny for glob in each.globs if isinstance(glob, Pattern)}
        return tuple(number for number, glob in enumerate(self.globs) if glob in denied)

    def _tables(self) -> Tables:
        cells = self.classes.cells.table()
        grid = self.classes.columns.grid()
        missing = ~cells["allow"] & np.uint32(ALL_RIGHTS)
        watch = np.bitwise_or.reduce(missing[grid], axis=1)
        rows, targets = assemble.row_table(self.plan, watch)
        blocking = self.plan.blocking
        if blocking.sequences:
            steps = sequences.table(blocking, self.plan.sequence_rules)
            slots = self.classes.columns.slots()
        else:
            steps, slots = np.zeros(0, SEQUENCES), np.zeros(0, "<u8")
        asked = sequences.rights(blocking)
        return Tables(rows, targets, assemble.identity_table(self.plan), cells, steps, slots, asked, grid)

    def _check_tables(self, n_states: int) -> None:
        """Refuse what cannot fit before it is built."""
        n_rows, n_classes, n_cells = len(self.plan.rows), len(self.classes.columns), len(self.classes.cells)
        if n_rows > MAX_ROWS:
            raise self._too_many(f"{n_rows} subjects, at most {MAX_ROWS}")
        if n_cells > MAX_CELLS:
            raise self._too_many(f"{n_cells} different answers (cells), at most {MAX_CELLS}")
        least = n_rows * n_classes * 2 + n_states * MIN_STATE
        if least > self.capacity:
            what = f"{n_rows} subjects times {n_classes} classes of objects"
            raise self._too_many(f"{what} and {n_states} states need {least} bytes, at most {self.capacity}")

    def _too_many(self, what: str) -> PolicyErrors:
        documents: list[Policy | Protection] = [*self.documents.policies, *self.documents.protections]
        largest = max(documents, key=_weight, default=None)
        hint = "put patterns with the same rights into one rule, or patterns with ** in place of many"
        if largest is not None:
            kind = "policy" if isinstance(largest, Policy) else "Protection"
            hint += f'; "{largest.name}" is the largest {kind}, with {_weight(largest)} patterns'
        place = largest.place if largest else NOWHERE
        return PolicyErrors.of(
            [PolicyError(f"too many rules or subjects for the tables: {what}", place=place, hint=hint)]
        )


def _weight(document: Policy | Protection) -> int:
    if isinstance(document, Protection):
        return len(document.objects)
    files, programs = (sum(len(rule.paths) for rule in rules) for rules in (document.files, document.exec))
    return files + programs + len(document.network)


def _patterns_of(dfa: Dfa, numbers: Sequence[int], n_classes: int) -> tuple[tuple[int, ...], ...]:
    """The patterns by class; a class that several sets of patterns amount to has them all."""
    found: list[set[int]] = [set() for _ in range(n_classes)]
    for accepts, number in dict(zip(dfa.accepts, numbers, strict=True)).items():
        found[number].update(-(accept >> 1) - 1 if accept & 1 else accept >> 1 for accept in accepts)
    found[0] = set()  # what changes nothing for anybody is as good as no pattern
    return tuple(tuple(sorted(each)) for each in found)
