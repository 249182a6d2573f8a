"""docs/limits.md: the cases of the catalogue that are open, and what is counted beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.guest.evasion import cases
from tests.guest.evasion.cases import VARIANTS, Case

PAGE: Final = Path(__file__).resolve().parents[3] / "docs/limits.md"

_HEAD: Final = """\
# Limits

Ways round a rule that are known and not closed. Generated from the catalogue of evasions
(`tests/guest/evasion/catalogue`) by `python -m tests.guest.evasion`; a test compares. `make test` tries
all of its cases on every kernel (`tests/guest/test_evasion.py`) and fails for one that is closed and
succeeds, or that is listed here and fails. What no case can try:
[threat model](threat-model.md#what-is-not-held-precisely).
"""


def page() -> str:
    """The whole page."""
    every = list(cases.cases())
    combined = sum(len(case.variants) for case in every)
    still_open = [case for case in every if case.open]
    lines = [
        _HEAD,
        f"The catalogue has {len(cases.classes())} classes and {len(every)} cases, {combined} with their",
        f"variants: {', '.join(VARIANTS)}.",
        "",
        "| class | case | would be denied by | variants | why it is open |",
        "|---|---|---|---|---|",
        *map(_row, still_open),
        "",
    ]
    return "\n".join(lines)


def _row(case: Case) -> str:
    variants = case.open_in or case.variants
    since = f", from {case.since[0]}.{case.since[1]} on" if case.since > (0, 0) else ""
    where = "all" if set(variants) == set(case.variants) else ", ".join(variants)
    return f"| {case.klass} | `{case.id}` | {case.denial} | {where}{since} | {case.open.strip()} |"
