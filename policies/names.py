"""Identity names and their 64-bit ids, as the kernel programs and the credential side use them."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*$"
MAX_NAME: Final = 128
RESERVED_NAMES: Final = frozenset({"unidentified", "self", "own", "os", "menshen"})
UNIDENTIFIED: Final = 0
FIRST_ID: Final = 16

_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")


def name_problem(name: str) -> str:
    """Why `name` is not an identity name; empty when it is one."""
    if len(name) > MAX_NAME:
        return f"an identity name is at most {MAX_NAME} characters"
    if not _NAME.match(name):
        return "an identity name is lower-case letters, digits and . _ + - in segments parted by slashes"
    if name in RESERVED_NAMES:
        return f'"{name}" is a reserved word, not an identity'
    return ""


@lru_cache(maxsize=65536)
def identity_id(name: str) -> int:
    """The id of an identity: the first 8 bytes of sha256 of its name, little endian, never below FIRST_ID."""
    digest = hashlib.sha256(name.encode()).digest()
    while (number := int.from_bytes(digest[:8], "little")) < FIRST_ID:
        digest = hashlib.sha256(digest).digest()
    return number
