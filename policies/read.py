"""Checked nodes to the model. What concerns two fields at once is refused here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from policies import endpoint, pattern
from policies.endpoint import EndpointPattern
from policies.image import Special
from policies.model import (
    Effect,
    ExecRule,
    FileRule,
    Mode,
    NetworkRule,
    Policy,
    Protection,
    SpecialSpec,
    SubjectRef,
    Word,
)
from policies.nodes import Mapping, Node, Scalar, Sequence
from policies.pattern import Pattern
from policies.shape import Shape

_SPECIALS: Final = {special.word: special for special in Special}
_UNIX_ONLY: Final = ("ports", "protocol", "address", "cidr")

T = TypeVar("T")


class Reader:
    """Reads one document; errors go to `shape`, whose `bad` nodes are passed over."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def policy(self, document: Mapping) -> Policy | None:
        """The Policy that the document is, or None when an error keeps it from being one."""
        spec = self._mapping(document, "spec")
        if spec is None:
            return None
        before = len(self.shape.errors)
        files = self.each(spec, "files", self.file_rule)
        executes = self.each(spec, "exec", self.exec_rule)
        network = self.each(spec, "network", self.network_rule)
        special = self._special(spec)
        if id(document) in self.shape.bad or len(self.shape.errors) > before:
            return None
        name = _scalar(_child(document, "metadata").entries["name"])
        subject = _child(spec, "subject")
        return Policy(
            place=document.keys["spec"],
            name=str(name.value),
            name_place=name.place,
            subject=_subject(subject),
            mode=_mode(spec) or Mode.AUDIT,
            base=_flag(spec, "base", default=True),
            jit=_flag(spec, "jit"),
            jit_place=spec.keys.get("jit"),
            files=tuple(files),
            exec=tuple(executes),
            network=tuple(network),
            special=special,
        )

    def protection(self, document: Mapping) -> Protection | None:
        """The Protection that the document is."""
        spec = self._mapping(document, "spec")
        if spec is None or id(document) in self.shape.bad:
            return None
        name = _scalar(_child(document, "metadata").entries["name"])
        only = spec.entries["only"]
        return Protection(
            place=spec.keys["objects"],
            name=str(name.value),
            name_place=name.place,
            objects=_patterns(spec, "objects"),
            operations=frozenset(Word(text) for text in _texts(spec, "operations")),
            only=tuple(_subject(item) for item in _items(only) if isinstance(item, Mapping)),
            mode=_mode(spec) or Mode.AUDIT,
        )

    def base(self, document: Mapping) -> tuple[FileRule, ...]:
        """The rules of the shipped base policy."""
        spec = self._mapping(document, "spec")
        return () if spec is None else tuple(self.each(spec, "files", self.file_rule))

    def file_rule(self, node: Mapping) -> FileRule | None:
        """An entry of `files`."""
        effect = self._effect(node)
        if effect is None:
            return None
        rights = frozenset(Word(text) for text in _texts(node, effect.value))
        allow = effect is Effect.ALLOW
        if allow and Word.EXECUTE in rights:
            self._fault(
                node,
                effect.value,
                "execute is not granted under files",
                "write it under exec: - paths: [...]",
            )
        unsigned = _flag(node, "unsigned")
        if unsigned and not (allow and Word.MAP_EXEC in rights):
            hint = "write allow: [map-exec], or for programs an entry of exec with unsigned: true"
            self._fault(node, "unsigned", "unsigned belongs to a rule that allows map-exec", hint)
        self._no_mode_on_allow(node, allow)
        return FileRule(node.place, effect, rights, _patterns(node, "paths"), _mode(node), unsigned)

    def exec_rule(self, node: Mapping) -> ExecRule | None:
        """An entry of `exec`."""
        return ExecRule(
            node.place, _patterns(node, "paths"), _text(node, "as") == "self", _flag(node, "unsigned")
        )

    def network_rule(self, node: Mapping) -> NetworkRule | None:
        """An entry of `network`."""
        effect = self._effect(node)
        if effect is None:
            return None
        self._no_mode_on_allow(node, effect is Effect.ALLOW)
        action = Word(_text(node, effect.value))
        if action is Word.CONNECT:
            for key in ("ports", "protocol", "address", "unix"):
                if key in node.entries:
                    inner = "cidr" if key == "address" else key
                    self._fault(
                        node, key, f'"{key}" of a peer stands under "to"', f"write to: {{{inner}: ...}}"
                    )
            if "to" not in node.entries:
                hint = "add to: {cidr: ..., ports: [...]} or to: {unix: ...}"
                self.shape.fault(node, 'a connect rule has no "to"', node.place, hint)
                return None
            peer = _child(node, "to")
        else:
            if "to" in node.entries:
                hint = "write ports, protocol, address or unix beside listen"
                self._fault(node, "to", '"to" does not belong to listen', hint)
                return None
            if not node.entries.keys() & {"ports", "protocol", "address", "unix"}:
                hint = 'add ports: [8080], or unix: "/run/x.sock"; protocol: tcp means all its ports'
                self.shape.fault(node, "a listen rule does not say on what", node.place, hint)
                return None
            peer = node
        return self._network(node, effect, action, peer)

    def _network(self, node: Mapping, effect: Effect, action: Word, peer: Mapping) -> NetworkRule:
        if "unix" in peer.entries:
            for key in _UNIX_ONLY:
                if key in peer.entries:
                    self._fault(peer, key, f'"{key}" does not go with unix', "write two rules")
            return NetworkRule(
                node.place, effect, action, None, pattern.parse(_text(peer, "unix")), _mode(node)
            )
        where = _text(peer, "cidr") or (_text(peer, "address") if peer is node else "")
        protocol = _text(peer, "protocol") or "tcp"
        ports = _ports(peer)
        if protocol == "icmp" and ports:
            self._fault(peer, "ports", "icmp has no ports", "leave ports out")
        place = EndpointPattern(endpoint.network(where) if where else None, ports, protocol)
        return NetworkRule(node.place, effect, action, place, None, _mode(node))

    def _special(self, spec: Mapping) -> SpecialSpec:
        node = spec.entries.get("special")
        if not isinstance(node, Mapping) or id(node) in self.shape.bad:
            return SpecialSpec()
        words: set[Special] = set()
        towards: list[tuple[Special, tuple[str, ...]]] = []
        for item in _items(node.entries.get("allow")):
            if isinstance(item, Mapping):
                towards.extend((_SPECIALS[word], tuple(_texts(item, word))) for word in item.entries)
            else:
                words.add(_SPECIALS[str(_scalar(item).value)])
        return SpecialSpec(
            words=frozenset(words),
            towards=tuple(towards),
            capabilities=frozenset(_texts(node, "capabilities")),
            words_place=node.keys.get("allow"),
            capabilities_place=node.keys.get("capabilities"),
        )

    def each(self, spec: Mapping, field: str, read: Callable[[Mapping], T | None]) -> list[T]:
        """The entries of a list that have the right shape, read one by one."""
        found: list[T] = []
        for item in _items(spec.entries.get(field)):
            if isinstance(item, Mapping) and id(item) not in self.shape.bad:
                rule = read(item)
                if rule is not None:
                    found.append(rule)
        return found

    def _mapping(self, node: Mapping, field: str) -> Mapping | None:
        child = node.entries.get(field)
        return child if isinstance(child, Mapping) else None

    def _effect(self, node: Mapping) -> Effect | None:
        if "allow" in node.entries and "deny" in node.entries:
            self._fault(node, "deny", "a rule either allows or denies", "write two rules")
            return None
        if "allow" in node.entries:
            return Effect.ALLOW
        if "deny" in node.entries:
            return Effect.DENY
        self.shape.fault(node, 'a rule has no "allow" or "deny"', node.place, "add allow: [read]")
        return None

    def _no_mode_on_allow(self, node: Mapping, allow: bool) -> None:
        if allow and "mode" in node.entries:
            hint = "leave it out: what no rule allows follows the policy's mode; a deny may have its own"
            self._fault(node, "mode", "an allow has no mode", hint)

    def _fault(self, node: Mapping, key: str, message: str, hint: str) -> None:
        self.shape.fault(node, message, node.keys[key], hint)


