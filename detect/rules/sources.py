"""What is asked of a column, once for each distinct value of it.

Values that pass the same tests are of one class; class numbers are what events are joined by. A class also
knows which rules its values leave possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.batch import Batch
from detect.rules.fields import Field, View
from detect.rules.scan import Scanner
from detect.rules.values import Same, Test, Value
from detect.symbols import Symbols
from detect.table import ABSENT, Table

Numbers = NDArray[Any]
Key = tuple[object, ...]

CLASSES: Final = 1 << 15
"""Classes of one column; where there are more, everything is learnt anew. As many again fit in one batch."""
VALUES: Final = 1 << 17
"""Distinct numbers or addresses of one column that are kept."""
_UNSEEN: Final = (1 << 16) - 1


def key_of(field: Field) -> Key:
    """Fields with the same key are one column read in one way, whatever rules call it."""
    if field.view in {View.TEXT, View.ARGUMENTS}:
        return (field.column,)
    return (field.column, field.view, field.types, field.word)


class Classes:
    """The distinct verdicts on the values of one column."""

    def __init__(self) -> None:
        self.verdicts: list[int] = []
        self.possible: list[int] = []
        """A bit for each rule that is possible with this verdict."""
        self._numbers: dict[int, int] = {}
        self._clauses: list[tuple[int, int]] = []

    def needs(self, clauses: Sequence[tuple[int, int]]) -> None:
        """(rule, tests): the rule is impossible if its value passes none of these tests."""
        self._clauses = list(clauses)

    def of(self, verdict: int) -> int:
        """The class of a verdict, new if need be."""
        number = self._numbers.get(verdict)
        if number is None:
            number = self._numbers[verdict] = len(self.verdicts)
            self.verdicts.append(verdict)
            impossible = 0
            for rule, tests in self._clauses:
                if not verdict & tests:
                    impossible |= rule
            self.possible.append(~impossible)
        return number

    def clear(self) -> None:
        """Forget all classes."""
        self.verdicts.clear()
        self.possible.clear()
        self._numbers.clear()


class TextSource:
    """A column of symbols."""

    def __init__(self, field: Field, scanner: Scanner) -> None:
        self.field = field
        self.classes = Classes()
        self.scanner = scanner
        self._class = np.empty(0, np.uint16)

    def forget(self) -> None:
        """The symbols are others now."""
        self._class = np.empty(0, np.uint16)

    def find(self, batch: Batch, at: Numbers) -> NDArray[np.uint16]:
        """The class of each of these events."""
        symbols = batch[self.field.column][at]
        short = len(batch.symbols) - len(self._class)
        if short > 0:
            more = np.full(short + len(self._class) // 2 + 1024, _UNSEEN, np.uint16)
            self._class = np.concatenate([self._class, more])
        found = self._class.take(symbols, mode="clip")
        unseen = found == _UNSEEN
        if unseen.any():
            self._learn(batch.symbols, np.unique(symbols[unseen]).tolist())
            found = self._class.take(symbols, mode="clip")
        return found

    def absent(self) -> int:
        """The verdict on what an event does not have."""
        return self.scanner.empty

    def _learn(self, symbols: Symbols, new: list[int]) -> None:
        arguments = self.field.view is View.ARGUMENTS
        verdict, of = self.scanner.verdict, self.classes.of
        for symbol in new:
            value = symbols[symbol]
            if arguments:
                value = value.rstrip(b"\0").replace(b"\0", b" ")
            self._class[symbol] = of(verdict(value))


class _KeySource:
    """A column, or two, that are told apart by a number of 64 bits."""

    def __init__(self) -> None:
        self.classes = Classes()
        self._table = Table()

    def forget(self) -> None:
        """The values are others now."""
        self._table = Table()

    def find(self, batch: Batch, at: Numbers) -> NDArray[np.uint32]:
        """The class of each of these events."""
        keys = self.keys(batch, at)
        found = self._table.get(keys)
        absent = np.nonzero(found == ABSENT)[0]
        if len(absent):
            if len(self._table) > VALUES:
                self._table = Table()
            new, back = np.unique(keys[absent], return_inverse=True)
            classes = np.array([self.classes.of(self.verdict(key, batch)) for key in new.tolist()], np.uint32)
            self._table.put(new, classes)
            found[absent] = classes[back]
        return found

    def keys(self, batch: Batch, at: Numbers) -> NDArray[np.uint64]:
        """What tells the values of these events apart."""
        raise NotImplementedError

    def verdict(self, key: int, batch: Batch) -> int:
        """A bit for each test that the value passes."""
        raise NotImplementedError


class NumberSource(_KeySource):
    """A column of numbers, as numbers or as words."""

    def __init__(self, field: Field, tests: Sequence[Test]) -> None:
        super().__init__()
        self.field = field
        self._tests = tuple(tests)

    def keys(self, batch: Batch, at: Numbers) -> NDArray[np.uint64]:
        """The numbers themselves; negative ones wrap."""
        column = batch[self.field.column][at]
        if column.dtype.kind == "i":
            return column.astype(np.int64).view(np.uint64)
        return column.astype(np.uint64)

    def verdict(self, key: int, batch: Batch) -> int:
        """A bit for each test."""
        signed = batch[self.field.column].dtype.kind == "i" and key >= 1 << 63
        return _verdict(self._tests, self.field.of_number(key - (1 << 64) if signed else key))

    def constant(self, number: int) -> int:
        """The verdict on one number."""
        return _verdict(self._tests, self.field.of_number(number))

    def absent(self) -> int:
        """The verdict on what an event does not have."""
        return _verdict(self._tests, None)


class AddressSource(_KeySource):
    """The column of addresses."""

    def __init__(self, field: Field, tests: Sequence[Test]) -> None:
        super().__init__()
        self.field = field
        self._tests = tuple(tests)
        self._long: dict[bytes, int] = {}
        self._values: list[bytes] = []

    def forget(self) -> None:
        """Everything."""
        super().forget()
        self._long.clear()
        self._values.clear()

    def keys(self, batch: Batch, at: Numbers) -> NDArray[np.uint64]:
        """Family above 32 bits: of v4 the address, of v6 the number of one that is kept."""
        family, raw = batch["family"][at], batch["address"][at]
        short = np.ascontiguousarray(raw[:, :4]).view(">u4")[:, 0].astype(np.uint64)
        keys = np.where(family == 4, short | np.uint64(4 << 32), np.uint64(0))
        long = np.nonzero(family == 6)[0]
        if len(long):
            if len(self._values) > VALUES:
                self.forget()
            values = [value.tobytes() for value in raw[long]]
            keys[long] = [self._number(value) | 6 << 32 for value in values]
        return keys

    def _number(self, value: bytes) -> int:
        number = self._long.get(value)
        if number is None:
            number = self._long[value] = len(self._values)
            self._values.append(value)
        return number

    def verdict(self, key: int, batch: Batch) -> int:
        """A bit for each test."""
        family, rest = key >> 32, key & 0xFFFF_FFFF
        raw = self._values[rest] if family == 6 else rest.to_bytes(4, "big")
        return _verdict(self._tests, self.field.of_address(family, raw))

    def absent(self) -> int:
        """The verdict on what an event does not have."""
        return _verdict(self._tests, None)


class PairSource(_KeySource):
    """Two columns that are compared with one another."""

    def __init__(self, field: Field, other: Field, tests: Sequence[Same]) -> None:
        super().__init__()
        self._fields = (field, other)
        self._tests = tuple(tests)

    def keys(self, batch: Batch, at: Numbers) -> NDArray[np.uint64]:
        """Both values in 32 bits each."""
        one, two = (
            batch[field.column][at].astype(np.uint64) & np.uint64(0xFFFF_FFFF) for field in self._fields
        )
        return one << np.uint64(32) | two

    def verdict(self, key: int, batch: Batch) -> int:
        """A bit for each test."""
        one, two = (
            _value(field, number, batch.symbols)
            for field, number in zip(self._fields, (key >> 32, key & 0xFFFF_FFFF), strict=True)
        )
        return sum(1 << bit for bit, test in enumerate(self._tests) if test.matches(one, two))

    def absent(self) -> int:
        """Nothing is the same as what an event does not have."""
        return 0


def _value(field: Field, number: int, symbols: Symbols) -> Value:
    if field.view in {View.TEXT, View.ARGUMENTS}:
        return field.of_text(symbols[number])
    return field.of_number(number)


def _verdict(tests: Sequence[Test], value: Value) -> int:
    return sum(1 << bit for bit, test in enumerate(tests) if test.matches(value))


Source = TextSource | NumberSource | AddressSource | PairSource
