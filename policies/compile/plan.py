"""Documents to what is compiled: rows, numbered rules, and for each whom it concerns and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from policies.compile import sequences
from policies.compile.sequences import Blocking
from policies.endpoint import EndpointPattern
from policies.errors import Place, PolicyError, PolicyErrors
from policies.image import ROW_FIRST, ROW_UNIDENTIFIED, Right
from policies.meta import BUILTIN_RULES, RuleEntry
from policies.model import (
    Documents,
    Effect,
    ExecRule,
    FileRule,
    Mode,
    NetworkRule,
    Policy,
    Protection,
    Rule,
    Word,
)
from policies.names import identity_id
from policies.pattern import Pattern

MAX_RULES: Final = 0xFFFF
"""Events carry a rule's number in 16 bits."""

Glob = Pattern | EndpointPattern

RIGHTS_OF: Final[dict[Word, int]] = {
    Word.READ: 1 << Right.READ | 1 << Right.LIST,
    Word.WRITE: 1 << Right.WRITE | 1 << Right.APPEND,
    **{word: 1 << Right[word.name] for word in Word if word not in (Word.READ, Word.WRITE)},
}
"""The rights that a word stands for: writing includes appending, reading includes listing."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One rule at work. `number` also orders a row's rules; `row` None: every row with the base policy."""

    number: int
    row: int | None
    globs: tuple[Glob, ...]
    allow: int = 0
    deny: int = 0
    enforce: bool = False
    properties: int = 0
    """Waivers that hold wherever the rule allows."""
    as_self: bool | None = None
    """What an exec rule says about identity; None for other rules."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One Protection at work, for every row but those in `only`."""

    number: int
    globs: tuple[Glob, ...]
    deny: int
    enforce: bool
    only: frozenset[int]


@dataclass(slots=True)
class Row:
    """One subject. `policy` is None for the unconfined."""

    name: str
    identity: int
    policy: Policy | None = None
    default_rule: int = 0
    special_rule: int = 0
    capabilities_rule: int = 0
    jit_rule: int = 0

    @property
    def confined(self) -> bool:
        """Whether what it was not allowed is denied."""
        return self.policy is not None

    @property
    def enforced(self) -> bool:
        """Whether default denials are real."""
        return self.policy is not None and self.policy.mode is Mode.ENFORCE

    @property
    def base(self) -> bool:
        """Whether the base policy is part of its policy."""
        return self.policy is not None and self.policy.base


@dataclass(slots=True)
class Plan:
    """Everything that the tables are made of."""

    rows: list[Row] = field(default_factory=list)
    rules: list[RuleEntry] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    blocking: Blocking = field(default_factory=lambda: Blocking((), ()))
    sequence_rules: tuple[int, ...] = ()


def make(documents: Documents, base: tuple[FileRule, ...]) -> Plan:
    """Number everything, in the order of the documents."""
    plan = Plan(rules=list(BUILTIN_RULES))
    rows = _rows(plan, documents)
    for protection in documents.protections:
        plan.guards.append(_guard(plan, protection, rows))
    for policy in documents.policies:
        _policy(plan, policy, rows[policy.subject.identity])
    for rule in base if any(row.base for row in plan.rows) else ():
        number = _number(plan, RuleEntry("base", "base", rule.place))
        plan.units.append(_unit(rule, number, None, enforced=False))
    plan.blocking = sequences.blocking(documents.sequences)
    plan.sequence_rules = tuple(_number(plan, sequences.rule_entry(each)) for each in plan.blocking.sequences)
    if len(plan.rules) > MAX_RULES:
        largest = max(documents.policies, key=lambda policy: len(policy.rules))
        message = f"too many rules for the tables: {len(plan.rules)}, at most {MAX_RULES}"
        hint = f'put patterns with the same rights into one rule; "{largest.name}" has the most'
        raise PolicyErrors.of([PolicyError(message, place=largest.place, hint=hint)])
    return plan


