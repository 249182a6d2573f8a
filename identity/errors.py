"""The one error of this package: a sentence for a person, with the place it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text file; lines and columns count from 1."""

    file: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class IdentityError(Exception):
    """Input that cannot be used. The message says what is wrong, the hint what to write instead."""

    def __init__(self, message: str, *, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        lines = [head]
        if self.place and self.place.text:
            shown = self.place.text.expandtabs(1).rstrip()[:200]
            lines.append(f"  {self.place.line} | {shown}")
            lines.append(f"  {' ' * len(str(self.place.line))} | {' ' * (self.place.column - 1)}^")
        if self.hint:
            lines.append(f"  write instead: {self.hint}")
        return "\n".join(lines)
