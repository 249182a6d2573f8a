"""What a check finds, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from policies.compile import Compiled
from policies.errors import Place, render
from policies.evaluate import Evaluator


class Severity(Enum):
    """Errors are refused unless forced; warnings are told."""

    ERROR = 0
    WARNING = 1


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. `code` names the validator's rule, for filters and for the reference."""

    severity: Severity
    code: str
    message: str
    place: Place
    hint: str = ""

    def render(self) -> str:
        """As errors are rendered, with the severity and the code."""
        word = self.severity.name.lower()
        return render(f"{word}: {self.message} [{self.code}]", self.place, self.hint)

    def __str__(self) -> str:
        return self.render()


@dataclass(frozen=True, slots=True)
class Subject:
    """What validators look at: the documents, their image, and who is known on the host."""

    compiled: Compiled
    evaluator: Evaluator
    known: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Validator:
    """One check, the codes of what it can find, and what these mean."""

    codes: tuple[str, ...]
    meaning: str
    run: Callable[[Subject], Iterator[Issue]]


def validator(*codes: str) -> Callable[[Callable[[Subject], Iterator[Issue]]], Validator]:
    """Make a function a Validator; its docstring says what its findings mean."""

    def make(run: Callable[[Subject], Iterator[Issue]]) -> Validator:
        return Validator(codes, (run.__doc__ or "").splitlines()[0], run)

    return make


def warning(code: str, message: str, place: Place, hint: str = "") -> Issue:
    """An issue that does not keep a policy from being applied."""
    return Issue(Severity.WARNING, code, message, place, hint)
