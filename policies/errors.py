"""What is wrong with a policy, where, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_SHOWN_LINE: Final = 160


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text file; lines and columns count from 1. `text` is the whole source line."""

    path: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{printable(self.path)}:{self.line}:{self.column}" if self.line else printable(self.path)

    def moved(self, columns: int) -> Place:
        """The place some characters further to the right."""
        return Place(self.path, self.line, self.column + columns, self.text)


NOWHERE: Final = Place("")


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class PolicyError(Exception):
    """One fault in a policy: a sentence, its place, and a hint that says what to write instead."""

    def __init__(self, message: str, *, place: Place = NOWHERE, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    @property
    def path(self) -> str:
        """The file."""
        return self.place.path

    @property
    def line(self) -> int:
        """The line, from 1; 0 when the fault is the whole file's."""
        return self.place.line

    @property
    def column(self) -> int:
        """The column, from 1."""
        return self.place.column

    def render(self) -> str:
        """The message, the source line with a caret below the fault, and the hint."""
        return render(self.message, self.place, self.hint)

    def __str__(self) -> str:
        return self.render()


class PolicyErrors(ExceptionGroup[PolicyError]):
    """Everything that was found wrong, in the order of files and lines."""

    @staticmethod
    def of(errors: Iterable[PolicyError]) -> PolicyErrors:
        """Group `errors`, of which there must be one at least."""
        found = list(errors)
        count = "one fault" if len(found) == 1 else f"{len(found)} faults"
        return PolicyErrors(f"{count} in the policies", found)

    def derive(self, excs: Sequence[PolicyError], /) -> PolicyErrors:  # type: ignore[override]
        """Keep the type when `except*` splits the group."""
        return PolicyErrors(self.message, excs)

    def render(self) -> str:
        """All faults, one paragraph each."""
        return "\n\n".join(error.render() for error in self.errors)

    @property
    def errors(self) -> tuple[PolicyError, ...]:
        """The faults themselves."""
        return tuple(error for error in self.exceptions if isinstance(error, PolicyError))

    def __str__(self) -> str:
        return self.render()


def render(message: str, place: Place, hint: str = "") -> str:
    """A located message in the manner of compilers, safe to print on a terminal."""
    lines = [f"{place}: {printable(message)}" if place.path else printable(message)]
    if place.text:
        start = max(0, place.column - MAX_SHOWN_LINE // 2) if len(place.text) > MAX_SHOWN_LINE else 0
        window = place.text[start : start + MAX_SHOWN_LINE].replace("\t", " ").rstrip()
        caret = len(printable(window[: place.column - 1 - start]))
        margin = " " * len(str(place.line))
        lines.append(f"  {place.line} | {printable(window)}")
        lines.append(f"  {margin} | {' ' * caret}^")
    if hint:
        lines.append(f"  hint: {printable(hint)}")
    return "\n".join(lines)
