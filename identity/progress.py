"""How long work tells its caller how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then: what is being done, how many are done, and of how many where that is known."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take note; called from one thread only."""


def silent(what: str, done: int, total: int | None) -> None:
    """Tell nobody."""
