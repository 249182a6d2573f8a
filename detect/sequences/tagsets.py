"""Events by the set of tags that they carry: what each set means to all sequences is found out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detect.batch import Tagged
from detect.sequences.automaton import Interest, interests
from detect.sequences.begins import Begin
from detect.sequences.numbering import Sets
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
    """Sets of tags by number."""

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
        self.sets: list[Concerned] = []
        """What each means."""
        self._numbers = Sets(len(tags))
        alone = [self._concerned([tag]) for tag in tags]
        self._used = np.array([bool(each.begins or each.others) for each in alone], dtype=bool)

    def sets_of(self, tagged: Tagged) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Events with a tag that some sequence knows, each once, with the number of its set of tags."""
        used = self._used[tagged.tag]
        event, tag = tagged.event[used].astype(np.intp), tagged.tag[used].astype(np.int64)
        if not len(event):
            return event, tag
        begins = np.ones(len(event), bool)
        np.not_equal(event[1:], event[:-1], out=begins[1:])
        first = np.flatnonzero(begins)
        what = self._numbers.of(tag, first)
        for number in range(len(self.sets), int(what.max()) + 1):
            tags = tag[event == event[first[np.argmax(what == number)]]]
            self.sets.append(self._concerned([self.tags[each] for each in tags.tolist()]))
        return event[first], what

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
