"""The text of a sequence as it stands, but for its mode: what is applied once it is certified."""

from __future__ import annotations

import re
from typing import Final

from policies.parse import parse_text
from policies.sequence import Sequence

_MODE: Final = re.compile(r"mode:\s*\w+")
_SEPARATOR: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
"""`---` at the beginning of a line always parts documents in YAML, in a block of text too."""


def to_block(text: str, sequence: Sequence) -> str:
    """The document of `sequence` out of the text of its file, with `mode: block`.

    Errors: ValueError if it is written in a way that this cannot change.
    """
    lines, first = _document(text, sequence.place.line)
    spec = sequence.place.line - first
    if sequence.mode_place is not None:
        at, column = sequence.mode_place.line - first, sequence.mode_place.column - 1
        lines[at] = lines[at][:column] + _MODE.sub("mode: block", lines[at][column:], count=1)
    elif "{" in lines[spec]:
        lines[spec] = lines[spec].replace("{", "{mode: block, ", 1)
    else:
        following = next(each for each in lines[spec + 1 :] if each.strip() and each.lstrip()[0] != "#")
        indent = following[: len(following) - len(following.lstrip())]
        lines.insert(spec + 1, f"{indent}mode: block\n")
    changed = "".join(lines)
    (found,) = parse_text(changed).sequences
    if not found.blocks or found.digest != sequence.digest:
        raise ValueError(f"{sequence.place}: write mode: block into it by hand")
    return changed


def _document(text: str, line: int) -> tuple[list[str], int]:
    """The lines of the document that has a line, and the number of the first of them."""
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text))]
    numbers = [text.count("\n", 0, start) + 1 for start in starts]
    index = max(at for at, number in enumerate(numbers) if number <= line)
    end = next((match.start() for match in _SEPARATOR.finditer(text, starts[index])), len(text))
    lines = text[starts[index] : end].splitlines(keepends=True)
    if index and lines and not lines[0].strip():
        return lines[1:], numbers[index] + 1
    return lines, numbers[index]
