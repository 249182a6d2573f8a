"""Who waits for what: of each key, which steps of which sequences it has got to.

What a key waits for are bits (`Interest.waits`), some more than are true until the next `clear`.
"""

from __future__ import annotations

from detect.sequences.lineage import Lineage
from policies.sequence import Key


class Waiting:
    """Bits by kind of key and key."""

    def __init__(self, lineage: Lineage) -> None:
        self.of: dict[Key, dict[int, int]] = {key: {} for key in Key}
        self._lineage = lineage

    def add(self, joined: Key, key: int, bits: int) -> None:
        """A key waits for more."""
        table = self.of[joined]
        table[key] = table.get(key, 0) | bits

    def clear(self) -> None:
        """Nobody waits for anything."""
        for table in self.of.values():
            table.clear()

    def around(self, process: int, file: int, trees: int, files: int) -> int:
        """Which of these bits are waited for by an ancestor of a process, by a file, or by one that an
        ancestor executed."""
        found = 0
        ancestors = self._lineage.ancestors(process)
        table = self.of[Key.TREE]
        if trees and not table.keys().isdisjoint(ancestors):
            for each in ancestors:
                found |= table.get(each, 0)
            found &= trees
        table = self.of[Key.FILE]
        if files and table:
            bits = table.get(file, 0)
            executed = self._lineage.executed_by(ancestors)
            if not table.keys().isdisjoint(executed):
                for each in executed:
                    bits |= table.get(each, 0)
            found |= bits & files
        return found