def _rows(plan: Plan, documents: Documents) -> dict[str, int]:
    plan.rows = [Row("unconfined", 0), Row("unidentified", 0)]
    assert len(plan.rows) == ROW_FIRST
    found = {"": ROW_UNIDENTIFIED}
    owners: dict[int, tuple[str, Place]] = {}
    for name, place in _named(documents):
        if name in found:
            continue
        identity = identity_id(name)
        other = owners.setdefault(identity, (name, place))
        if other[0] != name:
            message = f'identities "{name}" and "{other[0]}" have the same 64-bit id'
            raise PolicyErrors.of([PolicyError(message, place=place, hint="rename one of them")])
        found[name] = len(plan.rows)
        plan.rows.append(Row(name, identity))
    return found


def _named(documents: Documents) -> Iterator[tuple[str, Place]]:
    """Every identity that a document names, confined ones first."""
    for policy in documents.policies:
        if not policy.subject.unidentified:
            yield policy.subject.identity, policy.subject.place
    for protection in documents.protections:
        for subject in protection.only:
            yield subject.identity, subject.place
    for policy in documents.policies:
        for _, names in policy.special.towards:
            for name in names:
                yield name, policy.special.words_place or policy.place


def _number(plan: Plan, entry: RuleEntry) -> int:
    plan.rules.append(entry)
    return len(plan.rules) - 1


def _guard(plan: Plan, protection: Protection, rows: dict[str, int]) -> Guard:
    entry = RuleEntry("protection", protection.name, protection.place, protection.mode)
    deny = 0
    for word in protection.operations:
        deny |= RIGHTS_OF[word]
    return Guard(
        number=_number(plan, entry),
        globs=protection.objects,
        deny=deny,
        enforce=protection.mode is Mode.ENFORCE,
        only=frozenset(rows[subject.identity] for subject in protection.only),
    )


def _policy(plan: Plan, policy: Policy, number: int) -> None:
    row = plan.rows[number]
    row.policy = policy
    summary = f"{policy.subject} may do what the policy allows, and nothing else"
    row.default_rule = _number(plan, RuleEntry("default", policy.name, policy.place, policy.mode, summary))
    for rule in policy.rules:
        mode = rule.mode if isinstance(rule, FileRule | NetworkRule) else None
        allows = isinstance(rule, ExecRule) or rule.effect is Effect.ALLOW
        kind = {FileRule: "file", ExecRule: "exec", NetworkRule: "network"}[type(rule)]
        entry = RuleEntry(kind, policy.name, rule.place, None if allows else mode or policy.mode)
        enforced = (mode or policy.mode) is Mode.ENFORCE
        plan.units.append(_unit(rule, _number(plan, entry), number, enforced=enforced))
    row.special_rule = _part(plan, policy, "special", policy.special.words_place, row)
    row.capabilities_rule = _part(plan, policy, "capabilities", policy.special.capabilities_place, row)
    row.jit_rule = _part(plan, policy, "jit", policy.jit_place, row)


def _part(plan: Plan, policy: Policy, kind: str, place: Place | None, row: Row) -> int:
    """The rule of a list or flag of the policy; what was left out is denied by the policy as such."""
    if place is None:
        return row.default_rule
    return _number(plan, RuleEntry(kind, policy.name, place, policy.mode))


def _unit(rule: Rule, number: int, row: int | None, *, enforced: bool) -> Unit:
    if isinstance(rule, ExecRule):
        return Unit(
            number,
            row,
            rule.paths,
            allow=1 << Right.EXECUTE,
            properties=1 << Right.WAIVE_EXECUTE_UNSIGNED if rule.unsigned else 0,
            as_self=rule.as_self,
        )
    if isinstance(rule, NetworkRule):
        glob = rule.endpoint or rule.unix
        assert glob is not None
        globs: tuple[Glob, ...] = (glob,)
        rights = RIGHTS_OF[rule.action]
    else:
        globs = rule.paths
        rights = 0
        for word in rule.rights:
            rights |= RIGHTS_OF[word]
    if rule.effect is Effect.DENY:
        return Unit(number, row, globs, deny=rights, enforce=enforced)
    unsigned = isinstance(rule, FileRule) and rule.unsigned
    waiver = 1 << Right.WAIVE_MAP_UNSIGNED if unsigned else 0
    return Unit(number, row, globs, allow=rights, properties=waiver)
