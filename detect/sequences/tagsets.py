"""Events by the set of tags that they carry: what each set means to all sequences is found out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detect.batch import Tagged
from detect.sequences.automaton import Interest, interests
from detect.sequences.begins import Begin
from detect.sequences.partial import State
from policies.sequence import Key


@dataclass(frozen=True, slots=True)
class Concerned:
    """What a set of tags is to all sequences."""

    begins: tuple[Begin, ...]
    others: tuple[Interest, ...]
    always: bool
    """One of the others may begin with it."""
    sessions: int
    """What of the others sessions may wait for, as bits of `Waiting`; and trees, and files."""
    trees: int
    files: int
    around: int
    """Trees or files."""


class TagSets:
    """Sets of tags by number; the first are the single tags by their own numbers."""

    def __init__(
        self,
        tags: Sequence[str],
        states: Sequence[State],
        begins: Sequence[Begin],
    ) -> None:
        self.tags = tuple(tags)
        self._states = states
        self._automata = [state.automaton for state in states]
        self._begins = begins
        self._numbers: dict[tuple[int, ...], int] = {}
        self.sets = [self._concerned((tag,)) for tag in tags]
        """What each means."""
        self._used = np.array([bool(each.begins or each.others) for each in self.sets], dtype=bool)

    def sets_of(self, tagged: Tagged) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Events with a tag that some sequence knows, each once, with the number of its set of tags."""
        used = self._used[tagged.tag]
        event, tag = tagged.event[used].astype(np.intp), tagged.tag[used].astype(np.int64)
        if not len(event):
            return event, tag
        first = np.flatnonzero(np.diff(event, prepend=-1))
        sizes = np.diff(np.append(first, len(event)))
        what = tag[first]
        several = np.flatnonzero(sizes > 1)
        if len(several):
            what[several] = self._numbers_of(tag, first[several], sizes[several])
        return event[first], what

    def _numbers_of(
        self, tag: NDArray[np.int64], first: NDArray[np.intp], sizes: NDArray[np.intp]
    ) -> NDArray[np.int64]:
        """The numbers of sets of several tags: each different set is looked at once."""
        width = max(1, len(self.tags)).bit_length()
        most = 62 // width
        code = np.zeros(len(first), np.int64)
        for each in range(min(int(sizes.max()), most)):
            mine = sizes > each
            code[mine] = code[mine] << width | (tag[first[mine] + each] + 1)
        _, one_of_each, which = np.unique(code, return_index=True, return_inverse=True)
        numbers = [
            self._number(tuple(tag[start : start + min(size, most)].tolist()))
            for start, size in zip(first[one_of_each].tolist(), sizes[one_of_each].tolist(), strict=True)
        ]
        return np.array(numbers, np.int64)[which]

    def _number(self, tags: tuple[int, ...]) -> int:
        number = self._numbers.get(tags)
        if number is None:
            number = self._numbers[tags] = len(self.sets)
            self.sets.append(self._concerned([self.tags[tag] for tag in tags]))
        return number

    def _concerned(self, tags: Sequence[str]) -> Concerned:
        begins = tuple(each for each in self._begins if not each.watch.tags.isdisjoint(tags))
        others = []
        for each in interests(self._automata, tags):
            noted = self._states[each.sequence].begin is not None
            interest = replace(each, steps=each.steps & ~1, begins=False) if noted else each
            if interest.steps or any(interest.guards):
                others.append(interest)
        bits = dict.fromkeys(Key, 0)
        for interest in others:
            bits[self._automata[interest.sequence].key] |= interest.waits
        always = any(interest.begins for interest in others)
        sessions, trees, files = bits.values()
        return Concerned(begins, tuple(others), always, sessions, trees, files, trees | files)
