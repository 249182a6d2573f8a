"""Did-you-mean, for fields and words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def suggestion(word: str, known: Iterable[str], instead: Mapping[str, str] | None = None) -> str:
    """What to write instead of `word`: a known synonym, the nearest known word, or all of them."""
    words = list(known)
    simple = word.strip().lower().removeprefix("cap_")
    if instead and simple in instead:
        return f"write {instead[simple]}"
    if simple in words:
        return f"write {simple}"
    swapped = simple.replace("_", "-") if simple.replace("_", "-") in words else simple.replace("-", "_")
    if swapped in words:
        return f"write {swapped}"
    if near := difflib.get_close_matches(simple, words, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    return f"one of: {', '.join(words)}"


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known words that look most like `word`, the nearest first; none if none does."""
    return difflib.get_close_matches(word, list(known), n=count, cutoff=0.6)
