"""Numbers to small numbers, a whole column at a time: hash tables in plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Values = NDArray[np.uint32]

ABSENT: Final = 0xFFFF_FFFF
"""The value of a key that is not in the table."""

_SPREAD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_FIRST_BITS: Final = 10


class Table:
    """An open hash table, at most half full; it doubles as it fills."""

    def __init__(self) -> None:
        self._bits = _FIRST_BITS
        self._clear()

    def _clear(self) -> None:
        self._keys = np.zeros(1 << self._bits, np.uint64)
        self._values = np.full(1 << self._bits, ABSENT, np.uint32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def _home(self, keys: Keys) -> NDArray[np.intp]:
        return ((keys * _SPREAD) >> np.uint64(64 - self._bits)).astype(np.intp)

    def get(self, keys: Keys) -> Values:
        """The value of each key, ABSENT for those that are not there."""
        at = self._home(keys)
        values = self._values.take(at, mode="clip")
        wrong = self._keys.take(at, mode="clip") != keys
        if wrong.any():
            self._probe(keys, at, values, np.nonzero(wrong & (values != ABSENT))[0])
        return values

    def _probe(self, keys: Keys, at: NDArray[np.intp], values: Values, ahead: NDArray[np.intp]) -> None:
        """Look further for those whose place is another's."""
        last = (1 << self._bits) - 1
        place = at[ahead]
        while len(ahead):
            place = (place + 1) & last
            found = self._values[place]
            values[ahead] = found
            going_on = (self._keys[place] != keys[ahead]) & (found != ABSENT)
            ahead, place = ahead[going_on], place[going_on]

    def put(self, keys: Keys, values: Values) -> None:
        """Add or change. No key may be given twice."""
        while 2 * (self._count + len(keys)) > 1 << self._bits:
            old_keys, old_values = self.items()
            self._bits += 1
            self._clear()
            self._insert(old_keys, old_values)
        self._insert(keys, values)

    def _insert(self, keys: Keys, values: Values) -> None:
        last = (1 << self._bits) - 1
        place = self._home(keys)
        while len(keys):
            empty = self._values[place] == ABSENT
            mine = ~empty & (self._keys[place] == keys)
            self._keys[place[empty]] = keys[empty]
            self._values[place[empty]] = values[empty]
            # two keys may have taken the same empty place: the later one has it
            settled = empty & (self._keys[place] == keys)
            self._count += int(settled.sum())
            done = mine | settled
            self._values[place[done]] = values[done]
            going_on = ~done
            keys, values, place = keys[going_on], values[going_on], (place[going_on] + 1) & last

    def items(self) -> tuple[Keys, Values]:
        """All keys, and their values."""
        used = self._values != ABSENT
        return self._keys[used], self._values[used]


class Recent:
    """A table of bounded size that forgets what was not asked for longest.

    It has two halves: when the young one is full it becomes the old one, and the old one goes. What is asked
    for is young again. `limit` is the size of a half; `pinned` never goes; `forgotten` counts what went.
    """

    def __init__(self, limit: int, pinned: Mapping[int, int] | None = None) -> None:
        self.limit = limit
        self.forgotten = 0
        self._pinned = dict(pinned or {})
        self.clear()

    def clear(self) -> None:
        """Forget everything, without counting it."""
        self._old = Table()
        self._young = self._fresh()

    def _fresh(self) -> Table:
        table = Table()
        keys = np.array(list(self._pinned), np.uint64)
        table.put(keys, np.array(list(self._pinned.values()), np.uint32))
        return table

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, keys: NDArray[Any]) -> Values:
        """The value of each key, ABSENT for those that are not known."""
        keys = keys.astype(np.uint64, copy=False)
        values = self._young.get(keys)
        if len(self._old):
            absent = np.nonzero(values == ABSENT)[0]
            if len(absent):
                self._renew(keys, values, absent)
        return values

    def _renew(self, keys: Keys, values: Values, absent: NDArray[np.intp]) -> None:
        found = self._old.get(keys[absent])
        values[absent] = found
        there = found != ABSENT
        if there.any():
            again, first = np.unique(keys[absent][there], return_index=True)
            self.put(again, found[there][first])

    def put(self, keys: NDArray[Any], values: NDArray[Any]) -> None:
        """Add or change. No key may be given twice. More than `limit` at once are kept all the same."""
        if len(self._young) + len(keys) > self.limit + len(self._pinned):
            self.forgotten += len(self._old)
            self._old, self._young = self._young, self._fresh()
        self._young.put(keys.astype(np.uint64, copy=False), values.astype(np.uint32, copy=False))

    def items(self) -> tuple[Keys, Values]:
        """All that is known; a key that was asked for again may come twice, with the value in force last."""
        old, young = self._old.items(), self._young.items()
        return np.concatenate([old[0], young[0]]), np.concatenate([old[1], young[1]])
