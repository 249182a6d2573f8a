"""Precedence, right by right: which rule decides, and whether it is real."""

from __future__ import annotations

import os

import pytest

from policies.image import Right
from policies.parse import base_rules
from tests.unit.policies.helpers import evaluator, policy, protection

R = Right


def answer(documents: list[str], right: Right, path: str = "/a/f", subject: str | None = "test/app") -> str:
    """`allow`, `deny` or `report`, and what decided: the kind of rule, with its place among its kind."""
    found = evaluator(*documents)
    number, _ = found.classify(os.fsencode(path))
    verdict = found.decide(found.row(subject), number, 1 << right)
    word = "deny" if verdict.enforced else "report" if verdict.reported else "allow"
    entry = found.meta.rules[verdict.rule]
    alike = [each for each in found.meta.rules if (each.kind, each.owner) == (entry.kind, entry.owner)]
    number = alike.index(entry)
    return f"{word} {entry.kind}" + (f" {number + 1}" if len(alike) > 1 and entry.kind != "builtin" else "")


FILES = "files:\n"
A_READ = "  - {allow: [read], paths: [/a/f]}\n"
A_READ_ALL = '  - {allow: [read], paths: ["/a/**"]}\n'
A_WRITE = "  - {allow: [write], paths: [/a/f]}\n"
A_APPEND = "  - {allow: [append], paths: [/a/f]}\n"
A_MAP = "  - {allow: [map-exec], paths: [/a/f]}\n"
D_READ = "  - {deny: [read], paths: [/a/f]}\n"
D_READ_AUDIT = "  - {deny: [read], paths: [/a/f], mode: audit}\n"
D_READ_ENFORCE = "  - {deny: [read], paths: [/a/f], mode: enforce}\n"
D_WRITE = "  - {deny: [write], paths: [/a/f]}\n"
D_APPEND = "  - {deny: [append], paths: [/a/f]}\n"
D_MAP = "  - {deny: [map-exec], paths: [/a/f]}\n"
P_READ = protection("[/a/f]", "[read]")
P_READ_AUDIT = protection("[/a/f]", "[read]", mode="audit")
P_READ_2 = protection("[/a/f]", "[read]", name="guard2")
P_MINE = protection("[/a/f]", "[read]", only="[{identity: test/app}]")

