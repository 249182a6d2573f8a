"""Nodes against the JSON Schema: the part of draft-07 that our schemas use, with located errors and hints.

Single values are checked here (types, words, formats); what concerns two fields at once is `read`'s business,
whose messages are better than a schema's can be. Annotations that JSON Schema ignores carry the hints:
`x-unsupported` (fields that other versions know), `x-instead` (words people try), `x-says`, `x-example`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from policies import formats
from policies.errors import Place, PolicyError
from policies.nodes import Mapping as MappingNode
from policies.nodes import Node, Scalar, Sequence
from policies.suggest import suggestion

SCHEMAS: Final = Path(__file__).parent / "schema"

Schema = dict[str, Any]

_NAMES: Final = {
    "object": "a mapping of fields",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


@cache
def load(name: str) -> Schema:
    """A shipped schema by file name."""
    loaded: Schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return loaded


@cache
def resolve(reference: str) -> Schema:
    """The schema that a `$ref` names."""
    name, _, pointer = reference.partition("#")
    found = load(name)
    for step in pointer.strip("/").split("/") if pointer.strip("/") else ():
        found = found[step]
    return resolve(found["$ref"]) if "$ref" in found else found


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$") + r"\Z")


def kind_of(node: Node) -> str:
    """The JSON Schema type of a node."""
    if isinstance(node, MappingNode):
        return "object"
    if isinstance(node, Sequence):
        return "array"
    if isinstance(node.value, bool):
        return "boolean"
    if isinstance(node.value, int):
        return "integer"
    return "null" if node.value is None else "string"


class Shape:
    """One check of one document; `errors` in document order, `bad` the nodes that contain one."""

    def __init__(self) -> None:
        self.errors: list[PolicyError] = []
        self.bad: set[int] = set()

    def check(self, node: Node, schema: Schema, what: str) -> bool:
        """Whether `node` has the shape; `what` names it in messages."""
        if "$ref" in schema:
            schema = resolve(schema["$ref"])
        if "anyOf" in schema and "type" not in schema:
            return self._any_of(node, schema, what)
        wanted = schema.get("type")
        found = kind_of(node)
        if wanted is not None and found != wanted:
            return self._wrong_type(node, schema, what)
        if isinstance(node, MappingNode):
            fine = self._mapping(node, schema, what)
        elif isinstance(node, Sequence):
            fine = self._sequence(node, schema, what)
        else:
            fine = self._scalar(node, schema, what)
        if not fine:
            self.bad.add(id(node))
        return fine

    def fault(self, node: Node, message: str, place: Place, hint: str = "") -> bool:
        """Note an error and return False."""
        self.errors.append(PolicyError(message, place=place, hint=hint))
        self.bad.add(id(node))
        return False

    def _any_of(self, node: Node, schema: Schema, what: str) -> bool:
        branches = [resolve(each["$ref"]) if "$ref" in each else each for each in schema["anyOf"]]
        for branch in branches:
            if branch.get("type") == kind_of(node):
                return self.check(node, branch, what)
        kinds = " or ".join(_NAMES[branch["type"]] for branch in branches)
        return self.fault(node, f"{what} must be {kinds}", node.place)

    def _wrong_type(self, node: Node, schema: Schema, what: str) -> bool:
        found, wanted = kind_of(node), schema["type"]
        shown = "empty" if found == "null" else _NAMES.get(found, found)
        hint = ""
        if "x-example" in schema:
            hint = f"write {what.rsplit(maxsplit=1)[-1]}: {schema['x-example']}"
        elif wanted == "string" and isinstance(node, Scalar) and node.value is not None:
            hint = f'write it in quotes: "{str(node.value).lower()}"'
        elif wanted == "boolean":
            hint = "write true or false, without quotes"
        return self.fault(node, f"{what} must be {_NAMES[wanted]}, and it is {shown}", node.place, hint)

    def _mapping(self, node: MappingNode, schema: Schema, what: str) -> bool:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        unsupported: Mapping[str, str] = schema.get("x-unsupported", {})
        fine = True
        meant: set[str] = set()
        for key, value in node.entries.items():
            if key in properties:
                fine &= self.check(value, properties[key], key)
            elif key in unsupported:
                fine &= self.fault(value, f'"{key}" cannot stand in {what}', node.keys[key], unsupported[key])
            elif schema.get("additionalProperties") is False:
                hint = suggestion(key, properties)
                meant.add(hint.removeprefix("did you mean ").rstrip("?"))
                fine &= self.fault(value, f'unknown field "{key}" in {what}', node.keys[key], hint)
        for key in schema.get("required", ()):
            if key not in node.entries and key not in meant:
                known = properties.get(key, {})
                known = resolve(known["$ref"]) if "$ref" in known else known
                example = known.get("x-example")
                hint = f"add {key}: {example}" if example else str(known.get("description", ""))
                fine &= self.fault(node, f'{what} has no "{key}"', node.place, hint)
        if fine and len(node.entries) < schema.get("minProperties", 0):
            hint = f"one of: {', '.join(properties)}"
            fine &= self.fault(node, f"{what} is empty", node.place, hint)
        if fine and len(node.entries) > schema.get("maxProperties", len(node.entries)):
            hint = f"keep one of: {', '.join(node.entries)}"
            fine &= self.fault(node, f"{what} holds more than one field", node.place, hint)
        return fine

    def _sequence(self, node: Sequence, schema: Schema, what: str) -> bool:
        if len(node.items) < schema.get("minItems", 0):
            example = schema.get("x-example")
            found = (
                f"has {len(node.items)} entry, and needs {schema['minItems']}"
                if node.items
                else "is an empty list"
            )
            return self.fault(
                node, f"{what} {found}", node.place, f"write {what}: {example}" if example else ""
            )
        items = schema.get("items")
        fine = True
        if items is not None:
            what = f"an entry of {what}"
            for item in node.items:
                fine &= self.check(item, items, what)
        return fine

    def _scalar(self, node: Scalar, schema: Schema, what: str) -> bool:
        value = node.value
        if "const" in schema and value != schema["const"]:
            return self.fault(
                node, f"{what} must be {_const(schema)}", node.place, f"write {what}: {_const(schema)}"
            )
        if isinstance(value, bool) or value is None:
            return True
        if isinstance(value, int):
            low, high = schema.get("minimum", value), schema.get("maximum", value)
            if not low <= value <= high:
                return self.fault(node, f"{what} is {value}; it goes from {low} to {high}", node.place)
            return True
        if "enum" in schema and value not in schema["enum"]:
            hint = suggestion(value, schema["enum"], schema.get("x-instead"))
            return self.fault(node, f'{what} cannot be "{value}"', node.place, hint)
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            limit = schema.get("maxLength")
            return self.fault(node, f"{what} has {len(value)} characters; at most {limit}", node.place)
        if "pattern" in schema and not _compiled(schema["pattern"]).match(value):
            return self.fault(node, f'{what} cannot be "{value}"', node.place, schema.get("x-says", ""))
        checker: Callable[[str], formats.Fault | None] | None = formats.CHECKERS.get(schema.get("format", ""))
        if checker is not None and (fault := checker(value)):
            place = node.inner.moved(fault.offset) if fault.offset else node.place
            return self.fault(node, fault.message, place, fault.hint)
        return True


def _const(schema: Schema) -> str:
    value = schema["const"]
    return str(value).lower() if isinstance(value, bool) else str(value)
