"""Why, and what to write: all advice is YAML that the language takes and that allows the access."""

from __future__ import annotations

import os
import textwrap
from typing import Any

import pytest

from enforcer.agent.language import Language
from enforcer.agent.why import explain
from enforcer.events import Event
from policies.endpoint import PROTOCOLS, TCP, encode
from policies.evaluate import Evaluator
from policies.image import Right, Special

POLICY = """\
apiVersion: menshen/v1
kind: Policy
metadata: {name: p}
spec:
  subject: {identity: payments/api}
  mode: enforce
"""


def denial(**fields: Any) -> Event:
    plain = {
        "time": 0.0,
        "kind": "denial",
        "subject": "payments/api",
        "rule_name": "p",
        "rule_kind": "default",
        "rule_place": "p.yaml:4",
        "operation": "open",
    }
    return Event(**{**plain, **fields})


def allowed_by(snippet: str) -> Evaluator:
    text = POLICY + textwrap.indent(snippet, "  ")
    return Evaluator(Language().compile({"p.yaml": text.encode()}).image)


FILES = [
    ("read", Right.READ, "/etc/ssh/sshd_config"),
    ("write", Right.WRITE, "/var/lib/x y"),
    ("append", Right.APPEND, "/var/log/a*b[c]{d}?.log"),
    ("create", Right.CREATE, '/srv/quo"te'),
    ("delete", Right.DELETE, "/srv/back\\slash"),
    ("rename", Right.RENAME, "/srv/tab\there"),
    ("attributes", Right.ATTRIBUTES, "/srv/密钥"),
    ("ioctl", Right.IOCTL, "/dev/kvm"),
]


@pytest.mark.parametrize(("word", "right", "path"), FILES)
def test_the_advice_for_a_file_allows_it_and_nothing_beside_it(word: str, right: Right, path: str) -> None:
    snippet = explain(denial(right=word, path=path)).snippet
    evaluator = allowed_by(snippet)
    row = evaluator.row("payments/api")
    for where, verdict in ((path, True), (path + "x", False)):
        number, _ = evaluator.classify(os.fsencode(where))
        assert evaluator.decide(row, number, 1 << right).allowed is verdict, snippet


def test_the_advice_for_a_program_allows_it() -> None:
    evaluator = allowed_by(
        explain(denial(operation="exec", right="execute", path="/usr/bin/openssl")).snippet
    )
    number, _ = evaluator.classify(b"/usr/bin/openssl")
    assert evaluator.decide(evaluator.row("payments/api"), number, 1 << Right.EXECUTE).allowed


@pytest.mark.parametrize(
    ("address", "port", "protocol"),
    [("10.1.2.3", 443, "tcp"), ("2001:db8::1", 53, "udp"), ("192.0.2.1", 0, "icmp"), ("10.1.2.3", 9, "sctp")],
)
def test_the_advice_for_a_connection_allows_it(address: str, port: int, protocol: str) -> None:
    event = denial(operation="connect", right="connect", address=address, port=port, protocol=protocol)
    evaluator = allowed_by(explain(event).snippet)
    number, _ = evaluator.classify(encode(PROTOCOLS[protocol] or 0, address, port))
    assert evaluator.decide(evaluator.row("payments/api"), number, 1 << Right.CONNECT).allowed


def test_the_advice_for_listening_allows_it() -> None:
    event = denial(operation="bind", right="listen", address="0.0.0.0", port=8080, protocol="tcp")
    evaluator = allowed_by(explain(event).snippet)
    number, _ = evaluator.classify(encode(TCP, "0.0.0.0", 8080))
    assert evaluator.decide(evaluator.row("payments/api"), number, 1 << Right.LISTEN).allowed


@pytest.mark.parametrize("name", ["/run/redis/main.sock", "@abstract"])
def test_the_advice_for_a_unix_socket_allows_it(name: str) -> None:
    evaluator = allowed_by(explain(denial(operation="unix-connect", right="connect", path=name)).snippet)
    number, _ = evaluator.classify(os.fsencode(name))
    assert evaluator.decide(evaluator.row("payments/api"), number, 1 << Right.CONNECT).allowed