# what: (rules under files, other documents, right, in enforce mode, in audit mode)
CASES = {
    "nothing said": ("", [], R.READ, "deny default", "report default"),
    "allowed": (A_READ, [], R.READ, "allow file", "allow file"),
    "the first allow is told": (A_READ + A_READ_ALL, [], R.READ, "allow file 1", "allow file 1"),
    "the first in the file, not the nearest": (
        A_READ_ALL + A_READ,
        [],
        R.READ,
        "allow file 1",
        "allow file 1",
    ),
    "read lists": (A_READ, [], R.LIST, "allow file", "allow file"),
    "read does not write": (A_READ, [], R.WRITE, "deny default", "report default"),
    "read maps": (A_READ, [], R.MAP_EXEC, "allow file", "allow file"),
    "map-exec does not read": (A_MAP, [], R.READ, "deny default", "report default"),
    "write appends": (A_WRITE, [], R.APPEND, "allow file", "allow file"),
    "append does not write": (A_APPEND, [], R.WRITE, "deny default", "report default"),
    "deny outdoes allow": (A_READ + D_READ, [], R.READ, "deny file 2", "report file 2"),
    "deny outdoes a later allow": (D_READ + A_READ, [], R.READ, "deny file 1", "report file 1"),
    "deny read denies list": (A_READ + D_READ, [], R.LIST, "deny file 2", "report file 2"),
    "deny read denies what reading mapped": (A_READ + D_READ, [], R.MAP_EXEC, "deny file 2", "report file 2"),
    "deny read leaves map-exec": (A_MAP + D_READ, [], R.MAP_EXEC, "allow file 1", "allow file 1"),
    "deny read leaves map-exec beside read": (
        A_READ + A_MAP + D_READ,
        [],
        R.MAP_EXEC,
        "allow file 1",
        "allow file 1",
    ),
    "deny read says nothing of mapping where nothing allows": (
        D_READ,
        [],
        R.MAP_EXEC,
        "deny default",
        "report default",
    ),
    "deny map-exec leaves read": (A_READ + D_MAP, [], R.READ, "allow file 1", "allow file 1"),
    "deny map-exec": (A_READ + D_MAP, [], R.MAP_EXEC, "deny file 2", "report file 2"),
    "deny write denies append": (A_WRITE + D_WRITE, [], R.APPEND, "deny file 2", "report file 2"),
    "deny append leaves write": (A_WRITE + D_APPEND, [], R.WRITE, "allow file 1", "allow file 1"),
    "an audited deny reports what is allowed": (
        A_READ + D_READ_AUDIT,
        [],
        R.READ,
        "report file 2",
        "report file 2",
    ),
    "the enforced default outdoes an audited deny": (
        D_READ_AUDIT,
        [],
        R.READ,
        "deny default",
        "report file",
    ),
    "an enforced deny outdoes the default": (D_READ_ENFORCE, [], R.READ, "deny file", "deny file"),
    "an enforced deny outdoes an earlier audited one": (
        A_READ + D_READ_AUDIT + D_READ_ENFORCE,
        [],
        R.READ,
        "deny file 3",
        "deny file 3",
    ),
    "a protection comes first": (
        A_READ + D_READ_ENFORCE,
        [P_READ],
        R.READ,
        "deny protection",
        "deny protection",
    ),
    "the first protection is told": (
        A_READ,
        [P_READ_2, P_READ],
        R.READ,
        "deny protection",
        "deny protection",
    ),
    "an audited protection yields to an enforced deny": (
        A_READ + D_READ_ENFORCE,
        [P_READ_AUDIT],
        R.READ,
        "deny file 2",
        "deny file 2",
    ),
    "an audited protection comes before an audited deny": (
        A_READ + D_READ_AUDIT,
        [P_READ_AUDIT],
        R.READ,
        "report protection",
        "report protection",
    ),
    "a protection spares whom it names": (A_READ, [P_MINE], R.READ, "allow file", "allow file"),
    "a protection allows nothing": ("", [P_MINE], R.READ, "deny default", "report default"),
    "a protection of reading also keeps from mapping what reading mapped": (
        A_READ,
        [P_READ],
        R.MAP_EXEC,
        "deny protection",
        "deny protection",
    ),
    "mounting over is for protections only": ("", [], R.MOUNT, "allow builtin", "allow builtin"),
    "mounting over is protected": (
        "",
        [protection("[/a/f]", "[mount]")],
        R.MOUNT,
        "deny protection",
        "deny protection",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_the_strictest_rule_decides(case: str, mode: str) -> None:
    rules, more, right, enforced, audited = CASES[case]
    documents = [policy(FILES + rules if rules else "", mode=mode), *more]
    assert answer(documents, right) == (enforced if mode == "enforce" else audited)


@pytest.mark.parametrize("subject", [None, "test/other", "os/sshd"])
def test_whoever_has_no_policy_is_not_confined(subject: str | None) -> None:
    documents = [policy(""), protection("[/b]", "[read]", only="[{identity: os/sshd}]")]
    assert answer(documents, R.READ, subject=subject) == "allow builtin"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (None, "deny protection"),
        ("test/other", "deny protection"),
        ("test/app", "deny protection"),
        ("os/sshd", "allow builtin"),
    ],
)
def test_a_protection_binds_everybody_else(subject: str | None, expected: str) -> None:
    documents = [policy(FILES + A_READ), protection("[/a/f]", "[read]", only="[{identity: os/sshd}]")]
    assert answer(documents, R.READ, subject=subject) == expected


def test_subjects_that_one_protection_binds_are_told_their_own_policy_for_the_rest() -> None:
    other = policy("", subject="{identity: test/other}", name="other", mode="audit")
    found = evaluator(policy(""), other, protection("[/a/f]", "[write]"))
    number, _ = found.classify(b"/a/f")
    for subject, name, enforced in (("test/app", "app", True), ("test/other", "other", False)):
        verdict = found.decide(found.row(subject), number, 1 << R.READ)
        assert (found.meta.rules[verdict.rule].owner, verdict.enforced) == (name, enforced)


