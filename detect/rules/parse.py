"""Sigma files to rules. pySigma reads them; every fault is told with file, line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from detect.alert import Level
from detect.rules import convert, fields
from detect.rules.fields import Category
from detect.rules.model import All, Leaf, Rule
from detect.rules.values import Compare, Order
from policies import nodes
from policies.errors import Place, PolicyError, PolicyErrors

SUFFIXES: Final = (".yml", ".yaml")
MAX_TAGS: Final = 32

_OTHER_KINDS: Final = {
    "correlation": "correlations are written as a Sequence (kind: Sequence)",
    "filter": "write the exception into the rule itself: condition: selection and not filter",
    "action": "write each rule out as a document of its own",
}
_KEY_OF_ERROR: Final = {
    "SigmaIdentifierError": "id",
    "SigmaNameError": "name",
    "SigmaTaxonomyError": "taxonomy",
    "SigmaRelatedError": "related",
    "SigmaLevelError": "level",
    "SigmaStatusError": "status",
    "SigmaTagError": "tags",
    "SigmaDescriptionError": "description",
    "SigmaReferencesError": "references",
    "SigmaAuthorError": "author",
    "SigmaFieldsError": "fields",
    "SigmaFalsePositivesError": "falsepositives",
    "SigmaLogsourceError": "logsource",
    "SigmaDetectionError": "detection",
    "SigmaConditionError": "condition",
    "SigmaScopeError": "scope",
    "SigmaLicenseError": "license",
    "SigmaTitleError": "title",
}


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The rule files among these, and in these folders."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
        else:
            yield path


def load(paths: Iterable[Path]) -> tuple[Rule, ...]:
    """All rules of these files and folders.

    Raises PolicyErrors with everything that is wrong with them: no rule is left out silently.
    """
    found: list[Rule] = []
    errors: list[PolicyError] = []
    for path in files(paths):
        try:
            found += parse(path.read_bytes(), str(path))
        except PolicyErrors as several:
            errors += several.errors
        except OSError as error:
            errors.append(PolicyError(f"cannot be read: {error.strerror}", place=Place(str(path))))
    errors += _twice(found)
    if errors:
        raise PolicyErrors.of(errors)
    return tuple(found)


def _twice(rules: list[Rule]) -> Iterator[PolicyError]:
    """Rules whose name, id or tag is another's: a tag must say which rule it is."""
    names: dict[str, Rule] = {}
    for rule in rules:
        for name in {rule.name, rule.id} - {""}:
            if name in names:
                path, _, line = rule.place.rpartition(":")
                yield PolicyError(
                    f'the rule "{name}" is there already, at {names[name].place}',
                    place=Place(path, int(line), 1),
                    hint="give it another name and id",
                )
            names[name] = rule
    for rule in rules:
        for tag in rule.tags:
            if tag in names:
                path, _, line = rule.place.rpartition(":")
                yield PolicyError(
                    f'the tag "{tag}" is the name of the rule at {names[tag].place}',
                    place=Place(path, int(line), 1),
                )


def parse(data: bytes, path: str) -> list[Rule]:
    """The rules of one file. Raises PolicyErrors."""
    found: list[Rule] = []
    errors: list[PolicyError] = []
    for node in nodes.documents(data, path):
        try:
            found.append(_Reader(node).rule())
        except PolicyErrors as several:
            errors += several.errors
        except PolicyError as error:
            errors.append(error)
    if errors:
        raise PolicyErrors.of(errors)
    return found


def plain(node: nodes.Node) -> Any:
    """A node as the library wants it."""
    if isinstance(node, nodes.Mapping):
        return {name: plain(each) for name, each in node.entries.items()}
    if isinstance(node, nodes.Sequence):
        return [plain(each) for each in node.items]
    return node.value


def _closest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"did you mean {near[0]}?" if near else ""


