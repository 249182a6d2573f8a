"""What rules ask of a value, case by case, by way of a Sigma rule and the plain reading."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bpf_lsm.observation import Type
from detect.rules import reference
from detect.rules.engine import RuleEngine
from detect.rules.parse import parse
from tests.unit.detect.records import enriched

TEXT_CASES: list[tuple[str, Any, bytes, bool]] = [
    ("exe", "/bin/x", b"/bin/x", True),
    ("exe", "/BIN/X", b"/bin/x", True),
    ("exe|cased", "/BIN/X", b"/bin/x", False),
    ("exe", "/bin/x", b"/bin/xy", False),
    ("exe", "/bin/x", b"/bin/x\n", False),
    ("exe", "/bin/*", b"/bin/x\n\xff", True),
    ("exe", "*/x", b"/a/b/x", True),
    ("exe", "/b?n/x", b"/b\xc3\xa9n/x", True),
    ("exe", "/b?n/x", b"/b\xffn/x", True),
    ("exe", "/b?n/x", b"/bn/x", False),
    ("exe", "/b\\?n", b"/b?n", True),
    ("exe", "/b\\?n", b"/bin", False),
    ("exe", "a\\*b", b"a*b", True),
    ("exe", "\\\\", b"\\", True),
    ("exe", "a*b*c", b"axxbyyc", True),
    ("exe", "a*b*c", b"axxcyyb", False),
    ("exe", "*a*a*a*a*a*a*a*a*b", b"a" * 2000, False),
    ("exe|contains", "é", b"x\xc3\xa9y", True),
    ("exe|contains", "é", b"x\xc3\x89y", False),  # only the case of ASCII letters is ignored
    ("exe|startswith", "/tmp/", b"/tmp/x", True),
    ("exe|startswith", "/tmp/", b"/TMP/x", True),
    ("exe|startswith", "/tmp/", b"/tmp", False),
    ("exe|endswith", "/x", b"/bin/x", True),
    ("exe|endswith", "/x", b"/bin/x ", False),
    ("exe|contains|all", ["a", "b"], b"b..a", True),
    ("exe|contains|all", ["a", "b"], b"a", False),
    ("exe|re", "^/a.b$", b"/a\xffb", True),
    ("exe|re", "^/a.b$", b"/a\nb", False),
    ("exe|re|s", "^/a.b$", b"/a\nb", True),
    ("exe|re|i", "ABC", b"xabc", True),
    ("exe|re", "ABC", b"xabc", False),
    ("exe|re", "^x$", b"x\n", False),
    ("exe|re|m", "^x$", b"y\nx\nz", True),
    ("exe|re", "(a+)+$", b"a" * 1000 + b"b", False),
    ("exe", None, b"", True),
    ("exe", None, b"x", False),
    ("exe", "", b"", True),
    ("exe|exists", True, b"x", True),
    ("exe|exists", False, b"", True),
    ("exe", 5, b"5", True),
    ("args", "a b", b"a\0b", True),
    ("args", "a b", b"a\0b\0", True),
    ("args|windash|contains", " -x", b"a\0/x", True),
    ("args|base64offset|contains", "payload", b"a\0eHBheWxvYWQ=", True),
    ("args|wide|base64offset|contains", "id", b"a\0aQBkAA==", True),
]


@pytest.mark.parametrize(("key", "value", "text", "matches"), TEXT_CASES)
def test_text(key: str, value: Any, text: bytes, matches: bool) -> None:
    column = key.split("|", 1)[0]
    assert found({key: value}, {column: text}) is matches


NUMBER_CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"port": 22}, {"port": 22}, True),
    ({"port": "22"}, {"port": 22}, True),
    ({"port": "2*"}, {"port": 22}, True),
    ({"port|lt": 23}, {"port": 22}, True),
    ({"port|gte": 23}, {"port": 22}, False),
    ({"port|neq": 23}, {"port": 22}, True),
    ({"result|lt": 0}, {"result": -13}, True),
    ({"result": -13}, {"result": -13}, True),
    ({"session": 2**62}, {"session": 2**62}, True),
    ({"address|cidr": "10.0.0.0/8"}, {"address": bytes([10, 9, 9, 9]), "family": 4}, True),
    ({"address|cidr": "10.0.0.0/8"}, {"address": bytes([11, 9, 9, 9]), "family": 4}, False),
    ({"address|cidr": "10.0.0.0/8"}, {"address": bytes(10) + b"\xff\xff\x0a\1\1\1", "family": 6}, True),
    ({"address|cidr": "::/0"}, {"address": bytes([10, 9, 9, 9]), "family": 4}, False),
    ({"address": None}, {"address": b"", "family": 1}, True),
    ({"address": "::1"}, {"address": bytes(15) + b"\1", "family": 6}, True),
    ({"address|startswith": "10."}, {"address": bytes([10, 9, 9, 9]), "family": 4}, True),
    (
        {"DestinationScope": "loopback"},
        {"address": bytes([127, 1, 1, 1]), "family": 4, "type": Type.CONNECT},
        True,
    ),
    ({"DestinationScope": "loopback"}, {"address": bytes(16), "family": 6, "type": Type.CONNECT}, True),
    (
        {"DestinationScope": "private"},
        {"address": bytes([172, 31, 1, 1]), "family": 4, "type": Type.CONNECT},
        True,
    ),
    (
        {"DestinationScope": "public"},
        {"address": bytes([172, 32, 1, 1]), "family": 4, "type": Type.CONNECT},
        True,
    ),
    (
        {"DestinationScope": "multicast"},
        {"address": bytes([224, 0, 0, 1]), "family": 4, "type": Type.SENDTO},
        True,
    ),
    ({"DestinationIp": None}, {"address": bytes([1, 1, 1, 1]), "family": 4, "type": Type.ACCEPT}, True),
    ({"SourcePort": 9}, {"port": 9, "type": Type.ACCEPT}, True),
    ({"SourcePort": 9}, {"port": 9, "type": Type.CONNECT}, False),
    ({"Initiated": True}, {"type": Type.CONNECT}, True),
    ({"Initiated": "false"}, {"type": Type.ACCEPT}, True),
    ({"Initiated": None}, {"type": Type.EXEC}, True),
    ({"type": "file-write"}, {"type": Type.FILE_WRITE}, True),
    ({"flags|contains": "script"}, {"flags": 8 | 2}, True),
    ({"flags": None}, {"flags": 0}, True),
    ({"mode|endswith": "755"}, {"type": Type.FILE_CHMOD, "detail": 0o100755}, True),
    ({"mode": None}, {"type": Type.FILE_WRITE, "detail": 0o100755}, True),
    ({"open|contains": "append"}, {"type": Type.FILE_WRITE, "detail": 0o2001}, True),
    ({"digest": "00000000000000ff"}, {"digest": 255}, True),
    ({"User": "root"}, {"uid": 0}, True),
    ({"User": None}, {"uid": 0xFFFF_FFFF}, True),
    ({"uid|fieldref": "login_uid"}, {"uid": 7, "login_uid": 7}, True),
    ({"uid|fieldref": "login_uid"}, {"uid": 7, "login_uid": 70}, False),
    ({"path|fieldref": "exe"}, {"path": b"/X", "exe": b"/x"}, True),
    ({"path|fieldref|startswith": "exe"}, {"path": b"/x/y", "exe": b"/x"}, True),
    ({"path|fieldref": "exe"}, {"path": b"", "exe": b""}, False),
]


@pytest.mark.parametrize(("selection", "event", "matches"), NUMBER_CASES)
def test_numbers_words_addresses_and_pairs(selection: Any, event: Any, matches: bool) -> None:
    assert found(selection, event) is matches


@pytest.mark.parametrize(
    ("event", "matches"),
    [
        ({"args": b"a\0HELLO"}, True),
        ({"path": b"/hello/x"}, True),
        ({"parent_exe": b"hello"}, False),
        ({}, False),
    ],
)
def test_words_without_a_field_are_looked_for_in_all_texts(event: Any, matches: bool) -> None:
    assert found(["hello"], {key: value for key, value in event.items() if key != "parent_exe"}) is matches


def found(selection: Any, event: dict[str, Any]) -> bool:
    """Whether a rule with this selection matches, which both readings must agree on."""
    rule = {
        "title": "made",
        "name": "made",
        "logsource": {"product": "linux", "service": "menshen"},
        "detection": {"selection": selection, "condition": "selection"},
    }
    rules = parse(json.dumps(rule).encode(), "made.yml")
    batch = enriched([{"type": Type.FILE_WRITE, **event}])
    by_reading = reference.matching(rules, batch.row(0)) == ["made"]
    assert (len(RuleEngine(rules).match(batch).event) > 0) is by_reading
    return by_reading