def test_a_protection_that_denies_nothing_of_a_folder_leaves_it_like_any_other() -> None:
    found = evaluator(policy(""), protection('["/a/**"]', "[write]"))
    assert found.classify(b"/a")[0] == found.classify(b"/b")[0]
    assert found.classify(b"/a/f")[0] != found.classify(b"/b")[0]


def test_the_unidentified_have_their_own_policy() -> None:
    documents = [policy(FILES + A_READ, subject="{unidentified: true}")]
    assert answer(documents, R.READ, subject=None) == "allow file"
    assert answer(documents, R.WRITE, subject=None) == "deny default"
    assert answer(documents, R.WRITE, subject="test/app") == "allow builtin"


@pytest.mark.parametrize("unsigned", ["", ", unsigned: true"])
def test_what_may_be_executed_may_not_be_read_nor_mapped(unsigned: str) -> None:
    documents = [policy(f"exec:\n  - {{paths: [/a/f]{unsigned}}}\n")]
    assert answer(documents, R.EXECUTE) == "allow exec"
    for right in (R.READ, R.WRITE, R.MAP_EXEC):
        assert answer(documents, right) == "deny default"


def test_the_folder_of_a_pattern_is_for_listing_only() -> None:
    documents = [policy('files:\n  - {allow: [read, write], paths: ["/a/**"]}\n')]
    assert answer(documents, R.LIST, "/a") == "allow file"
    for right in (R.READ, R.WRITE, R.MAP_EXEC, R.CREATE):
        assert answer(documents, right, "/a") == "deny default"
    protected = [protection('["/a/**"]', "[read, delete]")]
    assert answer(protected, R.LIST, "/a") == "deny protection"
    assert answer(protected, R.DELETE, "/a") == "allow builtin"


def test_foreign_objects_are_out_of_the_protections_reach() -> None:
    found = evaluator(policy(FILES + A_READ + D_WRITE), P_READ)
    number, _ = found.classify(b"/a/f")
    row = found.row("test/app")
    assert found.decide(row, number, 1 << R.READ).enforced
    assert not found.decide(row, number, 1 << R.READ, foreign=True).reported
    assert found.decide(row, number, 1 << R.WRITE, foreign=True).enforced


def test_the_lowest_right_that_is_really_denied_is_told() -> None:
    found = evaluator(policy(FILES + A_READ + D_READ_AUDIT + D_WRITE))
    number, _ = found.classify(b"/a/f")
    verdict = found.decide(found.row("test/app"), number, 1 << R.READ | 1 << R.WRITE | 1 << R.APPEND)
    assert (verdict.right, verdict.enforced) == (R.WRITE, True)


def test_what_the_base_policy_allows_is_told_with_its_line() -> None:
    found = evaluator(policy("base: true"))
    number, _ = found.classify(b"/dev/null")
    told = found.meta.rules[found.decide(found.row("test/app"), number, 1 << R.READ).rule]
    assert (told.kind, told.owner, told.mode) == ("base", "base", None)
    assert (told.place.path, told.place.line) in {(rule.place.path, rule.place.line) for rule in base_rules()}


def test_the_base_policy_is_part_of_a_policy_unless_it_says_otherwise() -> None:
    with_base, without = policy("base: true"), policy("")
    for path in ("/dev/null", "/proc/self/status", "/etc/hosts", "/usr/share/zoneinfo/Europe/Berlin"):
        assert answer([with_base], R.READ, path).startswith("allow base"), path
        assert answer([without], R.READ, path) == "deny default"
    assert answer([with_base], R.READ, "/proc/1/status") == "deny default"
    assert answer([with_base], R.WRITE, "/dev/null").startswith("allow base")
    assert answer([with_base], R.MAP_EXEC, "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").startswith(
        "allow base"
    )
    assert answer([with_base], R.READ, "/dev/null", subject="test/other") == "allow builtin"
    denies = policy("base: true\nfiles:\n  - {deny: [read], paths: [/dev/null]}\n")
    assert answer([denies], R.READ, "/dev/null") == "deny file"
