"""The engine: which rules each event of a batch matches.

A rule is never asked of an event. Each column is asked once for each distinct value and gives a class; events
of one type whose columns are of the same classes match the same rules, so a rule is asked once for each
distinct combination, and only if every column leaves it possible. What remains for an event is integer work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import Type
from detect.alert import Alert, Level
from detect.batch import Batch, Tagged
from detect.rules.alerts import Alerter
from detect.rules.fields import Field, View
from detect.rules.model import All, Condition, Leaf, Not, Pair, Rule
from detect.rules.scan import Scanner
from detect.rules.sources import (
    CLASSES,
    AddressSource,
    Key,
    NumberSource,
    PairSource,
    Source,
    TextSource,
    key_of,
)
from detect.rules.values import Same, Test
from detect.symbols import Symbols
from detect.table import ABSENT, Table

Numbers = NDArray[Any]
Holds = Callable[[Sequence[int]], bool]
Clauses = Mapping[int, int]

RESULTS: Final = 1 << 16
"""Distinct sets of tags; where there are more, everything is learnt anew."""
COMBINATIONS: Final = 1 << 17
"""Distinct combinations of classes that are kept for one type; then they are found anew."""


@dataclass(frozen=True, slots=True)
class Bit:
    """Where the answer to a test is: which source's verdict, which bit."""

    source: int
    mask: int


class _Sources:
    """All that the rules ask, by column."""

    def __init__(self, rules: Sequence[Rule], scanners: Mapping[str, Scanner]) -> None:
        self.bits: dict[Leaf | Pair, Bit] = {}
        tests: dict[Key, dict[Test | Same, int]] = {}
        self.fields: list[tuple[Field, ...]] = []
        numbers: dict[Key, int] = {}
        for leaf in (leaf for rule in rules for leaf in _leaves(rule.condition)):
            asked = (leaf.field, leaf.other) if isinstance(leaf, Pair) else (leaf.field,)
            key = tuple(part for field in asked for part in key_of(field))
            if key not in numbers:
                numbers[key] = len(numbers)
                self.fields.append(asked)
            known = tests.setdefault(key, {})
            self.bits[leaf] = Bit(numbers[key], 1 << known.setdefault(leaf.test, len(known)))
        self.sources = [
            _source(asked, list(each), scanners)
            for asked, each in zip(self.fields, tests.values(), strict=True)
        ]


def _source(fields: tuple[Field, ...], tests: list[Any], scanners: Mapping[str, Scanner]) -> Source:
    if len(fields) > 1:
        return PairSource(fields[0], fields[1], tests)
    view = fields[0].view
    if view is View.ADDRESS:
        return AddressSource(fields[0], tests)
    if view in {View.NUMBER, View.WORD}:
        return NumberSource(fields[0], tests)
    return TextSource(fields[0], scanners.get(fields[0].column) or Scanner(tests))


def _leaves(condition: Condition) -> Iterable[Leaf | Pair]:
    if isinstance(condition, (Leaf, Pair)):
        return [condition]
    inner = (condition.of,) if isinstance(condition, Not) else condition.of
    return [leaf for each in inner for leaf in _leaves(each)]


def compiled(condition: Condition, bits: Mapping[Leaf | Pair, Bit]) -> Holds:
    """A condition as a function of the verdicts of all sources."""
    if isinstance(condition, (Leaf, Pair)):
        bit = bits[condition]
        source, mask = bit.source, bit.mask
        return lambda verdicts: verdicts[source] & mask != 0
    if isinstance(condition, Not):
        inner = compiled(condition.of, bits)
        return lambda verdicts: not inner(verdicts)
    several = tuple(compiled(each, bits) for each in condition.of)
    if isinstance(condition, All):
        return lambda verdicts: all(each(verdicts) for each in several)
    return lambda verdicts: any(each(verdicts) for each in several)


def needed(condition: Condition, bits: Mapping[Leaf | Pair, Bit]) -> Clauses:
    """By source, tests of which its value must pass one if the condition is to be true."""
    if isinstance(condition, (Leaf, Pair)):
        bit = bits[condition]
        return {bit.source: bit.mask}
    if isinstance(condition, Not):
        return {}
    inner = [needed(each, bits) for each in condition.of]
    if isinstance(condition, All):
        found: dict[int, int] = {}
        for clauses in inner:
            for source, mask in clauses.items():
                known = found.get(source)
                # either is needed; the one with fewer tests says more
                found[source] = mask if known is None or mask.bit_count() < known.bit_count() else known
        return found
    shared = reduce(and_, (clauses.keys() for clauses in inner)) if inner else set()
    return {source: reduce(or_, (clauses[source] for clauses in inner)) for source in shared}


