"""Who waits for what: of each key, which steps of which sequences it has got to.

What a key waits for are bits (`Interest.waits`), some more than are true until they are found anew.
"""

from __future__ import annotations

from detect.sequences.lineage import Lineage
from policies.sequence import Key


class Waiting:
    """Bits by key, a table for each kind of key."""

    def __init__(self, lineage: Lineage) -> None:
        self.of: dict[str, dict[int, int]] = {key.value: {} for key in Key}
        self._trees, self._files = self.of[Key.TREE.value], self.of[Key.FILE.value]
        self._lineage = lineage
        self.any = 0
        """What anybody waits for."""

    def add(self, joined: str, key: int, bits: int) -> None:
        """A key waits for more."""
        table = self.of[joined]
        table[key] = table.get(key, 0) | bits
        self.any |= bits

    def clear(self) -> None:
        """Nobody waits for anything."""
        for table in self.of.values():
            table.clear()
        self.any = 0

    def around(self, process: int, parent: int, file: int, trees: int, files: int) -> int:
        """Which of these bits are waited for by an ancestor of a process, by a file, or by one that an
        ancestor executed."""
        found = 0
        above = self._lineage.above(parent)
        if trees:
            waited = self._trees
            if process in waited:
                found = waited[process]
            if not waited.keys().isdisjoint(above):
                for each in above:
                    found |= waited.get(each, 0)
            found &= trees
        if files:
            bits = self._files.get(file, 0)
            for each in self._lineage.executed_by((process, *above)):
                bits |= self._files.get(each, 0)
            found |= bits & files
        return found
