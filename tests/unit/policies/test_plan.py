"""The plan: what is told of each rule."""

from __future__ import annotations

import pytest

from policies.meta import BUILTIN_RULES
from policies.model import Mode
from tests.unit.policies.helpers import compiled, policy, protection

RULES = """
files:
  - {allow: [read], paths: [/a]}
  - {deny: [write], paths: [/a]}
  - {deny: [delete], paths: [/a], mode: audit}
exec:
  - {paths: [/bin/x]}
network:
  - {deny: connect, to: {cidr: 10.0.0.0/8}, mode: enforce}
jit: true
special: {allow: [bpf], capabilities: [chown]}
"""


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.AUDIT])
def test_each_rule_is_told_with_its_line_and_the_mode_of_its_denials(mode: Mode) -> None:
    soft = protection("[/b]", "[read]", mode="audit", name="soft")
    found = compiled(policy(RULES, mode=mode.value), protection("[/a]", "[read]"), soft).meta.rules
    special = "special: {allow: [bpf], capabilities: [chown]}"
    assert [(each.kind, each.owner, each.mode, each.text) for each in found[len(BUILTIN_RULES) :]] == [
        ("protection", "guard", Mode.ENFORCE, "objects: [/a]"),
        ("protection", "soft", Mode.AUDIT, "objects: [/b]"),
        ("default", "app", mode, "test/app may do what the policy allows, and nothing else"),
        ("file", "app", None, "- {allow: [read], paths: [/a]}"),
        ("file", "app", mode, "- {deny: [write], paths: [/a]}"),
        ("file", "app", Mode.AUDIT, "- {deny: [delete], paths: [/a], mode: audit}"),
        ("exec", "app", None, "- {paths: [/bin/x]}"),
        ("network", "app", Mode.ENFORCE, "- {deny: connect, to: {cidr: 10.0.0.0/8}, mode: enforce}"),
        ("special", "app", mode, special),
        ("capabilities", "app", mode, special),
        ("jit", "app", mode, "jit: true"),
    ]


def test_what_a_policy_leaves_out_is_denied_by_the_policy_as_such() -> None:
    kinds = [each.kind for each in compiled(policy("")).meta.rules[len(BUILTIN_RULES) :]]
    assert kinds == ["default"]
