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
    refused: dict[str, LoadError] = {}
    while wanted := [name for name in names if name not in refused]:
        error = _refusal(path, wanted, log_path)
        if error is None:
            break
        if error.program in wanted:
            refused[error.program] = error
            continue
        # It did not say which: ask one by one.
        alone = {name: _refusal(path, [name], log_path) for name in wanted}
        refused |= {name: error for name, error in alone.items() if error is not None}
        break
    return [
        Verdict(p.name, p.section, p.optional, False, refused[p.name].reason, refused[p.name].tail)
        if p.name in refused
        else Verdict(p.name, p.section, p.optional, True)
        for p in everything
        if p.name in names
    ]


def _refusal(path: Path, wanted: Collection[str], log_path: Path | None) -> LoadError | None:
    with BpfObject(path) as opened:
        if "catalogue" in opened.maps:
            opened.maps["catalogue"].resize(max_entries=SMALL_CATALOGUE)
        for program in opened.programs.values():
            program.autoload(program.name in wanted)
        try:
            opened.load(log_path)
        except LoadError as error:
            return error
    return None
