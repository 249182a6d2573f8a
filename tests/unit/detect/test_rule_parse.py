"""Sigma files are read or refused: every fault with file, line and column, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.alert import Level
from detect.rules.parse import load, parse
from policies.errors import PolicyErrors

GOOD = """title: A try
id: 6f6a5a6e-0000-4000-8000-000000000001
name: a-try
logsource: {product: linux, category: process_creation}
detection:
  selection:
    Image: /bin/x
  condition: selection
level: high
tags: [attack.execution, attack.t1059]
falsepositives:
  - none
"""


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        parse(text.encode(), "r.yml")
    return [f"{error.place}: {error.message} ({error.hint})" for error in caught.value.errors]


def test_a_rule_keeps_what_people_and_sequences_need() -> None:
    (rule,) = parse(GOOD.encode(), "r.yml")
    assert (rule.name, rule.level, rule.place) == ("a-try", Level.HIGH, "r.yml:1")
    assert rule.tags == ("attack.execution", "attack.t1059")
    assert rule.false_positives == ("none",)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "    Image: /bin/x",
            "    Imag: /bin/x",
            "r.yml:7:5: these events have no field Imag (did you mean Image?)",
        ),
        (
            "    Image: /bin/x",
            "    TargetFilename: /x",
            "r.yml:7:5: these events have no field TargetFilename",
        ),
        (
            "    Image: /bin/x",
            "    CurrentDirectory: /x",
            "r.yml:7:5: these events have no field CurrentDirectory",
        ),
        ("    Image: /bin/x", "    Image|hashes: x", "r.yml:7:5: Unknown modifier 'hashes'"),
        (
            "    Image: /bin/x",
            "    Image|re: '('",
            "r.yml:7:5: this regular expression cannot be read: missing )",
        ),
        (
            "    Image: /bin/x",
            "    Image|re: 'é'",
            "r.yml:7:5: a regular expression has only ASCII characters",
        ),
        (
            "    Image: /bin/x",
            "    Image|re: '(?=x)'",
            "r.yml:7:5: this regular expression cannot be read: invalid",
        ),
        ("    Image: /bin/x", "    Image|gt: 5", "r.yml:7:5: Image is no number"),
        ("    Image: /bin/x", "    ProcessId|gt: x", "r.yml:7:5: "),
        ("    Image: /bin/x", "    Image|cidr: 10.0.0.0/8", "r.yml:7:5: Image is no address"),
        ("    Image: /bin/x", "    address|cidr: 10.0.0.1/8", "r.yml:7:5: Invalid CIDR"),
        ("    Image: /bin/x", "    Image|fieldref: nothing", "r.yml:7:5: these events have no field nothing"),
        ("    Image: /bin/x", "    Image|fieldref: uid", "r.yml:7:5: Image and uid cannot be compared"),
        ("    Image: /bin/x", "    Image|expand: '%x%'", "r.yml:7:5: placeholders"),
        ("    Image: /bin/x", "    Image: {a: b}", 'r.yml:7:12: the values of "Image"'),
        ("    Image: /bin/x", "    Image|exists: maybe", "r.yml:7:5: "),
        ("    Image: /bin/x", "    time|hour: 3", "r.yml:7:5: "),
        ("condition: selection", "condition: selektion", "r.yml:8:3: Detection 'selektion' not defined"),
        ("condition: selection", "condition: selection and", "r.yml:8:3: "),
        ("condition: selection", "condition: 1 of filter*", "r.yml:8:3: "),
        ("condition: selection", "condition: selection | count() > 5", "r.yml:8:3: The pipe syntax"),
        (
            "  condition: selection\n",
            "  condition: selection\n  timeframe: 5m\n",
            "r.yml:9:3: a timeframe is for",
        ),
        ("  condition: selection\n", "", 'r.yml:5:1: a detection needs a "condition"'),
        (
            "category: process_creation",
            "category: proces_creation",
            "r.yml:4:29: there are no events of the category",
        ),
        (
            "category: process_creation",
            "service: auditd",
            "r.yml:4:29: there are no events of the service auditd",
        ),
        ("product: linux, ", "", "r.yml:4:12: rules are for product: linux, this one is for none"),
        (
            "product: linux",
            "product: windows",
            "r.yml:4:13: rules are for product: linux, this one is for windows",
        ),
        ("level: high", "level: huge", "r.yml:9:1: 'huge' is not a valid Sigma rule level"),
        (
            "id: 6f6a5a6e-0000-4000-8000-000000000001",
            "id: x",
            "r.yml:2:1: Sigma rule identifier must be an UUID",
        ),
        ("title: A try", "title: [a]", "r.yml:1:1: "),
        ("tags: [attack.execution, attack.t1059]", "tags: nothing", "r.yml:10:1: "),
        (
            "id: 6f6a5a6e-0000-4000-8000-000000000001\nname: a-try\n",
            "",
            'r.yml:1:1: a rule needs a "name" or an "id"',
        ),
        ("title: A try\n", "", 'r.yml:1:1: a Sigma rule needs "title"'),
        ("title: A try", "title: A try\ntitle: B", 'r.yml:2:1: field "title" is given twice'),
        (
            "title: A try",
            "correlation: {}\ntitle: x",
            'r.yml:1:1: "correlation" documents of Sigma are not read',
        ),
        ("title: A try", "title: &a A try", "r.yml:1:8: anchor &a is not allowed"),
        ("level: high", "level: high: x", "r.yml:9:12: this is not YAML"),
    ],
)
def test_a_fault_is_told_with_its_place(old: str, new: str, fault: str) -> None:
    assert old in GOOD
    found = faults(GOOD.replace(old, new))
    assert any(each.startswith(fault) for each in found), found


def test_all_faults_of_a_file_are_told_at_once() -> None:
    text = GOOD.replace("Image: /bin/x", "Imag: /bin/x\n    Usr: y")
    assert len(faults(text + "---\n" + text)) == 4


@pytest.mark.parametrize("data", [b"", b"\n# nothing\n"])
def test_an_empty_file_has_no_rules(data: bytes) -> None:
    assert parse(data, "r.yml") == []


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "5\n"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    assert faults(text)[0].startswith("r.yml:1:1: a Sigma rule is a mapping")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PolicyErrors) as caught:
        parse(b"title: \xff\n", "r.yml")
    assert "r.yml:1:8: byte 0xff is not UTF-8" in rendered(caught.value)


def rendered(errors: PolicyErrors) -> str:
    return "\n".join(f"{error.place}: {error.message}" for error in errors.errors)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace("6f6a5a6e", "7f6a5a6e"))
    with pytest.raises(PolicyErrors) as caught:
        load([tmp_path])
    assert f'b.yml:1:1: the rule "a-try" is there already, at {tmp_path}/a.yml:1' in rendered(caught.value)


def test_a_tag_is_no_rules_name(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD.replace("name: a-try", "name: attack.execution"))
    with pytest.raises(PolicyErrors) as caught:
        load([tmp_path])
    assert 'the tag "attack.execution" is the name of the rule' in rendered(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load([tmp_path / "no.yml"])
    assert "no.yml: cannot be read" in rendered(caught.value)
