"""`menshen rules`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.cli import main

GOOD = """title: A program in /tmp
name: in-temp
logsource: {product: linux, category: process_creation}
detection:
  selection: {Image|startswith: /tmp/}
  condition: selection
level: high
tags: [attack.execution]
"""


def menshen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "one.yml").write_text(GOOD)
    return folder


def test_rules_that_are_good_are_counted(rules: Path) -> None:
    done = menshen("validate", rules)
    assert (done.exit_code, done.output) == (0, "1 rule\n")


def test_a_fault_is_shown_with_its_line_and_what_to_write(rules: Path) -> None:
    (rules / "two.yml").write_text(GOOD.replace("in-temp", "two").replace("Image", "Imge"))
    done = menshen("validate", rules)
    assert done.exit_code == 1
    assert f"{rules}/two.yml:5:15: these events have no field Imge" in done.output
    assert "  5 |   selection: {Imge|startswith: /tmp/}" in done.output
    assert "did you mean Image?" in done.output


def test_faults_as_json(rules: Path) -> None:
    (rules / "two.yml").write_text("title: x\n")
    done = menshen("validate", rules, "-o", "json")
    assert done.exit_code == 1
    (problem,) = json.loads(done.output)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == (f"{rules}/two.yml", 1, 1)


def test_what_is_shipped_is_listed_and_valid() -> None:
    done = menshen("list")
    assert done.exit_code == 0
    assert "temp-write" in done.output
    assert len(json.loads(menshen("list", "-o", "json").output)) >= 40


def test_rules_are_tried_on_a_file_of_events(rules: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    lines = [
        {"type": "exec", "exe": "/usr/bin/ls", "args": ["ls", "-l"], "pid": 7, "time": 1764081311.5},
        {
            "type": "exec",
            "exe": "/tmp/\x1b[2J\udcff",
            "args": "x\0y",
            "flags": ["script"],
            "tags": ["old"],
            "id": 4,
        },
        {"type": "file-write", "path": "/tmp/x"},
    ]
    events.write_text("\n\n".join(json.dumps(line) for line in lines))
    done = menshen("test", events, "--rules", rules)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "3: in-temp (high): exec exe=/tmp/\\x1b[2J\\xff args=x y",
        "3 events, 1 matches of 1 of 1 rules",
    ]
    (match,) = [
        json.loads(line)
        for line in menshen("test", events, "--rules", rules, "-o", "json").output.splitlines()
    ]
    assert (match["line"], match["name"], match["tags"]) == (3, "in-temp", ["attack.execution"])


def test_addresses_words_and_parents_of_a_line_are_understood(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    lines = [
        {
            "type": "connect",
            "address": "10.1.2.3",
            "port": 22,
            "protocol": "tcp",
            "session": "18446744073709551615",
        },
        {"type": "connect", "address": "2a00::1", "port": 443},
        {"type": "exec", "exe": "/usr/bin/id", "parent_exe": "/usr/sbin/nginx"},
        {"type": "fork", "pid": 5, "target_pid": 6, "exe": "/usr/sbin/apache2", "digest": "00ff"},
        {"type": "exec", "pid": 6, "exe": "/usr/bin/id"},
        {"type": "type-300"},
    ]
    events.write_text("\n".join(json.dumps(line) for line in lines))
    found = [json.loads(line) for line in menshen("test", events, "-o", "json").output.splitlines()]
    assert {(match["line"], match["name"]) for match in found} == {
        (1, "internal-connect"),
        (1, "ssh-outbound"),
        (2, "outbound-connect"),
        (3, "web-service-child"),
        (5, "web-service-child"),
    }


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "this is not JSON"),
        ("5", "an event is a JSON object"),
        ('{"tipe": "exec"}', "there is no column tipe"),
        ('{"type": "exce"}', "type cannot be"),
        ('{"port": 65536}', "port cannot be"),
        ('{"port": -1}', "port cannot be"),
        ('{"port": true}', "port cannot be"),
        ('{"address": "10.0.0"}', "address cannot be"),
        ('{"exe": 5}', "exe cannot be"),
        ('{"args": [5]}', "args cannot be"),
        ('{"flags": ["x"]}', "flags cannot be"),
        ('{"digest": "xyz"}', "digest cannot be"),
        ('{"time": 1e300}', "time cannot be"),
    ],
)
def test_a_line_that_is_no_event_is_named(line: str, fault: str, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text('{"type": "exec"}\n' + line)
    done = menshen("test", events)
    assert done.exit_code == 1
    assert f"{events}:2:1: {fault}" in done.output
