"""From pySigma's conditions to ours; what cannot be asked of an event is an error with its place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from detect.rules import model
from detect.rules.fields import KEYWORDS, Field, View
from detect.rules.model import All, Condition, Leaf, Not, Pair
from detect.rules.values import (
    Compare,
    Has,
    Order,
    Part,
    Regex,
    Same,
    Side,
    Test,
    Text,
    Wild,
    Within,
    compiled,
)
from policies import nodes
from policies.errors import Place, PolicyError, PolicyErrors

if TYPE_CHECKING:
    from sigma.rule import SigmaDetections

_ORDERS: Final = {
    "LT": Order.LESS,
    "LTE": Order.AT_MOST,
    "GT": Order.MORE,
    "GTE": Order.AT_LEAST,
    "NEQ": Order.OTHER,
}
COMPARABLE: Final = frozenset({"uid", "login_uid", "pid", "tid", "ppid", "sid", "target_pid"})
"""Numbers that fieldref may compare."""
_FLAGS: Final = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}


class Converter:
    """Converts the detections of one rule, for events whose fields are these."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self._items: dict[int, Place] = {}

    def check(self, node: nodes.Node, place: Place) -> None:
        """Every field and modifier of a detection, so that each fault is told where it is."""
        if not isinstance(node, nodes.Mapping):
            raise PolicyError("detection is a mapping of selections and a condition", place=place)
        if "condition" not in node.entries:
            raise PolicyError('a detection needs a "condition"', place=place, hint="condition: selection")
        errors: list[PolicyError] = []
        for name, each in node.entries.items():
            if name not in {"condition", "timeframe"}:
                self._check(each, errors)
        if "timeframe" in node.entries:
            errors.append(
                PolicyError(
                    "a timeframe is for correlations",
                    place=node.keys["timeframe"],
                    hint="write a Sequence with `within`",
                )
            )
        if errors:
            raise PolicyErrors.of(errors)

    def _check(self, node: nodes.Node, errors: list[PolicyError]) -> None:
        if isinstance(node, nodes.Sequence):
            for each in node.items:
                self._check(each, errors)
        elif isinstance(node, nodes.Mapping):
            for key, value in node.entries.items():
                try:
                    self._check_item(key, value, node.keys[key])
                except PolicyError as error:
                    errors.append(error)

    def _check_item(self, key: str, node: nodes.Node, place: Place) -> None:
        from sigma.exceptions import SigmaError  # noqa: PLC0415
        from sigma.rule import SigmaDetectionItem  # noqa: PLC0415

        from detect.rules.parse import plain  # noqa: PLC0415

        name, *modifiers = key.split("|")
        if name:
            self._field(name, place)
        value = plain(node)
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)
        ):
            raise PolicyError(f'the values of "{name}" are text, numbers or a list of them', place=node.place)
        if "re" in modifiers:
            _check_regexes(value if isinstance(value, list) else [value], place)
        try:
            item = SigmaDetectionItem.from_mapping(key, value)
        except SigmaError as error:
            raise PolicyError(str(error.args[0]), place=place) from None
        except (TypeError, ValueError, AttributeError) as error:  # the library's own surprise
            raise PolicyError(f"{key} cannot have this value: {error}", place=place) from None
        for each in item.value:
            self._ask(item.field, each, place)

    def _field(self, name: str, place: Place) -> Field:
        field = self.fields.get(name)
        if field is None:
            near = difflib.get_close_matches(name, list(self.fields), 1, 0.6)
            raise PolicyError(
                f"these events have no field {name}",
                place=place,
                hint=f"did you mean {near[0]}?"
                if near
                else "docs/rules.md lists the fields of each category",
            )
        return field

    def condition(self, detections: SigmaDetections, place: Place) -> Condition:
        """The condition of a rule whose detections were checked; several are alternatives."""
        from sigma.conditions import SigmaCondition  # noqa: PLC0415
        from sigma.exceptions import SigmaError  # noqa: PLC0415

        found: list[Condition] = []
        for condition in detections.condition:
            try:
                parsed = SigmaCondition(condition, detections).parse()
            except SigmaError as error:
                raise PolicyError(str(error.args[0]), place=place) from None
            except RecursionError:
                raise PolicyError("the condition is nested too deep", place=place) from None
            if parsed is None:
                raise PolicyError("the condition asks nothing", place=place)
            found.append(self._tree(parsed, place))
        return found[0] if len(found) == 1 else model.Any(tuple(found))

    def _tree(self, item: Any, place: Place) -> Condition:
        from sigma import conditions  # noqa: PLC0415

        if isinstance(item, conditions.ConditionNOT):
            return Not(self._tree(item.args[0], place))
        if isinstance(item, conditions.ConditionAND):
            return All(tuple(self._tree(each, place) for each in item.args))
        if isinstance(item, conditions.ConditionOR):
            return model.Any(tuple(self._tree(each, place) for each in item.args))
        if isinstance(item, conditions.ConditionFieldEqualsValueExpression):
            return self._ask(item.field, item.value, place)
        if isinstance(item, conditions.ConditionValueExpression):
            return self._ask(None, item.value, place)
        raise PolicyError(
            f"the condition has a part that is not understood: {type(item).__name__}", place=place
        )

    def _ask(self, name: str | None, value: Any, place: Place) -> Condition:
        """One value of one field; of no field, of all that is text."""
        from sigma import types  # noqa: PLC0415

        if isinstance(value, types.SigmaExpansion):
            return model.Any(tuple(self._ask(name, each, place) for each in value.values))
        if name is None:
            return self._keyword(value, place)
        field = self._field(name, place)
        if isinstance(value, types.SigmaFieldReference):
            side = Side.STARTS if value.starts_with else Side.ENDS if value.ends_with else Side.EQUAL
            return self._pair(field, self._field(value.field, place), side, place)
        return Leaf(field, self._test(field, value, place))

    @staticmethod
    def _pair(field: Field, other: Field, side: Side, place: Place) -> Pair:
        texts = {field.view, other.view} <= {View.TEXT, View.ARGUMENTS}
        if not texts and not {field.name, other.name} <= COMPARABLE:
            raise PolicyError(
                f"{field.name} and {other.name} cannot be compared",
                place=place,
                hint=f"fieldref compares two texts, or two of {', '.join(sorted(COMPARABLE))}",
            )
        return Pair(field, other, Same(side))

    def _keyword(self, value: Any, place: Place) -> Condition:
        from sigma import types  # noqa: PLC0415

        if isinstance(value, types.SigmaNumber):
            value = types.SigmaString(str(value.number))
        if isinstance(value, types.SigmaString):
            test = _pattern(value, place)
            parts = (Wild.ANY, *test.parts, Wild.ANY)
            return model.Any(tuple(Leaf(field, Text(parts, test.cased)) for field in KEYWORDS))
        if isinstance(value, types.SigmaRegularExpression):
            regex = _regex(value, place)
            return model.Any(tuple(Leaf(field, regex) for field in KEYWORDS))
        raise PolicyError("without a field only text and regular expressions can be looked for", place=place)

    def _test(self, field: Field, value: Any, place: Place) -> Test:
        from sigma import types  # noqa: PLC0415

        number = field.view is View.NUMBER
        if isinstance(value, types.SigmaNull):
            return Has(False)
        if isinstance(value, types.SigmaExists):
            return Has(bool(value))
        if isinstance(value, types.SigmaTimestampPart):
            raise PolicyError("parts of the time cannot be asked for", place=place)
        if isinstance(value, types.SigmaBool):
            return Text((b"true" if value else b"false",))
        if isinstance(value, types.SigmaNumber):
            return Compare(Order.EQUAL, value.number) if number else Text((str(value.number).encode(),))
        if isinstance(value, types.SigmaCompareExpression):
            if not number:
                raise PolicyError(
                    f"{field.name} is no number", place=place, hint="lt, gt and neq are for numbers"
                )
            return Compare(_ORDERS[value.op.name], value.number.number)
        if isinstance(value, types.SigmaCIDRExpression):
            if field.view is not View.ADDRESS:
                raise PolicyError(f"{field.name} is no address", place=place, hint="cidr is for addresses")
            return Within(value.network)
        if isinstance(value, types.SigmaRegularExpression):
            return _regex(value, place)
        if isinstance(value, types.SigmaString):
            return _pattern(value, place)
        raise PolicyError(f"values of the kind {type(value).__name__} are not understood", place=place)


