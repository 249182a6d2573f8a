"""The one error of this package: a sentence for a person, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a file that a person has to look at; `rendered` is all of it, with line and caret."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    rendered: str = ""
    warning: bool = False

    def __str__(self) -> str:
        return (
            self.rendered or (f"{self.file}:{self.line}:{self.column}: " if self.line else "") + self.message
        )


@dataclass(eq=False)
class EnforcerError(Exception):
    """What was asked for did not happen; the message says why and the hint what to do."""

    message: str
    hint: str = ""
    problems: tuple[Problem, ...] = field(default=())

    def __str__(self) -> str:
        lines = [self.message, *(str(problem) for problem in self.problems)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class RefusedError(EnforcerError):
    """The caller may not ask for this."""
