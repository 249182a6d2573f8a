"""The table, the rows of build/bench.json, and which bars are met."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Cost
from tests.bench.world import (
    COLD,
    COMPILE_BAR,
    FLAT,
    HUGE,
    LARGE,
    MANY,
    MEMORY_BAR,
    NO_POLICY,
    OPERATIONS,
    RULES,
    STATES,
    SWAP_BAR,
    UNCONFINED_BAR,
    WARM,
    WARM_OPEN,
    Operation,
)

OUTPUT: Final = Path(__file__).resolve().parents[2] / "build/bench.json"
AREA: Final = "gate"
BASE: Final = "no-lsm"
APPARMOR: Final = f"apparmor-{LARGE}"
PEERS: Final = (BASE, "registered", "empty", NO_POLICY, APPARMOR)
SMALL: Final = min(RULES)
GROWN: Final = (f"{LARGE}", f"{HUGE}", MANY)
FIGURES: Final = {
    "compile": (f"compile/{HUGE}", "seconds of processor time", COMPILE_BAR),
    "fill": (f"swap/fill-{HUGE}", "milliseconds of guest time", None),
    "swap": (f"swap/{HUGE}", "milliseconds of guest time", SWAP_BAR),
    "memory": (f"memory/{HUGE}", "MiB", MEMORY_BAR),
}
"""What is no ratio: the row's name, the unit and the bar."""

Measured = dict[str, dict[str, Cost]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of build/bench.json."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    peers: dict[str, float] = field(default_factory=dict)


def rows(measured: Measured, figures: dict[str, float]) -> list[Row]:
    """All rows: ratios to no LSM, whether they grow with the rules, the instructions, and other figures."""
    found = [row for operation in OPERATIONS for row in _rows(operation, measured)]
    for which, (name, unit, bar) in FIGURES.items():
        found.append(Row(f"{AREA}/{name}", round(figures[which], 3), unit, bar))
    return found


def _rows(operation: Operation, measured: Measured) -> list[Row]:
    name = operation.name
    costs = {which: found[name].instructions for which, found in measured.items() if name in found}
    ratios = {which: round(cost / costs[BASE], 4) for which, cost in costs.items()}
    peers = {peer: ratios[peer] for peer in PEERS}
    found = []
    for which in costs:
        state, _, count = which.partition("-")
        if state not in {*STATES, "unconfined"}:
            continue
        # Where nothing but opens tells warm from cold, the plain number of rules is the name.
        label = count if state == WARM and not operation.is_open else which
        found.append(
            Row(f"{AREA}/{name}/{label}", ratios[which], "ratio", _bar(operation, state, count), peers)
        )
    for state in (WARM, COLD):
        for image in GROWN:
            if f"{state}-{image}" in costs:
                words = ["flat"] + [state] * (state == COLD) + [image] * (image != GROWN[0])
                growth = costs[f"{state}-{image}"] / costs[f"{state}-{SMALL}"]
                unit = f"ratio of {image} to {SMALL} rules"
                found.append(Row(f"{AREA}/{name}/{'-'.join(words)}", round(growth, 4), unit, 1 + FLAT))
    instructions = {which: round(cost, 1) for which, cost in costs.items()}
    found.append(
        Row(f"{AREA}/{name}/{BASE}", instructions.pop(BASE), "instructions", peers=instructions),
    )
    return found


def _bar(operation: Operation, state: str, count: str) -> float | None:
    if state == "unconfined":
        return UNCONFINED_BAR
    if count != str(LARGE):
        return None
    return {WARM: operation.bar, COLD: operation.cold_bar}.get(state)


def first_bar(measured: Measured) -> list[str]:
    """What is wanting of the bar that decides; empty if it is met."""
    missed = []
    for operation in (each for each in OPERATIONS if each.is_open):
        cost = {which: found[operation.name].instructions for which, found in measured.items()}
        for count in RULES:
            ratio = cost[f"warm-{count}"] / cost[BASE]
            if ratio > WARM_OPEN:
                missed.append(f"{operation.name} warm with {count} rules is {ratio:.3f}, above {WARM_OPEN}")
            if cost[f"cold-{count}"] >= cost[APPARMOR]:
                ratio, theirs = cost[f"cold-{count}"] / cost[BASE], cost[APPARMOR] / cost[BASE]
                text = f"{operation.name} cold with {count} rules is {ratio:.3f}"
                missed.append(f"{text}, not below AppArmor: {theirs:.3f}")
        for state in (WARM, COLD):
            growth = cost[f"{state}-{LARGE}"] / cost[f"{state}-{SMALL}"] - 1
            if abs(growth) > FLAT:
                missed.append(
                    f"{operation.name} {state} changes by {growth:.1%} from {SMALL} to {LARGE} rules"
                )
    return missed


def write(measured: Measured, figures: dict[str, float]) -> Path:
    """Our rows in the place of those of an earlier run; rows of other areas stay."""
    return keep(rows(measured, figures), lambda name: not name.startswith(f"{AREA}/"))


def keep(new: Iterable[Row], stays: Callable[[str], bool] = lambda _: True) -> Path:
    """Put rows into build/bench.json, in place of those of the same name; others stay if `stays` says so."""
    found = list(new)
    names = {row.name for row in found}
    old = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else []
    kept = [row for row in old if stays(row["name"]) and row["name"] not in names]
    OUTPUT.parent.mkdir(exist_ok=True)
    lines = [json.dumps(row) for row in [*(asdict(row) for row in found), *kept]]
    OUTPUT.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    return OUTPUT


def show(kernel: str, measured: Measured, figures: dict[str, float]) -> bool:
    """Print everything. Whether the first bar is met."""
    console = Console(width=None if Console().is_terminal else 240, highlight=False)
    columns = [which for which in measured if which not in {BASE, "no-lsm-again"}]
    table = Table(title=f"instructions an operation without an LSM, and ratios to that; kernel {kernel}")
    for heading in ("operation", "instructions", "again", "spread", *columns, "bar"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for operation in OPERATIONS:
        name = operation.name
        base, again = (measured[which][name] for which in (BASE, "no-lsm-again"))
        cells = [
            f"{measured[which][name].instructions / base.instructions:.3f}" if name in measured[which] else ""
            for which in columns
        ]
        spread = max(found[name].spread for found in measured.values() if name in found)
        bars = [str(bar) for bar in (operation.bar, operation.cold_bar) if bar]
        table.add_row(
            name,
            f"{base.instructions:.0f}",
            f"{again.instructions / base.instructions - 1:+.2%}",
            f"{spread:.2%}",
            *cells,
            " / ".join(bars),
        )
    console.print(table)
    console.print(
        "cold: no file or directory is known; fresh: the directory is. Only cold counts for the bars"
    )
    console.print("again: no LSM at the end of the run; spread: of half the batches, the widest of the row")
    for row in rows(measured, figures):
        if row.bar and not (row.unit.startswith("ratio of") and row.value <= row.bar):
            verdict = "met" if row.value <= row.bar else "not met"
            console.print(f"  {row.name}: {row.value:.3f} {row.unit}, bar {row.bar}: {verdict}")
    missed = first_bar(measured)
    for line in missed:
        console.print(f"first bar not met: {line}")
    if not missed:
        console.print(
            f"first bar met: warm open at most {WARM_OPEN}, cold below AppArmor, "
            f"flat from {SMALL} to {LARGE} rules within {FLAT:.0%}"
        )
    return not missed
