"""The rules that are shipped: Sigma files of ours, by tactic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from detect.rules.model import Rule
from detect.rules.parse import load

RULES: Final = Path(__file__).resolve().parents[1] / "library/rules"


def shipped() -> tuple[Rule, ...]:
    """All of them."""
    return load([RULES])
