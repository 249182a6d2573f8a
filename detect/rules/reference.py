"""The plain reading of rules: one event after the other, one rule after the other. The engine must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detect.rules import model
from detect.rules.model import All, Condition, Leaf, Not, Pair, Rule

Row = Mapping[str, Any]


def matching(rules: Iterable[Rule], row: Row) -> list[str]:
    """The names of the rules that an event, as `Batch.row` gives it, matches."""
    return [rule.name for rule in rules if matches(rule, row)]


def matches(rule: Rule, row: Row) -> bool:
    """Whether an event matches a rule."""
    return row["type"] in rule.types and holds(rule.condition, row)


def holds(condition: Condition, row: Row) -> bool:
    """Whether a condition is true of an event."""
    if isinstance(condition, Leaf):
        return condition.test.matches(condition.field.value(row))
    if isinstance(condition, Pair):
        return condition.test.matches(condition.field.value(row), condition.other.value(row))
    if isinstance(condition, Not):
        return not holds(condition.of, row)
    if isinstance(condition, All):
        return all(holds(each, row) for each in condition.of)
    assert isinstance(condition, model.Any)
    return any(holds(each, row) for each in condition.of)
