"""JSON from strangers: a size limit, no duplicate keys, no NaN, no surprise but IdentityError."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from identity.errors import IdentityError


def parse(content: bytes, limit: int, what: str) -> Any:
    """The value of a JSON text of at most `limit` bytes of UTF-8."""
    if len(content) > limit:
        raise IdentityError(f"{what} is larger than {limit} bytes")
    try:
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
        )
    except IdentityError as error:
        raise IdentityError(f"{what}: {error.message}") from None
    except UnicodeDecodeError:
        raise IdentityError(f"{what} is not UTF-8 text") from None
    except RecursionError:
        raise IdentityError(f"{what} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise IdentityError(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:
        raise IdentityError(f"{what} is not JSON: a number is out of range") from None


def fields(
    value: Any, what: str, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return `value` if it is an object with exactly these fields."""
    if not isinstance(value, dict):
        raise IdentityError(f"{what} is not a JSON object")
    for key in value:
        if key not in required and key not in optional:
            raise IdentityError(f"{what} has an unknown field {key[:40]!r}")
    for key in sorted(required - value.keys()):
        raise IdentityError(f"{what} has no field {key!r}")
    return value


def text(value: Any, what: str, limit: int = 256) -> str:
    """Return `value` if it is a printable string of at most `limit` characters."""
    if not isinstance(value, str):
        raise IdentityError(f"{what} is not a string")
    if len(value) > limit:
        raise IdentityError(f"{what} is longer than {limit} characters")
    if not value.isprintable():
        raise IdentityError(f"{what} holds characters that cannot be printed")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise IdentityError(f"the key {key[:40]!r} is there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise IdentityError(f"{name} is not a JSON value")
