"""Rules that get in each other's way: never deciding, contradicting, written twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from policies.checks.issue import Issue, Subject, Validator, validator, warning
from policies.image import Right
from policies.model import Effect, ExecRule, FileRule, NetworkRule, Policy, Rule, Word

RIGHT_OF: Final = {word: Right[word.name] for word in Word}


class _Tables:
    """The image's tables, seen from the rules."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.meta = subject.compiled.meta
        self.evaluator = subject.evaluator
        self.numbers = {(each.owner, each.place): number for number, each in enumerate(self.meta.rules)}
        used = np.unique(self.evaluator.grid)
        self.deciding: set[int] = set(np.unique(self.evaluator.cells["rule"][used]).tolist())

    @cached_property
    def classes(self) -> dict[str, list[int]]:
        """By pattern: the classes whose members match it."""
        found: dict[str, list[int]] = {}
        for number, patterns in enumerate(self.meta.classes):
            for each in patterns:
                found.setdefault(self.meta.patterns[each if each >= 0 else -each - 1], []).append(number)
        return found

    def deciders(self, row: int, rule: Rule) -> list[int]:
        """The rules that decide where this one matches."""
        rights = [RIGHT_OF[word] for word in sorted(_rights(rule), key=lambda word: RIGHT_OF[word])]
        found: dict[int, None] = {}
        for text in _targets(rule):
            for number in self.classes.get(text, ()):
                cell = self.evaluator.cell(row, number)
                found.update((cell.rules[right], None) for right in rights)
        return [number for number in found if number]


@validator("idle")
def idle(subject: Subject) -> Iterator[Issue]:
    """Rules that decide nothing: wherever they match, an earlier rule or a deny does."""
    tables = _Tables(subject)
    for policy in subject.compiled.documents.policies:
        row = subject.evaluator.row(policy.subject.identity or None)
        for rule in policy.rules:
            if tables.numbers[policy.name, rule.place] in tables.deciding or _waives(rule):
                continue
            others = [tables.meta.rules[number] for number in tables.deciders(row, rule)]
            shown = " and ".join(f"{other.place} ({other.kind} of {other.owner})" for other in others[:2])
            message = f"this rule never decides: {shown or 'another rule'} does"
            yield warning("idle", message, rule.place, "remove it, or narrow the other")


def _waives(rule: Rule) -> bool:
    """Waivers count even where another rule is the first to allow."""
    return not isinstance(rule, NetworkRule) and rule.unsigned


def _rights(rule: Rule) -> frozenset[Word]:
    if isinstance(rule, FileRule):
        return rule.rights
    return frozenset({Word.EXECUTE if isinstance(rule, ExecRule) else rule.action})


def _targets(rule: Rule) -> Sequence[str]:
    """The patterns of a rule as the image's description spells them."""
    if isinstance(rule, NetworkRule):
        return (str(rule.endpoint or rule.unix),)
    return tuple(map(str, rule.paths))


@validator("exec-as")
def contradictory_exec(subject: Subject) -> Iterator[Issue]:
    """Programs that one rule runs as self and another as own: the first rule wins."""
    for policy in subject.compiled.documents.policies:
        if len({rule.as_self for rule in policy.exec}) > 1:
            yield from _contradictions(subject, policy)


def _contradictions(subject: Subject, policy: Policy) -> Iterator[Issue]:
    patterns = subject.compiled.meta.patterns
    rules_of: dict[str, list[ExecRule]] = {}
    for rule in policy.exec:
        for text in _targets(rule):
            rules_of.setdefault(text, []).append(rule)
    told: set[ExecRule] = set()
    for members in subject.compiled.meta.classes:
        both = {rule: None for each in members if each >= 0 for rule in rules_of.get(patterns[each], ())}
        ordered = sorted(both, key=policy.exec.index)
        for later in ordered[1:]:
            if later.as_self != ordered[0].as_self and later not in told:
                told.add(later)
                word = "self" if ordered[0].as_self else "own"
                message = f"some programs of this rule run as {word}: {ordered[0].place} matches them first"
                yield warning(
                    "exec-as", message, later.place, "narrow the earlier rule, or put this one first"
                )


@validator("repeated")
def repeated(subject: Subject) -> Iterator[Issue]:
    """The same pattern twice for the same right."""
    for policy in subject.compiled.documents.policies:
        seen: dict[tuple[str, Effect, Word], Rule] = {}
        for rule in policy.rules:
            effect = Effect.ALLOW if isinstance(rule, ExecRule) else rule.effect
            told: set[str] = set()
            for text in _targets(rule):
                keys = [(text, effect, word) for word in _rights(rule)]
                other = next((seen[key] for key in keys if key in seen), None)
                seen.update((key, rule) for key in keys if key not in seen)
                if other is not None and text not in told:
                    told.add(text)
                    where = "in this rule" if other is rule else f"at {other.place}"
                    yield warning("repeated", f'"{text}" has the same right {where}', rule.place, "keep one")


OVERLAPS: Final[tuple[Validator, ...]] = (idle, contradictory_exec, repeated)