class _Results:
    """The distinct sets of tags that events carry, by number; 0 is none."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {(): 0}
        self._sets: list[tuple[int, ...]] = [()]
        self._first = np.zeros(1, np.int64)
        self._sizes = np.zeros(1, np.int64)
        self._tags = np.empty(0, np.uint32)

    def __len__(self) -> int:
        return len(self._sets)

    def of(self, tags: tuple[int, ...]) -> int:
        """The number of a set, new if need be."""
        number = self._numbers.get(tags)
        if number is None:
            number = self._numbers[tags] = len(self._sets)
            self._sets.append(tags)
        return number

    def spread(self, numbers: Numbers) -> Tagged:
        """The tags of each event, from the number of its set."""
        if len(self._sizes) < len(self._sets):
            self._sizes = np.array([len(each) for each in self._sets], np.int64)
            self._first = np.cumsum(self._sizes) - self._sizes
            self._tags = np.array([tag for each in self._sets for tag in each], np.uint32)
        events = np.nonzero(numbers)[0]
        sets = numbers[events]
        sizes = self._sizes[sets]
        starts = np.repeat(self._first[sets] - (np.cumsum(sizes) - sizes), sizes)
        return Tagged(np.repeat(events, sizes).astype(np.uint32), self._tags[starts + np.arange(len(starts))])


class _Group:
    """The events of one type: the rules that are about them, and the columns that these ask."""

    def __init__(self, kind: int, engine: RuleEngine) -> None:
        self._engine = engine
        self._rules = sum(1 << at for at, rule in enumerate(engine.rules) if kind in rule.types)
        self._verdicts = [0] * len(engine.asked.sources)
        constant = [number for number in range(len(self._verdicts)) if self._settle(number, kind)]
        asked = {
            engine.asked.bits[leaf].source
            for at, rule in enumerate(engine.rules)
            if self._rules >> at & 1
            for leaf in _leaves(rule.condition)
        }
        self._varying = sorted(asked - set(constant))
        self._widths: list[int] = []
        self._forget()

    def _settle(self, number: int, kind: int) -> bool:
        """Whether a source says the same of every event of this type; then it may rule out rules."""
        source, field = self._engine.asked.sources[number], self._engine.asked.fields[number][0]
        if not field.has(kind):
            verdict = source.absent()
        elif isinstance(source, NumberSource) and field.column == "type":
            verdict = source.constant(kind)
        else:
            return False
        self._verdicts[number] = verdict
        self._rules &= source.classes.possible[source.classes.of(verdict)]
        return True

    @property
    def idle(self) -> bool:
        """No rule can match."""
        return not self._rules

    def _forget(self) -> None:
        self._folds: list[Table] = []
        self._results = Table()

    def find(self, batch: Batch, at: Numbers) -> Numbers:
        """The number of the set of tags, by event."""
        sources = self._engine.asked.sources
        columns = [sources[number].find(batch, at) for number in self._varying]
        widths = [
            max(4, (len(sources[number].classes.verdicts).bit_length() + 3) & ~3) for number in self._varying
        ]
        if widths != self._widths or len(self._results) > COMBINATIONS:
            self._forget()
            self._widths = widths
        keys = np.zeros(len(at), np.uint64)
        used = depth = 0
        for column, width in zip(columns, widths, strict=True):
            if used + width > 64:
                keys, used = self._fold(keys, depth), 32
                depth += 1
            keys |= column.astype(np.uint64) << np.uint64(used)
            used += width
        found = self._results.get(keys)
        absent = np.nonzero(found == ABSENT)[0]
        if len(absent):
            new, first, back = np.unique(keys[absent], return_index=True, return_inverse=True)
            examples = absent[first]
            rows = zip(*(column[examples].tolist() for column in columns), strict=True) if columns else [()]
            values = np.array([self._match(row) for row in rows], np.uint32)
            self._results.put(new, values)
            found[absent] = values[back]
        return found

    def _fold(self, keys: Numbers, depth: int) -> Numbers:
        """Keys as numbers below 2^32, so that there is room for more columns."""
        if depth == len(self._folds):
            self._folds.append(Table())
        table = self._folds[depth]
        found = table.get(keys)
        absent = np.nonzero(found == ABSENT)[0]
        if len(absent):
            new, back = np.unique(keys[absent], return_inverse=True)
            numbers = np.arange(len(table), len(table) + len(new), dtype=np.uint32)
            table.put(new, numbers)
            found[absent] = numbers[back]
        return found.astype(np.uint64)

    def _match(self, classes: Sequence[int]) -> int:
        """The set of tags of a combination of classes."""
        engine, verdicts, possible = self._engine, list(self._verdicts), self._rules
        for number, which in zip(self._varying, classes, strict=True):
            known = engine.asked.sources[number].classes
            verdicts[number] = known.verdicts[which]
            possible &= known.possible[which]
        tags: set[int] = set()
        while possible:
            lowest = possible & -possible
            possible ^= lowest
            at = lowest.bit_length() - 1
            if engine.conditions[at](verdicts):
                tags.update(engine.tags_of[at])
        return engine.results.of(tuple(sorted(tags)))


class RuleEngine:
    """Matches batches against rules. `tags` names what `Tagged.tag` numbers: rules, then Sigma's tags.

    `scanners` are those of another engine of the same rules: compiling them takes time and memory.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        alert_level: Level = Level.MEDIUM,
        *,
        scanners: Mapping[str, Scanner] | None = None,
    ) -> None:
        self.rules = tuple(rules)
        names = [rule.name for rule in self.rules]
        others = sorted({tag for rule in self.rules for tag in rule.tags} - set(names))
        self.tags = (*names, *others)
        places = {tag: at for at, tag in enumerate(self.tags)}
        self.tags_of = [(at, *(places[tag] for tag in rule.tags)) for at, rule in enumerate(self.rules)]
        self.asked = _Sources(self.rules, scanners or {})
        self.conditions = [compiled(rule.condition, self.asked.bits) for rule in self.rules]
        clauses: list[list[tuple[int, int]]] = [[] for _ in self.asked.sources]
        for at, rule in enumerate(self.rules):
            for column, mask in needed(rule.condition, self.asked.bits).items():
                clauses[column].append((1 << at, mask))
        for source, each in zip(self.asked.sources, clauses, strict=True):
            source.classes.needs(each)
        self.results = _Results()
        self._symbols: Symbols | None = None
        self.renewed = 0
        """How often all classes were learnt anew because there were too many."""
        self.alerter = Alerter(self.rules, len(self.tags), alert_level)
        self._begin()

    @property
    def scanners(self) -> dict[str, Scanner]:
        """What looks at text, by column."""
        return {
            each.field.column: each.scanner for each in self.asked.sources if isinstance(each, TextSource)
        }

    def _begin(self) -> None:
        groups = {int(kind): _Group(kind, self) for kind in Type}
        self._groups = {kind: group for kind, group in groups.items() if not group.idle}

    def _renew(self) -> None:
        """Too many distinct verdicts on one column: forget all of them."""
        for source in self.asked.sources:
            source.classes.clear()
            source.forget()
        self.results = _Results()
        self._begin()
        self.renewed += 1

    def alerts(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        """Alerts of the rules that are of `alert_level` and above; those below are signals for sequences."""
        return self.alerter.alerts(batch, tagged)

    def match(self, batch: Batch) -> Tagged:
        """Which events carry which tags. The batch is enriched."""
        if len(batch) > CLASSES:
            parts = [self.match(batch.take(slice(at, at + CLASSES))) for at in range(0, len(batch), CLASSES)]
            events = [part.event + np.uint32(at * CLASSES) for at, part in enumerate(parts)]
            return Tagged(np.concatenate(events), np.concatenate([part.tag for part in parts]))
        if batch.symbols is not self._symbols:
            self._symbols = batch.symbols
            for source in self.asked.sources:
                if isinstance(source, (TextSource, PairSource)):
                    source.forget()
        classes = max((len(source.classes.verdicts) for source in self.asked.sources), default=0)
        if classes > CLASSES or len(self.results) > RESULTS:
            self._renew()
        kinds = np.minimum(batch["type"], 255).astype(np.uint8)
        numbers = np.zeros(len(batch), np.uint32)
        for kind in np.nonzero(np.bincount(kinds, minlength=256))[0].tolist():
            group = self._groups.get(kind)
            if group is not None:
                at = np.nonzero(kinds == kind)[0]
                numbers[at] = group.find(batch, at)
        return self.results.spread(numbers)
