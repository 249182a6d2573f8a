"""The sequences that are shipped: files of ours, by tactic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from policies import load_paths
from policies.sequence import Sequence

SEQUENCES: Final = Path(__file__).resolve().parents[1] / "library/sequences"


def shipped() -> tuple[Sequence, ...]:
    """All of them."""
    return load_paths([SEQUENCES]).sequences
