"""Nothing that is shown can drive a terminal or be read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.escape import escape, escape_bytes

CASES = [
    ("/etc/passwd", "/etc/passwd"),
    ("\x1b[2J", "\\x1b[2J"),
    ("a\nb", "a\\x0ab"),
    ("\u202egpj.exe", "\\u202egpj.exe"),
    ("zero\u200bwidth", "zero\\u200bwidth"),
    ("\x9b31m", "\\u009b31m"),
    ("back\\slash", "back\\\\slash"),
    ("\\x1b", "\\\\x1b"),
    ("\U000e0041", "\\U000e0041"),
    ("密钥", "密钥"),
]


@pytest.mark.parametrize(("raw", "shown"), CASES)
def test_escape(raw: str, shown: str) -> None:
    assert escape(raw) == shown


def test_bytes_that_are_not_utf8() -> None:
    assert escape_bytes(b"/tmp/\xff\xfe") == "/tmp/\\xff\\xfe"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_is_shown_is_printable_and_says_which_bytes_they_were(one: bytes, other: bytes) -> None:
    shown = escape_bytes(one)
    assert shown.isprintable()
    assert (shown == escape_bytes(other)) == (one == other)
