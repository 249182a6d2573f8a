"""What a rule asks of one value: the reference for every answer.

Values are bytes, as the kernel has them. Case is ignored for ASCII letters only, whatever the bytes mean to
people; `?` is one character of UTF-8, or one byte.
"""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Value = bytes | int | Address | None
"""None: the event does not have it. Text that is empty is the same."""


class Wild(enum.Enum):
    """What stands for other characters in a pattern."""

    ANY = "*"
    ONE = "?"


Part = bytes | Wild

ONE: Final = rb"(?:[\xc0-\xff][\x80-\xbf]*|[\x00-\xff])"
"""Regular expression of `?`."""


def text(value: Value) -> bytes:
    """A value as text patterns see it."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    return b"%d" % value if isinstance(value, int) else str(value).encode()


@dataclass(frozen=True)
class Text:
    """The whole of a value, with wildcards. An empty pattern also matches what an event does not have."""

    parts: tuple[Part, ...]
    cased: bool = False

    def matches(self, value: Value) -> bool:
        """Whether it does."""
        return self._pattern.fullmatch(text(value)) is not None

    @property
    def literal(self) -> bytes | None:
        """The text itself if there are no wildcards."""
        fixed = [part for part in self.parts if isinstance(part, bytes)]
        return b"".join(fixed) if len(fixed) == len(self.parts) else None

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        # the first place where a part fits is as good as any other: no going back, so no explosion
        source, ahead = b"", self.parts
        while ahead:
            part, ahead = ahead[0], ahead[1:]
            if part is not Wild.ANY:
                source += _source(part)
            elif Wild.ANY not in ahead:
                source += b".*"
            else:
                end = ahead.index(Wild.ANY)
                inner = b"".join(map(_source, ahead[:end]))
                source += b"(?>.*?" + inner + b")"
                ahead = ahead[end:]
        return re.compile(source, re.DOTALL | (0 if self.cased else re.IGNORECASE))


def _source(part: Part) -> bytes:
    return re.escape(part) if isinstance(part, bytes) else ONE


@dataclass(frozen=True)
class Regex:
    """A regular expression of RE2, found anywhere in the value. It sees bytes: `.` is one of them."""

    source: bytes
    flags: str = ""
    """Of `i`, `m` and `s`."""

    def matches(self, value: Value) -> bool:
        """Whether it is found; never in what an event does not have."""
        found = text(value)
        return bool(found) and self._pattern.search(found) is not None

    @cached_property
    def _pattern(self) -> Any:
        return compiled(self.source, self.flags)


def compiled(source: bytes, flags: str = "") -> Any:
    """A compiled expression, linear in what it searches. ValueError says what is wrong with it."""
    import re2  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile((f"(?{flags})".encode() if flags else b"") + source, options)
    except re2.error as error:
        raise ValueError(os.fsdecode(error.args[0])) from None


@dataclass(frozen=True)
class Within:
    """An address of a network."""

    network: IPv4Network | IPv6Network

    def matches(self, value: Value) -> bool:
        """Whether it is."""
        return isinstance(value, (IPv4Address, IPv6Address)) and value in self.network


class Order(enum.Enum):
    """How a number compares."""

    EQUAL = "=="
    OTHER = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True)
class Compare:
    """A number."""

    order: Order
    number: int | float

    def matches(self, value: Value) -> bool:
        """Whether the value is a number that compares so."""
        if not isinstance(value, int):
            return False
        sign = (value > self.number) - (value < self.number)
        return sign in _SIGNS[self.order]


_SIGNS: Final = {
    Order.EQUAL: (0,),
    Order.OTHER: (-1, 1),
    Order.LESS: (-1,),
    Order.AT_MOST: (-1, 0),
    Order.MORE: (1,),
    Order.AT_LEAST: (0, 1),
}


@dataclass(frozen=True)
class Has:
    """Whether the event has the value at all."""

    there: bool

    def matches(self, value: Value) -> bool:
        """Whether that is so."""
        return (value not in {None, b""}) is self.there


class Side(enum.Enum):
    """How one field's text is in another's."""

    EQUAL = "equal"
    STARTS = "starts with"
    ENDS = "ends with"


@dataclass(frozen=True)
class Same:
    """The text of another field, in any case of its ASCII letters. An event that lacks one does not match."""

    side: Side

    def matches(self, value: Value, other: Value) -> bool:
        """Whether the value is, starts with or ends with the other."""
        mine, theirs = text(value).lower(), text(other).lower()
        if not mine or not theirs:
            return False
        if self.side is Side.EQUAL:
            return mine == theirs
        return mine.startswith(theirs) if self.side is Side.STARTS else mine.endswith(theirs)


Test = Text | Regex | Within | Compare | Has
