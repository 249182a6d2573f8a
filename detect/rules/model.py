"""A rule as both evaluators take it: a tree of conditions whose leaves ask one thing of one field."""

from __future__ import annotations

from dataclasses import dataclass

from bpf_lsm.observation import Type
from detect.alert import Level
from detect.rules.fields import Field
from detect.rules.values import Same, Test


@dataclass(frozen=True)
class Leaf:
    """A test of a field."""

    field: Field
    test: Test


@dataclass(frozen=True)
class Pair:
    """A comparison of two fields."""

    field: Field
    other: Field
    test: Same


@dataclass(frozen=True)
class All:
    """Every one of them; of none it is true."""

    of: tuple[Condition, ...]


@dataclass(frozen=True)
class Any:
    """One of them at least; of none it is false."""

    of: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: Condition


Condition = Leaf | Pair | All | Any | Not


@dataclass(frozen=True)
class Rule:
    """A Sigma rule."""

    name: str
    """Its tag: the `name`, or the `id` where it has none."""
    id: str
    title: str
    level: Level
    types: frozenset[Type]
    condition: Condition
    place: str
    """file:line."""
    description: str = ""
    tags: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()

    def fields(self) -> frozenset[Field]:
        """Every field that is asked."""
        return frozenset(_fields(self.condition))


def _fields(condition: Condition) -> list[Field]:
    if isinstance(condition, Leaf):
        return [condition.field]
    if isinstance(condition, Pair):
        return [condition.field, condition.other]
    inner = (condition.of,) if isinstance(condition, Not) else condition.of
    return [field for each in inner for field in _fields(each)]
