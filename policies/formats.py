"""Checkers of single values that the schemas name by `format`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policies import durations, endpoint, names, pattern


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value, how many characters into it, and what to write instead."""

    message: str
    hint: str = ""
    offset: int = 0


def _pattern(text: str) -> Fault | None:
    try:
        pattern.parse(text)
    except pattern.PatternError as error:
        message = (
            error.message if text in error.message else f'pattern "{text}" can never match: {error.message}'
        )
        return Fault(message, error.hint, error.offset)
    return None


def _path(text: str) -> Fault | None:
    if text.startswith("@"):
        return Fault(f'"{text}" is an abstract socket, not a path', "write it as unix: under network")
    return _pattern(text)


def _unix(text: str) -> Fault | None:
    if not text.startswith(("/", "@")):
        return Fault(f'"{text}" is neither a path nor an abstract name', 'write "/run/x.sock" or "@name"')
    return _pattern(text)


def _identity(text: str) -> Fault | None:
    problem = names.name_problem(text)
    return Fault(problem, "a name like payments/api") if problem else None


def _value_error(check: Callable[[str], object]) -> Callable[[str], Fault | None]:
    def checker(text: str) -> Fault | None:
        try:
            check(text)
        except ValueError as error:
            message, hint = error.args
            return Fault(message, hint)
        return None

    return checker


CHECKERS: Final[dict[str, Callable[[str], Fault | None]]] = {
    "menshen-path": _path,
    "menshen-unix": _unix,
    "menshen-identity": _identity,
    "menshen-cidr": _value_error(endpoint.network),
    "menshen-duration": _value_error(durations.parse),
    "menshen-ports": _value_error(endpoint.port_range),
}
