"""Checked nodes to a Sequence. What concerns two fields at once, or two steps, is refused here."""

from __future__ import annotations

import ipaddress
from typing import Final

from policies import durations, endpoint, nodes, pattern
from policies.endpoint import EndpointPattern
from policies.errors import Place
from policies.image import MAX_COUNT, MAX_STEPS
from policies.nodes import Mapping, Scalar
from policies.sequence import Act, Action, Captured, KernelForm, Key, Kind, Sequence, Step, Value, kind
from policies.shape import Shape, resolve
from policies.suggest import suggestion

KERNEL_DISTINCT: Final = ("port",)
"""What the kernel can count by."""

_CAPTURE_FIRST: Final = "remember it in an earlier step: capture: {%s: path}"


class SequenceReader:
    """Reads one document; errors go to `shape`."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.captured: dict[str, str] = {}
        """The field that each name was captured from, in the steps so far."""

    def sequence(self, document: Mapping) -> Sequence | None:
        """The Sequence that the document is, or None when an error keeps it from being one."""
        if self.shape.errors:
            return None
        metadata, spec = _child(document, "metadata"), _child(document, "spec")
        name = metadata.entries["name"]
        assert isinstance(name, Scalar)
        items = [item for item in _items(spec, "steps") if isinstance(item, Mapping)]
        steps = [self.step(item) for item in items]
        self._neighbours(items, steps)
        mode = Action(_text(spec, "mode") or "alert")
        sequence = Sequence(
            place=document.keys["spec"],
            name=str(name.value),
            name_place=name.place,
            title=_text(spec, "title"),
            level=_text(spec, "level"),
            tags=tuple(_texts(spec, "tags")),
            key=Key(_text(spec, "key")),
            within=durations.parse(_text(spec, "within")),
            steps=tuple(steps),
            mode=mode,
            mode_place=spec.keys.get("mode"),
        )
        if mode is Action.BLOCK:
            self._block(sequence, spec, items)
        return None if self.shape.errors else sequence

    def step(self, node: Mapping) -> Step:
        """An entry of `steps`."""
        tags, places = self._tags(node)
        absent = _flag(node, "absent")
        count = _number(node, "count", 1)
        if absent:
            for key in ("count", "distinct", "within", "capture"):
                if key in node.entries:
                    self._fault(node, key, f'"{key}" does not go with absent', "leave it out")
        if "distinct" in node.entries and count < 2:
            self._fault(
                node, "distinct", "distinct counts different values, and there is no count", "add count: 3"
            )
        where = self._where(node)
        capture = self._capture(node)
        within = _text(node, "within")
        return Step(
            place=node.place,
            name=_text(node, "name"),
            tags=tags,
            tag_places=places,
            count=count,
            distinct=_text(node, "distinct"),
            within=durations.parse(within) if within else 0,
            absent=absent,
            capture=capture,
            where=where,
            kernel=self._kernel(node),
        )

    def _tags(self, node: Mapping) -> tuple[tuple[str, ...], tuple[Place, ...]]:
        if ("tag" in node.entries) == ("any" in node.entries):
            message = "a step has tag or any, not both" if "tag" in node.entries else "a step has no tag"
            self.shape.fault(
                node, message, node.keys.get("any", node.place), "write tag: NAME, or any: [NAME, ...]"
            )
        found = [node.entries["tag"]] if "tag" in node.entries else _items(node, "any")
        scalars = [each for each in found if isinstance(each, Scalar)]
        return tuple(str(each.value) for each in scalars), tuple(each.place for each in scalars)

    def _where(self, node: Mapping) -> tuple[tuple[str, Value], ...]:
        where = node.entries.get("where")
        found: list[tuple[str, Value]] = []
        for field, value in where.entries.items() if isinstance(where, Mapping) else ():
            assert isinstance(value, Scalar)
            read = self._value(field, value)
            if read is not None:
                found.append((field, read))
        return tuple(found)

    def _value(self, field: str, node: Scalar) -> Value | None:
        value, wanted = node.value, kind(field)
        if isinstance(value, str) and value.startswith("$"):
            return self._captured(field, node, value[1:])
        if wanted is Kind.NUMBER and not isinstance(value, int):
            self.shape.fault(node, f'"{field}" is a number, not "{value}"', node.place, f"write {field}: 22")
        elif wanted is Kind.TEXT and not isinstance(value, str):
            self.shape.fault(node, f'"{field}" is text, not {value}', node.place, f'write {field}: "{value}"')
        elif wanted is Kind.ADDRESS:
            try:
                return ipaddress.ip_address(str(value)).packed.ljust(16, b"\0")
            except ValueError:
                hint = "write one address, like 10.1.2.3"
                self.shape.fault(node, f'"{value}" is not an address', node.place, hint)
        elif isinstance(value, str | int):
            return value
        return None

    def _captured(self, field: str, node: Scalar, name: str) -> Captured | None:
        source = self.captured.get(name)
        if source is None:
            known = self.captured.keys()
            hint = suggestion(name, known) if known else _CAPTURE_FIRST % (name or "name")
            self.shape.fault(node, f'no earlier step captures "{name}"', node.place, hint)
            return None
        if kind(source) is not kind(field):
            message = f"${name} is {kind(source).value} (of {source}), and {field} is {kind(field).value}"
            self.shape.fault(node, f"{message}: they are never equal", node.place, "compare like with like")
        return Captured(name)

    def _capture(self, node: Mapping) -> tuple[tuple[str, str], ...]:
        capture = node.entries.get("capture")
        found: list[tuple[str, str]] = []
        fields = resolve("sequence.json#/definitions/field")
        for name, value in capture.entries.items() if isinstance(capture, Mapping) else ():
            assert isinstance(capture, Mapping)
            if not self.shape.check(value, fields, "a captured field") or not isinstance(value, Scalar):
                continue
            if name in self.captured:
                self._fault(capture, name, f'"{name}" is captured twice', "give it another name")
            if not name.replace("_", "").isalnum() or not name.islower():
                self._fault(
                    capture, name, f'a capture cannot be named "{name}"', "lower-case letters, digits and _"
                )
            self.captured[name] = str(value.value)
            found.append((name, str(value.value)))
        return tuple(found)

    def _kernel(self, node: Mapping) -> KernelForm | None:
        form = node.entries.get("kernel")
        if not isinstance(form, Mapping):
            return None
        operation = Act(_text(form, "operation"))
        needed, other = ("to", "paths") if operation is Act.CONNECT else ("paths", "to")
        if other in form.entries:
            self._fault(form, other, f'"{other}" does not go with {operation.value}', f"write {needed}: ...")
        if needed not in form.entries:
            self.shape.fault(
                form, f'a kernel form with {operation.value} has no "{needed}"', form.place, f"add {needed}"
            )
        return KernelForm(
            place=form.place,
            operation=operation,
            paths=tuple(pattern.parse(text) for text in _texts(form, "paths")),
            endpoints=self._endpoints(form),
            unidentified=_flag(form, "unidentified"),
        )

    def _endpoints(self, form: Mapping) -> tuple[EndpointPattern, ...]:
        peer = form.entries.get("to")
        if not isinstance(peer, Mapping):
            return ()
        protocol = _text(peer, "protocol") or "tcp"
        ports = endpoint.merge_ports(tuple(endpoint.port_range(text) for text in _texts(peer, "ports")))
        networks = [text for text in (*_texts(peer, "cidr"), _text(peer, "cidr")) if text]
        return tuple(
            EndpointPattern(endpoint.network(text) if text else None, ports, protocol)
            for text in networks or [""]
        )

    def _neighbours(self, nodes: list[Mapping], steps: list[Step]) -> None:
        seen: dict[str, int] = {}
        for number, (node, step) in enumerate(zip(nodes, steps, strict=True)):
            if seen.setdefault(step.name, number) != number:
                self._fault(node, "name", f'two steps are named "{step.name}"', "give one another name")
            if step.absent and number in (0, len(steps) - 1):
                hint = "put it between the two steps that it must not happen between"
                self._fault(node, "absent", "an absent step stands between two that happen", hint)

    def _block(self, sequence: Sequence, spec: Mapping, items: list[Mapping]) -> None:
        """What the kernel's automaton cannot do is refused, never left out."""
        if sequence.key is not Key.SESSION:
            self._fault(
                spec,
                "key",
                "a sequence that blocks is joined by session",
                "write key: session, or mode: alert",
            )
        if len(sequence.steps) > MAX_STEPS:
            hint = "join steps, or write mode: alert"
            self._fault(spec, "steps", f"a sequence that blocks has at most {MAX_STEPS} steps", hint)
        for step, node in zip(sequence.steps, items, strict=True):
            if step.kernel is None:
                hint = "add kernel: {operation: execute, paths: [...]}, or write mode: alert"
                message = f'step "{step.name}" has no kernel form, and the sequence blocks'
                self.shape.fault(node, message, node.place, hint)
            for key in ("capture", "where"):
                if key in node.entries:
                    self._fault(
                        node,
                        key,
                        f'the kernel knows no "{key}", and the sequence blocks',
                        "write mode: alert",
                    )
            if step.distinct and step.distinct not in KERNEL_DISTINCT:
                hint = f"count by {' or '.join(KERNEL_DISTINCT)}, or write mode: alert"
                self._fault(node, "distinct", f"the kernel cannot count by {step.distinct}", hint)
            if step.count > MAX_COUNT:
                self._fault(
                    node, "count", f"the kernel counts to {MAX_COUNT} at most", "or write mode: alert"
                )

    def _fault(self, node: Mapping, key: str, message: str, hint: str) -> None:
        self.shape.fault(node, message, node.keys[key], hint)


def _child(node: Mapping, field: str) -> Mapping:
    child = node.entries[field]
    assert isinstance(child, Mapping)
    return child


def _items(node: Mapping, field: str) -> tuple[nodes.Node, ...]:
    child = node.entries.get(field)
    return child.items if isinstance(child, nodes.Sequence) else ()


def _text(node: Mapping, field: str) -> str:
    child = node.entries.get(field)
    return str(child.value) if isinstance(child, Scalar) else ""


def _texts(node: Mapping, field: str) -> list[str]:
    return [str(item.value) for item in _items(node, field) if isinstance(item, Scalar)]


def _number(node: Mapping, field: str, default: int) -> int:
    child = node.entries.get(field)
    return child.value if isinstance(child, Scalar) and isinstance(child.value, int) else default


def _flag(node: Mapping, field: str) -> bool:
    child = node.entries.get(field)
    return isinstance(child, Scalar) and child.value is True