def _pattern(value: Any, place: Place) -> Text:
    """A text with wildcards."""
    from sigma import types  # noqa: PLC0415

    parts: list[Part] = []
    for part in value.s:
        if isinstance(part, str):
            parts.append(part.encode("utf-8", "surrogatepass"))
        elif part is types.SpecialChars.WILDCARD_MULTI:
            if not parts or parts[-1] is not Wild.ANY:
                parts.append(Wild.ANY)
        elif part is types.SpecialChars.WILDCARD_SINGLE:
            parts.append(Wild.ONE)
        else:
            raise PolicyError("placeholders (modifier expand) are not filled in", place=place)
    return Text(tuple(parts), isinstance(value, types.SigmaCasedString))


def _regex(value: Any, place: Place) -> Regex:
    """A regular expression. It is asked of bytes, so it is ASCII."""
    source = str(value.regexp.to_plain(regex=True))
    if not source.isascii():
        raise PolicyError(
            "a regular expression has only ASCII characters: it sees bytes",
            place=place,
            hint=r"write others as their bytes in UTF-8, for example \xc3\xa9",
        )
    flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
    return Regex(source.encode(), flags)


def _check_regexes(values: list[Any], place: Place) -> None:
    for value in values:
        try:
            compiled(str(value).encode())
        except ValueError as error:
            raise PolicyError(
                f"this regular expression cannot be read: {error}",
                place=place,
                hint="it is RE2's: no look-ahead, no back-references",
            ) from None
