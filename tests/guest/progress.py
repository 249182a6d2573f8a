"""What takes longer than a moment says so, on standard error: a spinner on a terminal, lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

_console = Console(stderr=True, highlight=False)


def quiet() -> bool:
    return os.environ.get("MENSHEN_GUEST_QUIET", "") not in {"", "0"}


def note(text: str) -> None:
    """One line for the person who waits."""
    if not quiet():
        print(f"guest: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what goes on while the block runs, and how long it took when it is over."""
    if quiet():
        yield
        return
    begin = time.monotonic()
    if _console.is_terminal:
        with _console.status(f"guest: {text}"):
            yield
    else:
        note(f"{text} ...")
        yield
    note(f"{text}: {time.monotonic() - begin:.1f} s")
