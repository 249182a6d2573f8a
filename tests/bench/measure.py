"""From the program's words to figures: instructions per operation, and whether they can be believed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Final

LOOP: Final = 2_000_000
"""Instructions of the loop by which the program checks its counter."""
LOOP_SLACK: Final = 1.001


class BenchError(Exception):
    """A configuration did not do what it should, so that its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation under one configuration."""

    instructions: float
    """Median over the batches."""
    spread: float
    """Half of the batches lie within this part of the median."""
    iterations: int


def read(out: str, *, denied: bool) -> dict[str, Cost]:
    """Costs by operation. BenchError if it did not prove itself, or if it counts no instructions."""
    costs: dict[str, Cost] = {}
    proven = counted = False
    for line in out.splitlines():
        name, *words = line.split()
        match name:
            case "proof":
                proven = words[1] == "allowed" and words[3] == ("denied" if denied else "allowed")
            case "counter":
                counted = LOOP <= int(words[0]) < LOOP * LOOP_SLACK
                if not counted:
                    raise BenchError(f"{LOOP} instructions took {words[0]} units: -icount is not on")
            case _:
                iterations = int(words[0])
                costs[name] = _cost([int(word) / iterations for word in words[1:]], iterations)
    if not (proven and counted):
        raise BenchError(f"the program did not prove under what it ran: {out[:200]}")
    return costs


def _cost(batches: list[float], iterations: int) -> Cost:
    median = statistics.median(batches)
    low, _, high = statistics.quantiles(batches, n=4, method="inclusive")
    return Cost(median, (high - low) / median, iterations)
