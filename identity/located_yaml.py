"""YAML that knows where it stands: small, plain documents whose every error names line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from identity.errors import IdentityError, Place

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NODES = 50_000
_TAG = "tag:yaml.org,2002:"
_KINDS = {"map": "a mapping", "seq": "a list", "null": "nothing", "bool": "true or false", "int": "a number"}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document, with where it is."""

    node: yaml.Node
    file: str
    lines: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where the value begins."""
        return _place(self.file, self.lines, self.node.start_mark)

    def error(self, message: str, hint: str = "") -> IdentityError:
        """An error about this value, for the caller to raise."""
        return IdentityError(message, place=self.place, hint=hint)

    def text(self, what: str, *, time: bool = False) -> str:
        """A string; with `time`, also what YAML takes for a date."""
        kinds = ("str", "timestamp") if time else ("str",)
        if not isinstance(self.node, yaml.ScalarNode) or self._kind not in kinds or not self.node.value:
            raise self.error(f"{what} is {self._described}, not a string", f'{what}: "..."')
        return str(self.node.value)

    def items(self, what: str) -> list[Value]:
        """The values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"{what} is {self._described}, not a list", f"{what}: [...]")
        return [Value(node, self.file, self.lines) for node in self.node.value]

    def fields(
        self, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Value]:
        """The values of a mapping with exactly these fields."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{what} is {self._described}, not a mapping", f"{{{', '.join(required)}}}")
        known = required + optional
        found: dict[str, Value] = {}
        for key_node, value_node in self.node.value:
            key = Value(key_node, self.file, self.lines)
            name = key.node.value if isinstance(key.node, yaml.ScalarNode) else "?"
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise key.error(
                    f"{what} has no field {name[:60]!r}", near[0] if near else f"one of {', '.join(known)}"
                )
            if name in found:
                raise key.error(f"{what} has the field {name!r} twice", "only one of the two")
            found[name] = Value(value_node, self.file, self.lines)
        for name in required:
            if name not in found:
                raise self.error(f"{what} has no {name!r}", f"{name}: ...")
        return found

    @property
    def _kind(self) -> str:
        return str(self.node.tag).removeprefix(_TAG)

    @property
    def _described(self) -> str:
        if isinstance(self.node, yaml.ScalarNode) and not self.node.value:
            return "empty"
        return _KINDS.get(self._kind, f"of the kind {self._kind[:40]!r}")


def parse(content: bytes, file: str) -> Iterator[Value]:
    """The documents of a YAML file. Anchors, tags and great depth are refused before anything is built."""
    if len(content) > MAX_BYTES:
        raise IdentityError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise IdentityError("not UTF-8 text", place=Place(file, line, 1)) from None
    lines = tuple(text.splitlines())
    try:
        _check_events(text, file, lines)
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if node is not None and not _is_empty(node):
                yield Value(node, file, lines)
    except yaml.MarkedYAMLError as error:
        place = _place(file, lines, error.problem_mark or error.context_mark)
        raise IdentityError(f"not YAML: {error.problem or error.context}", place=place) from None
    except yaml.YAMLError as error:
        raise IdentityError(f"not YAML: {str(error).splitlines()[0]}", place=Place(file)) from None
    except (ValueError, IndexError, RecursionError):  # PyYAML lets a few of these through on odd input
        raise IdentityError("not YAML", place=Place(file)) from None


def _check_events(text: str, file: str, lines: tuple[str, ...]) -> None:
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        problem = hint = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem, hint = "anchors and aliases are not allowed", "the value itself, in full"
        elif getattr(event, "tag", None):
            problem, hint = "tags are not allowed", "the plain value"
        elif depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep"
        elif nodes > MAX_NODES:
            problem = f"more than {MAX_NODES} values"
        if problem:
            raise IdentityError(problem, place=_place(file, lines, event.start_mark), hint=hint)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and node.tag == _TAG + "null"


def _place(file: str, lines: tuple[str, ...], mark: Any) -> Place:
    if mark is None:
        return Place(file)
    shown = lines[mark.line] if mark.line < len(lines) else ""
    return Place(file, mark.line + 1, mark.column + 1, "".join(c if c.isprintable() else "?" for c in shown))
