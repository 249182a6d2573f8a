"""Cutting single documents out of a file's text."""

from __future__ import annotations

import pytest

from enforcer.agent.documents import without

CASES = [
    ("the first of two", b"a: 1\n---\nb: 1\n", {1}, b"---\nb: 1\n"),
    ("the second of two", b"a: 1\n---\nb: 1\n", {3}, b"a: 1\n---\nb: 1\n".removesuffix(b"---\nb: 1\n")),
    ("the middle one", b"---\na: 1\n---\nb: 1\n---\nc: 1\n", {4}, b"---\na: 1\n---\nc: 1\n"),
    ("the only one", b"# words\na: 1\n", {2}, b""),
    ("all of them, comments left", b"# words\n---\na: 1\n", {3}, b""),
    ("none", b"a: 1\n---\nb: 1\n", set(), b"a: 1\n---\nb: 1\n"),
    (
        "dashes inside a line part nothing",
        b"a: x---\n# ---\n---- : 1\n",
        set(),
        b"a: x---\n# ---\n---- : 1\n",
    ),
    ("without a last line feed", b"a: 1\n---\nb: 1", {3}, b"a: 1\n"),
]


@pytest.mark.parametrize(
    ("content", "lines", "left"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_without(content: bytes, lines: set[int], left: bytes) -> None:
    assert without(content, lines) == left