def _child(node: Mapping, field: str) -> Mapping:
    child = node.entries[field]
    assert isinstance(child, Mapping)
    return child


def _scalar(node: Node) -> Scalar:
    assert isinstance(node, Scalar)
    return node


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _text(node: Mapping, field: str) -> str:
    child = node.entries.get(field)
    return str(child.value) if isinstance(child, Scalar) else ""


def _texts(node: Mapping, field: str) -> Iterable[str]:
    return [str(_scalar(item).value) for item in _items(node.entries.get(field))]


def _flag(node: Mapping, field: str, *, default: bool = False) -> bool:
    child = node.entries.get(field)
    return bool(child.value) if isinstance(child, Scalar) else default


def _mode(node: Mapping) -> Mode | None:
    text = _text(node, "mode")
    return Mode(text) if text else None


def _patterns(node: Mapping, field: str) -> tuple[Pattern, ...]:
    return tuple(pattern.parse(text) for text in _texts(node, field))


def _ports(node: Mapping) -> tuple[tuple[int, int], ...]:
    return endpoint.merge_ports(tuple(endpoint.port_range(text) for text in _texts(node, "ports")))


def _subject(node: Mapping) -> SubjectRef:
    identity = node.entries.get("identity")
    if isinstance(identity, Scalar):
        return SubjectRef(str(identity.value), identity.place)
    return SubjectRef("", node.place)
