"""What the identity commands show: text made safe for a terminal, errors, tables, progress on long work."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import click

from identity.errors import IdentityError
from identity.progress import Progress

REFUSED = 1
"""Exit status when a credential or file was refused."""
BAD_INPUT = 2
"""Exit status when the command could not be carried out."""

_QUIET_SECONDS = 1.0
P = ParamSpec("P")
T = TypeVar("T")


def tells_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Show an IdentityError as its sentence, and end with the status for bad input."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except IdentityError as error:
            say(f"menshen identity: {error}", error=True)
            sys.exit(BAD_INPUT)

    return wrapped


def shown(text: str) -> str:
    """Text with whatever could steer a terminal written out; line breaks stay."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def say(text: str, *, error: bool = False) -> None:
    """Print a line."""
    click.echo(shown(text), err=error)


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    known = list(rows)
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        say(f"{name:<{width}}  {value}")


def table(rows: Sequence[tuple[int, str]]) -> None:
    """Print numbers with what they count."""
    width = max((len(str(number)) for number, _ in rows), default=0)
    for number, what in rows:
        say(f"  {number:>{width}}  {what}")


@contextmanager
def reporting() -> Iterator[Progress]:
    """Progress on standard error once work has gone on for a while: a bar on a terminal, lines elsewhere."""
    reporter = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        yield reporter
    finally:
        reporter.close()


class _Lines:
    def __init__(self) -> None:
        self._what = ""
        self._next = time.monotonic() + _QUIET_SECONDS

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now < self._next or (what == self._what and now < self._next + 4):
            return
        self._what, self._next = what, now
        of = f" of {total}" if total is not None else ""
        click.echo(f"{what}: {done}{of}" if done else what, err=True)

    def close(self) -> None:
        """Nothing to clear away."""


class _Bar:
    def __init__(self) -> None:
        self._start = time.monotonic() + _QUIET_SECONDS
        self._progress: Any = None
        self._task: Any = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if self._progress is None:
            if time.monotonic() < self._start:
                return
            from rich.console import Console  # noqa: PLC0415  # only long work pays for it
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._progress = Bar(console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(what, total=None)
            self._progress.start()
        self._progress.update(self._task, description=what, completed=done, total=total)

    def close(self) -> None:
        """Clear the bar away."""
        if self._progress is not None:
            self._progress.stop()
