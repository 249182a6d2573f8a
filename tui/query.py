"""The words behind `/`: all must be in a line, `!word` must not; capitals do not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class HasText(Protocol):
    """What can be searched."""

    @property
    def word(self) -> str:
        """Its kind."""

    @property
    def text(self) -> str:
        """The rest of it."""


@dataclass(frozen=True, slots=True)
class Query:
    """A filter as it was typed."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Query:
        """Parse what was typed."""
        words = text.casefold().split()
        return cls(
            tuple(word for word in words if not word.startswith("!")),
            tuple(word[1:] for word in words if word.startswith("!") and len(word) > 1),
        )

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted)

    def __call__(self, line: HasText) -> bool:
        """Whether the line is wanted."""
        if not self:
            return True
        text = f"{line.word} {line.text}".casefold()
        return all(word in text for word in self.wanted) and not any(word in text for word in self.unwanted)