class _Reader:
    """One document."""

    def __init__(self, node: nodes.Node) -> None:
        if not isinstance(node, nodes.Mapping):
            raise PolicyError("a Sigma rule is a mapping: title, logsource, detection", place=node.place)
        self.node = node
        self.plain = plain(node)

    def rule(self) -> Rule:
        """The rule, or PolicyErrors."""
        from sigma.rule import SigmaRule  # noqa: PLC0415

        for kind, hint in _OTHER_KINDS.items():
            if kind in self.node.entries:
                raise PolicyError(
                    f'"{kind}" documents of Sigma are not read', place=self.node.keys[kind], hint=hint
                )
        for wanted in ("title", "logsource", "detection"):
            if wanted not in self.node.entries:
                raise PolicyError(f'a Sigma rule needs "{wanted}"', place=self.node.place)
        category = self._category()
        converter = convert.Converter(category.fields)
        converter.check(self.node.entries["detection"], self.node.keys["detection"])
        rule = SigmaRule.from_dict(self.plain, collect_errors=True)
        if rule.errors:
            raise PolicyErrors.of(
                PolicyError(_sentence(error), place=self._place(type(error).__name__))
                for error in rule.errors
            )
        place = self._place("SigmaConditionError")
        condition = converter.condition(rule.detection, place)
        if category.succeeded:
            condition = All((condition, Leaf(fields.OWN["result"], Compare(Order.AT_LEAST, 0))))
        name = rule.name or (str(rule.id) if rule.id else "")
        if not name:
            raise PolicyError(
                'a rule needs a "name" or an "id": it is its tag',
                place=self.node.place,
                hint="name: what-it-sees",
            )
        tags = tuple(dict.fromkeys(str(tag) for tag in rule.tags))
        if len(tags) > MAX_TAGS:
            raise PolicyError(f"more than {MAX_TAGS} tags", place=self.node.keys["tags"])
        return Rule(
            name=name,
            id=str(rule.id or ""),
            title=rule.title,
            level=Level[rule.level.name] if rule.level else Level.MEDIUM,
            types=category.types,
            condition=condition,
            place=f"{self.node.place.path}:{self.node.place.line}",
            description=rule.description or "",
            tags=tags,
            false_positives=tuple(str(each) for each in rule.falsepositives),
        )

    def _place(self, error: str) -> Place:
        key = _KEY_OF_ERROR.get(error, "")
        detection = self.node.entries["detection"]
        if key == "condition" and isinstance(detection, nodes.Mapping) and "condition" in detection.keys:
            return detection.keys["condition"]
        return self.node.keys.get(key, self.node.place)

    def _category(self) -> Category:
        """Which events the rule is about."""
        source = self.node.entries["logsource"]
        if not isinstance(source, nodes.Mapping):
            raise PolicyError(
                "logsource is a mapping", place=source.place, hint="logsource: {product: linux}"
            )
        given = {name: plain(each) for name, each in source.entries.items()}
        known = ", ".join(sorted(fields.CATEGORIES))
        product, category, service = (given.get(each) for each in ("product", "category", "service"))
        if product != "linux":
            raise PolicyError(
                f"rules are for product: linux, this one is for {product or 'none'}",
                place=source.keys.get("product", source.place),
            )
        if category is None:
            if service != "menshen":
                raise PolicyError(
                    f"there are no events of the service {service}"
                    if service
                    else "the logsource has no category",
                    place=source.keys.get("service", source.place),
                    hint=f"service: menshen for every event, or a category: {known}",
                )
            return fields.MENSHEN
        if category not in fields.CATEGORIES:
            raise PolicyError(
                f"there are no events of the category {category}",
                place=source.keys["category"],
                hint=_closest(str(category), fields.CATEGORIES) or f"one of {known}; or service: menshen",
            )
        if service not in {None, "menshen"}:
            raise PolicyError(f"there are no events of the service {service}", place=source.keys["service"])
        return fields.CATEGORIES[category]


def _sentence(error: Exception) -> str:
    """What the library says, without the place that it knows less well."""
    return str(error.args[0]) if error.args else type(error).__name__
