"""The rules of the images in force lately: an event names its generation and the number of a rule."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.image import Builtin

KEPT: Final = 16
"""Generations whose rules are kept: events of older ones still wait in a ring only if nobody reads it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as a person knows it."""

    name: str
    """Of the Policy or Protection it belongs to; of the builtin rule."""
    kind: str
    """builtin, protection, or a part of a Policy: default, file, exec, network, special, capabilities, jit,
    base."""
    file: str = ""
    line: int = 0
    text: str = ""
    """Its source line, or for a builtin rule what it is for."""
    mode: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" if self.file else ""


BUILTIN: Final = {
    Builtin.NONE: Rule("none", "builtin", text="no rule: this should not happen, please report it"),
    Builtin.UNRESOLVED_PATH: Rule(
        "unresolved-path", "builtin", text="a path that cannot be resolved is denied to a confined subject"
    ),
    Builtin.GUARD: Rule(
        "guard", "builtin", text="Menshen's own programs, maps, processes and files are the agent's alone"
    ),
    Builtin.UNIDENTIFIED_PROGRAM: Rule(
        "unidentified-program", "builtin", text="a program or library without a credential that checks"
    ),
    Builtin.NO_PATH: Rule(
        "no-path", "builtin", text="memory files, pipes and shared memory are not used as programs"
    ),
    Builtin.GAIN: Rule("gain", "builtin", text="a rename or link must not give more rights than there were"),
    Builtin.SCRATCH: Rule("no-memory", "builtin", text="no memory to judge with: denied to the confined"),
}  # fmt: skip


class RuleTables:
    """The rules of recent generations."""

    def __init__(self) -> None:
        self._tables: OrderedDict[int, Sequence[Rule]] = OrderedDict()

    def keep(self, generation: int, rules: Sequence[Rule]) -> None:
        """Take in the rules of an image, the builtin ones first, by number."""
        tables = OrderedDict(self._tables)
        tables[generation] = rules
        while len(tables) > KEPT:
            tables.popitem(last=False)
        self._tables = tables  # a reader has the old tables or the new ones, whole

    def rule(self, generation: int, number: int) -> Rule:
        """The rule of an event."""
        table = self._tables.get(generation, ())
        if number < len(table):
            return table[number]
        if number in BUILTIN:
            return BUILTIN[Builtin(number)]
        return Rule(f"rule {number} of generation {generation}", "unknown")
