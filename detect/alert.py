"""What the watch says to people: an alert, with the chain of events that justifies it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """How grave, as Sigma has it."""

    INFORMATIONAL = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """One event of the chain, as `Batch.row` gives it, and why it is there."""

    step: str
    """Name of the sequence's step, or the title of the rule."""
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule or a sequence came true."""

    time: int
    """Nanoseconds of CLOCK_BOOTTIME, of the last event of the chain."""
    source: str
    """`rule` or `sequence`."""
    name: str
    """Name of the rule or of the sequence."""
    title: str
    level: Level
    session: int
    place: str
    """file:line of the definition."""
    chain: tuple[Evidence, ...]
    blocked: bool = False
    """The kernel denied the last step."""
    incomplete: bool = False
    """Events of this session were lost: something may be missing, and nothing was blocked on it."""
    tags: tuple[str, ...] = ()
    """As Sigma writes them, for example attack.execution, attack.t1059.004."""
