"""Strings of the host on their way to a person: nothing in them may drive a terminal or change what is read.

Paths and command names are chosen by whoever is being watched. What is not plainly printable is written as a
backslash escape: controls, terminal escapes, bidirectional and zero-width characters, line separators, bytes
that are not UTF-8, and the backslash itself, so that the result can be read back in one way only.
"""

from __future__ import annotations

import os

_LATIN = 0x100
_BMP = 0x10000
_SURROGATE_ESCAPE = range(0xDC80, 0xDD00)


def escape(text: str) -> str:
    """`text` in printable characters only, on one line."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_character, text))


def escape_bytes(raw: bytes) -> str:
    """A path or name as the kernel has it, in printable characters only."""
    return escape(os.fsdecode(raw))


def _character(char: str) -> str:
    number = ord(char)
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    if number in _SURROGATE_ESCAPE:
        return f"\\x{number - 0xDC00:02x}"
    if number < _LATIN:
        return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"
    return f"\\u{number:04x}" if number < _BMP else f"\\U{number:08x}"
