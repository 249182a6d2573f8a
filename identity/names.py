"""Identity names: their grammar, their 64-bit ids, and the patterns that say which names a key may give."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

from identity.errors import IdentityError

MAX_NAME_BYTES = 128
UNIDENTIFIED_ID = 0
FIRST_ID = 16
"""Ids below this one are the kernel programs' own (0 is the unidentified)."""

RESERVED_PREFIXES = ("os/", "menshen/")
"""Names that speak for the distribution or for Menshen; a trust root must open them explicitly."""

RESERVED_NAMES = frozenset({"unidentified", "self", "own", "os", "menshen"})
"""Words of the policy language, and the bare reserved prefixes: never a whole name."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*$"
"""The grammar as a regular expression, for schemas; `check_name` is the authority."""

_SEGMENT = re.compile(r"[a-z0-9][a-z0-9._+-]*\Z")
_PATTERN_SEGMENT = re.compile(r"[a-z0-9._+*?-]+\Z")


def check_name(name: str) -> str:
    """Return `name` if it is an identity name; otherwise raise, saying which part is wrong."""
    shown = name[:140]
    if not name:
        raise IdentityError("an identity name is empty", hint="a name like payments/api")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise IdentityError(f"identity name {shown!r} is longer than {MAX_NAME_BYTES} bytes")
    for segment in name.split("/"):
        if not segment:
            raise IdentityError(
                f"identity name {shown!r} has an empty segment", hint="segments parted by single slashes"
            )
        if not _SEGMENT.match(segment):
            raise IdentityError(
                f"identity name {shown!r}: segment {segment!r} is not allowed",
                hint="lower-case letters, digits and . _ + -, beginning with a letter or digit",
            )
    if name in RESERVED_NAMES:
        raise IdentityError(f"identity name {shown!r} is a reserved word", hint="a name like payments/api")
    return name


def is_name(name: str) -> bool:
    """Whether `name` is an identity name."""
    try:
        check_name(name)
    except IdentityError:
        return False
    return True


@lru_cache(maxsize=65536)
def identity_id(name: str) -> int:
    """The id of an identity in kernel maps and events: stable across hosts, never below FIRST_ID."""
    digest = hashlib.sha256(check_name(name).encode()).digest()
    while (number := int.from_bytes(digest[:8], "little")) < FIRST_ID:
        digest = hashlib.sha256(digest).digest()
    return number


def ids(names: Iterable[str]) -> dict[int, str]:
    """Map ids back to names; two names with one id are refused, since a policy could not tell them apart."""
    found: dict[int, str] = {}
    for name in names:
        other = found.setdefault(identity_id(name), name)
        if other != name:
            raise IdentityError(
                f"identities {other!r} and {name!r} have the same 64-bit id: rename one of them"
            )
    return found


def reserved_by(pattern: str) -> tuple[str, ...]:
    """The reserved prefixes that some name given by this pattern (or name) lies under."""
    first, slash, _rest = pattern.partition("/")
    if not slash:
        return RESERVED_PREFIXES if first == "**" else ()
    return tuple(prefix for prefix in RESERVED_PREFIXES if _segment_matches(first, prefix[:-1]))


def check_unreserved(name: str) -> str:
    """Return `name` if it is an identity name outside the reserved prefixes."""
    check_name(name)
    for prefix in reserved_by(name):
        raise IdentityError(f"identity name {name!r} lies under {prefix}, which is reserved")
    return name


def check_pattern(pattern: str) -> str:
    """Return `pattern` if it can match identity names: segments with `*` and `?`, `**` for a whole tail."""
    if not pattern:
        raise IdentityError("an identity pattern is empty", hint="a pattern like payments/*")
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise IdentityError(f"identity pattern {pattern[:140]!r} is longer than {MAX_NAME_BYTES} bytes")
    segments = pattern.split("/")
    for position, segment in enumerate(segments):
        if segment == "**":
            if position != len(segments) - 1:
                raise IdentityError(
                    f"identity pattern {pattern!r}: ** stands only at the end",
                    hint="payments/** or payments/*/api",
                )
        elif "**" in segment or not _PATTERN_SEGMENT.match(segment) or segment[0] in "._+-":
            raise IdentityError(
                f"identity pattern {pattern!r}: segment {segment!r} can match no name",
                hint="lower-case letters, digits and . _ + - with * or ? in a segment, ** for a whole tail",
            )
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` gives `name`: `*` and `?` stay in a segment, a last `**` takes one or more."""
    wanted, given = pattern.split("/"), name.split("/")
    if wanted[-1] == "**":
        wanted = wanted[:-1]
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        _segment_matches(part, word) for part, word in zip(wanted, given, strict=True)
    )


def _segment_matches(pattern: str, word: str) -> bool:
    """Greedy glob over one segment: linear in practice, never exponential, whatever the pattern."""
    at = here = 0
    star, resume = -1, 0
    while here < len(word):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", word[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(char == "*" for char in pattern[at:])
