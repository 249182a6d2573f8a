"""YAML text to nodes that know their place, with nothing in it that could be hostile.

Events are read one by one and never composed by the library: depth and size are bounded before anything is
built, and there are no anchors, aliases, tags, merge keys or duplicate keys. Only `true`, `false`, whole
numbers and `null` are not text, so `no`, `on` and `1e3` mean what they look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from policies.errors import Place, PolicyError, PolicyErrors

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 16
MAX_NODES: Final = 200_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a whole number, a truth value or nothing. `inner` is where its first character stands."""

    place: Place
    value: str | int | bool | None
    inner: Place


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Fields by name, with the place of each name."""

    place: Place
    entries: dict[str, Node]
    keys: dict[str, Place]


Node = Scalar | Sequence | Mapping


def documents(data: bytes, path: str) -> list[Node]:
    """The documents of one file, or PolicyErrors with everything that is wrong with it as YAML."""
    return _Builder(_decode(data, path), path).build()


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        raise PolicyErrors.of(
            [
                PolicyError(
                    f"the file has {len(data)} bytes; at most {MAX_BYTES} are read",
                    place=Place(path),
                    hint="split it into several files",
                )
            ]
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise PolicyErrors.of(
            [
                PolicyError(
                    f"byte 0x{data[error.start]:02x} is not UTF-8",
                    place=Place(path, line, column),
                    hint="save the file as UTF-8; match other bytes in paths with * instead of writing them",
                )
            ]
        ) from None
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        start = text.rfind("\n", 0, found.start()) + 1
        raise PolicyErrors.of(
            [
                PolicyError(
                    f"control character {found.group()!a} in the text",
                    place=Place(path, line, found.start() - start + 1, text[start:].split("\n", 1)[0]),
                    hint="remove it; match such characters in paths with ? or *",
                )
            ]
        )
    return text


class _Builder:
    """Builds nodes from events; `errors` collects what does not stop the reading."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.lines = text.split("\n")
        self.errors: list[PolicyError] = []
        self.count = 0

    def place(self, mark: Any) -> Place:
        line = mark.line
        text = self.lines[line].rstrip("\r") if line < len(self.lines) else ""
        return Place(self.path, line + 1, mark.column + 1, text)

    def build(self) -> list[Node]:
        found: list[Node] = []
        try:
            events = yaml.parse(self.text, Loader=_LOADER)
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    node = self.node(next(events), events, 1)
                    if not (isinstance(node, Scalar) and node.value is None):
                        found.append(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self.place(mark) if mark else Place(self.path)
            problem = error.problem or "it is not well-formed"
            if "nesting depth" in problem:  # libyaml's own bound, reached while it looks ahead
                raise PolicyErrors.of([*self.errors, _too_deep(place)]) from None
            self.errors.append(
                PolicyError(f"this is not YAML: {problem}", place=place, hint=_yaml_hint(problem, place.text))
            )
        except yaml.YAMLError as error:
            self.errors.append(PolicyError(f"this is not YAML: {error}", place=Place(self.path)))
        except PolicyError as error:
            self.errors.append(error)
        if self.errors:
            raise PolicyErrors.of(self.errors)
        return found

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        place = self.place(event.start_mark)
        self.count += 1
        if self.count > MAX_NODES:
            raise PolicyError(
                f"more than {MAX_NODES} values in one file", place=place, hint="split it into several files"
            )
        if depth > MAX_DEPTH:
            raise _too_deep(place)
        if isinstance(event, yaml.AliasEvent):
            raise PolicyError(
                f"alias *{event.anchor} is not allowed", place=place, hint="write the value out"
            )
        if event.anchor is not None:
            self.errors.append(
                PolicyError(f"anchor &{event.anchor} is not allowed", place=place, hint="write the value out")
            )
        if event.tag is not None:
            self.errors.append(
                PolicyError(f"tag {event.tag} is not allowed", place=place, hint="leave it out")
            )
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(following := next(events), yaml.SequenceEndEvent):
                items.append(self.node(following, events, depth + 1))
            return Sequence(place, tuple(items))
        return self.mapping(place, events, depth)

    def mapping(self, place: Place, events: Iterator[Any], depth: int) -> Mapping:
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(following := next(events), yaml.MappingEndEvent):
            key = self.node(following, events, depth + 1)
            value = self.node(next(events), events, depth + 1)
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                self.errors.append(
                    PolicyError(
                        "a field's name must be a word", place=key.place, hint='write it in quotes: "name"'
                    )
                )
            elif key.value == "<<":
                self.errors.append(
                    PolicyError("merge key << is not allowed", place=key.place, hint="write the fields out")
                )
            elif key.value in keys:
                self.errors.append(
                    PolicyError(
                        f'field "{key.value}" is given twice (first on line {keys[key.value].line})',
                        place=key.place,
                        hint="keep one of them",
                    )
                )
            else:
                entries[key.value] = value
                keys[key.value] = key.place
        return Mapping(place, entries, keys)

    def scalar(self, event: Any, place: Place) -> Scalar:
        text: str = event.value
        if event.style in (None, ""):  # plain
            if text in _WORDS:
                return Scalar(place, _WORDS[text], place)
            if _INTEGER.match(text):
                return Scalar(place, int(text), place)
            return Scalar(place, text, place)
        if found := _FORBIDDEN.search(text):
            self.errors.append(
                PolicyError(
                    f"control character {found.group()!a} in a value",
                    place=place,
                    hint="match such characters in paths with ? or *",
                )
            )
        return Scalar(place, text, place.moved(1) if event.style in ("'", '"') else place)


def _too_deep(place: Place) -> PolicyError:
    return PolicyError(
        f"nested deeper than {MAX_DEPTH} levels", place=place, hint="no policy is that deep: flatten it"
    )


def _yaml_hint(problem: str, line: str) -> str:
    if "tab" in problem or "\t" in line:
        return "indent with spaces, never with tabs"
    if "character that cannot start any token" in problem or "alias" in problem:
        return "put text that begins with a special character (* & ! % @ `) in quotes"
    return "check quotes, brackets and indentation on this line and the one before"
