"""How often each rule and each subject was denied since the image in force came into force.

The kernel counts by number and never starts anew, while the numbers mean other rules in the next image. So
the counts at the change are kept, under /run as long as the gate lives, and taken off.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from enforcer.agent.gateway import GateLike
from identity.files import write_atomically

log = logging.getLogger("menshen.tallies")

Pair = tuple[int, int]
"""Denied, would-deny."""


class Tallies:
    """The counts of the image in force."""

    def __init__(self, gate: GateLike, path: Path, rules: int, rows: int) -> None:
        """`rules` and `rows` are the sizes of the kernel's tables."""
        self._gate = gate
        self._path = path
        self._sizes = (rules, rows)
        self._base: tuple[dict[int, Pair], dict[int, Pair]] = ({}, {})

    def adopt(self, generation: int) -> None:
        """Take over after a restart: what was kept for this generation."""
        try:
            kept = json.loads(self._path.read_bytes())
            if kept["generation"] == generation:
                rules, rows = (
                    {int(number): (int(pair[0]), int(pair[1])) for number, pair in kept[name].items()}
                    for name in ("rules", "rows")
                )
                self._base = (rules, rows)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            self._base = ({}, {})

    def begin(self, generation: int) -> None:
        """A new image is in force: count from here."""
        rules, rows = self._sizes
        self._base = (self._gate.rule_tallies(rules), self._gate.row_tallies(rows))
        kept = {"generation": generation, "rules": self._base[0], "rows": self._base[1]}
        try:
            write_atomically(self._path, json.dumps(kept).encode())
        except OSError as error:
            log.warning("%s was not written, counts begin anew at a restart: %s", self._path, error)

    def rules(self, count: int) -> dict[int, Pair]:
        """Of the rules that fired."""
        return _less(self._gate.rule_tallies(count), self._base[0])

    def rows(self, count: int) -> dict[int, Pair]:
        """Of the subjects that were denied something."""
        return _less(self._gate.row_tallies(count), self._base[1])


def _less(now: dict[int, Pair], before: dict[int, Pair]) -> dict[int, Pair]:
    zero = (0, 0)
    found = {
        number: (pair[0] - before.get(number, zero)[0], pair[1] - before.get(number, zero)[1])
        for number, pair in now.items()
    }
    return {number: pair for number, pair in found.items() if pair != zero}