@pytest.mark.parametrize(
    ("fields", "special"),
    [
        ({"operation": "ptrace", "detail_words": "ptrace", "target": "os/redis"}, Special.PTRACE),
        ({"operation": "module"}, Special.MODULE),
        ({"operation": "firmware"}, Special.MODULE),
        ({"operation": "settime"}, Special.CLOCK),
        ({"operation": "socket", "detail": 2 << 16 | 3}, Special.RAW_SOCKET),
        ({"operation": "socket", "detail": 17 << 16 | 2}, Special.PACKET_SOCKET),
        ({"operation": "mount"}, Special.MOUNT),
        ({"operation": "namespaces"}, Special.NAMESPACES),
        ({"operation": "mknod", "detail_words": "mknod"}, Special.MKNOD),
        ({"operation": "raw-device"}, Special.RAW_DEVICE),
        ({"operation": "setid", "detail": 1000}, Special.SETID),
    ],
)
def test_the_advice_for_a_special_right_allows_it(fields: dict[str, Any], special: Special) -> None:
    evaluator = allowed_by(explain(denial(**fields)).snippet)
    assert evaluator.special(evaluator.row("payments/api"), special).allowed


def test_the_advice_for_a_signal_names_the_identity_only() -> None:
    event = denial(operation="kill", detail_words="SIGTERM", target="payments/worker")
    evaluator = allowed_by(explain(event).snippet)
    row = evaluator.row("payments/api")
    assert evaluator.special(row, Special.KILL, "payments/worker").allowed
    assert not evaluator.special(row, Special.KILL, "os/redis").allowed


def test_the_advice_for_a_capability_allows_it() -> None:
    event = denial(operation="capable", detail=12, detail_words="net_admin")
    evaluator = allowed_by(explain(event).snippet)
    assert evaluator.capability(evaluator.row("payments/api"), 12).allowed


def test_the_advice_for_code_in_memory_is_jit() -> None:
    evaluator = allowed_by(explain(denial(operation="mprotect", right="map-exec")).snippet)
    assert evaluator.jit(evaluator.row("payments/api")).allowed


@pytest.mark.parametrize(("right", "path"), [("execute", "/opt/x/tool"), ("map-exec", "/opt/x/lib.so")])
def test_the_advice_for_an_unsigned_program_is_to_sign_it_first(right: str, path: str) -> None:
    event = denial(
        operation="exec", right=right, path=path, rule_kind="builtin", rule_name="unidentified-program"
    )
    said = explain(event)
    assert "Sign it" in said.advice
    allowed_by(said.snippet)


def test_what_a_protection_denies_is_allowed_by_naming_the_subject_there() -> None:
    said = explain(denial(rule_kind="protection", rule_name="sshd", rule_place="ssh.yaml:4", right="write"))
    assert "ssh.yaml:4" in said.advice
    assert "identity: payments/api" in said.snippet


def test_a_program_without_identity_is_told_to_get_one() -> None:
    said = explain(denial(subject="unidentified", rule_kind="protection", rule_name="sshd", right="write"))
    assert "menshen identity sign" in said.advice
    assert not said.snippet


def test_an_explicit_deny_is_not_answered_with_an_allow_that_would_not_help() -> None:
    said = explain(denial(rule_kind="file", rule_place="p.yaml:9", right="write", path="/etc/x"))
    assert "a deny wins" in said.advice
    assert not said.snippet


def test_in_audit_it_says_that_nothing_was_denied() -> None:
    assert explain(denial(kind="would-deny", right="read", path="/x")).verdict.startswith("allowed")


def test_what_an_exec_carried_over_can_also_be_closed() -> None:
    said = explain(denial(operation="inherit", right="read", path="/etc/x", detail_words="descriptor 7"))
    assert said.advice.startswith("open descriptor 7 close-on-exec")
    assert "read" in said.snippet
