"""Bytes of the host as text that any reader of Parquet understands, and back without loss.

What is UTF-8 stays; bytes that are not, and the backslash, are written as a backslash, x and two digits.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

OVERFLOW_TEXT: Final = "\\overflow"
LOST_TEXT: Final = "\\lost"
"""What stands for a string that the watch could not keep, or that did not arrive. No string is written so."""

_WRITTEN = re.compile(rb"\\x([0-9a-f]{2})")
_BACKSLASH = "\\x5c"
_FIRST_SURROGATE = 0xDC80


def to_text(value: bytes) -> str:
    """As it is kept."""
    if b"\\" not in value:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    text = value.decode("utf-8", "surrogateescape").replace("\\", _BACKSLASH)
    if text.isascii():
        return text
    return "".join(
        f"\\x{ord(char) - 0xDC00:02x}" if _FIRST_SURROGATE <= ord(char) <= 0xDCFF else char for char in text
    )


def to_texts(values: list[bytes]) -> pa.StringArray:
    """Many at once, which is quicker where they are plain."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    if b"\\" not in b"".join(values):
        try:
            return pa.array(values, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            pass
    return pa.array(list(map(to_text, values)), pa.string())


def to_bytes(text: str) -> bytes:
    """As it was."""
    value = text.encode()
    return _WRITTEN.sub(lambda found: bytes([int(found[1], 16)]), value) if b"\\" in value else value


def address_text(raw: bytes, family: int) -> str:
    """An address for people; what is no address of its family is kept in hexadecimal."""
    if not any(raw) and family not in {4, 6}:
        return ""
    if family == 4 and not any(raw[4:]):
        return str(ipaddress.IPv4Address(raw[:4]))
    if family == 6:
        return str(ipaddress.IPv6Address(raw))
    return "0x" + raw.hex()


def address_bytes(text: str) -> bytes:
    """The 16 bytes of an event."""
    if not text:
        return bytes(16)
    if text.startswith("0x"):
        return bytes.fromhex(text[2:])
    return ipaddress.ip_address(text.partition("%")[0]).packed.ljust(16, b"\0")
