"""The part of an image that people read: rules, subjects and patterns behind its numbers, as compact JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.errors import NOWHERE, Place
from policies.image import Builtin
from policies.model import Mode

VERSION: Final = 1
MAX_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """One numbered rule, as verdicts name it. `owner` is the policy or protection."""

    kind: str
    owner: str
    place: Place = NOWHERE
    mode: Mode | None = None
    summary: str = ""

    @property
    def text(self) -> str:
        """Its source line; of a rule that is not written down, what it says."""
        return self.summary or self.place.text.strip()


BUILTIN_RULES: Final = tuple(RuleEntry("builtin", each.name.lower().replace("_", "-")) for each in Builtin)


@dataclass(frozen=True, slots=True)
class Meta:
    """Rules by number, subjects by row, and for each class the patterns that its members match.

    `classes` stops where the classes begin that stand for what is below directories. In it a pattern that is
    only matched for listing has its number negated and lessened by one. `protected` are the patterns that
    something is denied on by name.
    """

    rules: tuple[RuleEntry, ...]
    rows: tuple[str, ...]
    patterns: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]
    protected: tuple[int, ...] = ()


def encode(meta: Meta) -> bytes:
    """`meta` as bytes, the same for the same content."""
    owners: dict[str, int] = {}
    paths: dict[str, int] = {}
    kinds: dict[str, int] = {}
    rules = [
        [
            kinds.setdefault(rule.kind, len(kinds)),
            owners.setdefault(rule.owner, len(owners)),
            paths.setdefault(rule.place.path, len(paths)),
            rule.place.line,
            rule.place.column,
            rule.mode.value[0] if rule.mode else "",
            rule.place.text[:MAX_TEXT],
            rule.summary,
        ]
        for rule in meta.rules
    ]
    content = {
        "version": VERSION,
        "kinds": list(kinds),
        "owners": list(owners),
        "paths": list(paths),
        "rules": rules,
        "rows": meta.rows,
        "patterns": meta.patterns,
        "classes": meta.classes,
        "protected": meta.protected,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> Meta:
    """The inverse of `encode`; ValueError if `data` is not what it makes."""
    try:
        content: dict[str, Any] = json.loads(data)
        if content["version"] != VERSION:
            raise ValueError(f"meta version {content['version']!r}; this program reads {VERSION}")
        rules = tuple(_rule(content, entry) for entry in content["rules"])
        meta = Meta(
            rules,
            tuple(map(str, content["rows"])),
            tuple(map(str, content["patterns"])),
            tuple(tuple(map(int, each)) for each in content["classes"]),
            tuple(map(int, content["protected"])),
        )
        if any(not 0 <= number < len(meta.patterns) for number in meta.protected):
            raise IndexError("a pattern is named that is not there")
        return meta
    except (KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"the image's description is damaged: {error!r}") from None


def _rule(content: dict[str, Any], entry: Sequence[Any]) -> RuleEntry:
    kind, owner, path, line, column, mode, text, summary = entry
    place = Place(str(content["paths"][path]), int(line), int(column), str(text))
    modes = {each.value[0]: each for each in Mode}
    return RuleEntry(
        kind=str(content["kinds"][kind]),
        owner=str(content["owners"][owner]),
        place=place,
        mode=modes[mode] if mode else None,
        summary=str(summary),
    )
