"""What the running kernel can do, found by loading: never by version, symbol or configuration."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bpf_lsm.bpf_object import BpfObject
from bpf_lsm.errors import LoadError

SMALL_CATALOGUE = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the kernel said to one program."""

    program: str
    section: str
    optional: bool
    loadable: bool
    reason: str = ""
    tail: tuple[str, ...] = ()
    cost: int = 0
    """Instructions that the verifier went through, of its million."""


def programs(
    path: Path, *, only: Collection[str] | None = None, log_path: Path | None = None
) -> list[Verdict]:
    """Load every program, or those of `only`, and say which the kernel takes. Nothing is attached.

    Programs are loaded together while all go well; one that is refused is noted and left out of the next
    round. So a kernel that takes all is asked once, and each answer is that of a load alone.
    """
    with BpfObject(path) as opened:
        everything = list(opened.programs.values())
    names = [p.name for p in everything if only is None or p.name in only]
    costs: dict[str, int] = {}
    refused: dict[str, LoadError] = {}
    while wanted := [name for name in names if name not in refused]:
        try:
            costs = _load(path, wanted, log_path)
            break
        except LoadError as error:
            if error.program not in wanted:
                costs = _one_by_one(path, wanted, log_path, refused)
                break
            refused[error.program] = error
    return [
        Verdict(p.name, p.section, p.optional, False, refused[p.name].reason, refused[p.name].tail)
        if p.name in refused
        else Verdict(p.name, p.section, p.optional, True, cost=costs[p.name])
        for p in everything
        if p.name in names
    ]


def _one_by_one(
    path: Path, wanted: Collection[str], log_path: Path | None, refused: dict[str, LoadError]
) -> dict[str, int]:
    """For when a refusal does not say which program it is about."""
    costs: dict[str, int] = {}
    for name in wanted:
        try:
            costs |= _load(path, [name], log_path)
        except LoadError as error:
            refused[name] = error
    return costs


def _load(path: Path, wanted: Collection[str], log_path: Path | None) -> dict[str, int]:
    """Load these programs and let them go; what each cost the verifier."""
    with BpfObject(path) as opened:
        if "catalogue" in opened.maps:
            opened.maps["catalogue"].resize(max_entries=SMALL_CATALOGUE)
        for program in opened.programs.values():
            program.autoload(program.name in wanted)
        opened.load(log_path)
        return {name: opened.programs[name].cost for name in wanted}
