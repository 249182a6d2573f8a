"""Explanations: a sentence, a place, and what would change the verdict."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from policies import Operations, Verdict
from policies.explain import Explanation, explain
from policies.image import Right, Special
from tests.unit.policies.helpers import operations, policy, protection, together

APP = policy(
    """
    files:
      - {allow: [read], paths: ["/etc/app/**"]}
      - {deny: [write], paths: ["/etc/app/keys/**"]}
    special: {allow: [netlink]}
    """
)
GUARD = protection('["/etc/ssh/**"]', "[write]", name="sshd-config")


def why(app: Operations, verdict: Verdict, what: str) -> Explanation:
    return explain(app.evaluator, app.row, verdict, what)


# what, how it is judged: (words of the sentence, line, words of the advice)
CASES: dict[str, tuple[Callable[[Operations], Verdict], str, int, str]] = {
    "/etc/app/x": (lambda app: app.open("/etc/app/x", os.O_RDONLY), "may read /etc/app/x: allowed by", 9, ""),
    "/etc/app/keys/k": (
        lambda app: app.open("/etc/app/keys/k", os.O_WRONLY),
        "may not write /etc/app/keys/k: policy app denies it (policy.yaml:10:7)",
        10,
        "change the rule at policy.yaml:10:7",
    ),
    "/srv/x": (
        lambda app: app.unlink("/srv/x"),
        "may not delete /srv/x: no rule of policy app allows it",
        4,
        'add to policy app: files: - {allow: [delete], paths: ["/srv/x"]}',
    ),
    "/srv": (
        lambda app: app.open("/srv", os.O_RDONLY, is_directory=True),
        "may not list /srv",
        4,
        'files: - {allow: [read], paths: ["/srv"]}',
    ),
    "/etc/ssh/a": (
        lambda app: app.open("/etc/ssh/a", os.O_WRONLY),
        "protection sshd-config keeps it for others",
        17,
        "add {identity: test/app} to only of protection sshd-config",
    ),
    "/usr/bin/nc": (
        lambda app: app.execute("/usr/bin/nc", identified=True),
        "may not execute /usr/bin/nc",
        4,
        'exec: - {paths: ["/usr/bin/nc"]}',
    ),
    "@x": (
        lambda app: app.unix_connect("@x"),
        "may not connect to @x",
        4,
        'network: - {allow: connect, to: {unix: "@x"}}',
    ),
    "/run/x": (
        lambda app: app.judge("/run/x", Right.LISTEN),
        "may not listen on /run/x",
        4,
        'network: - {allow: listen, unix: "/run/x"}',
    ),
    "10.0.0.1:443": (
        lambda app: app.connect(bytes([4, 6, 1, 187, 10, 0, 0, 1])),
        "may not connect to 10.0.0.1:443",
        4,
        "to: {cidr: ..., ports: [...]}",
    ),
    "bpf": (
        lambda app: app.special(Special.BPF),
        "may not use bpf: it is not in special of policy app",
        11,
        "change the rule",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_a_verdict_is_told_in_words(what: str) -> None:
    ask, sentence, line, advice = CASES[what]
    app = operations(APP, GUARD)
    told = why(app, ask(app), what)
    assert told.sentence.startswith("test/app may")
    assert sentence in told.sentence
    assert told.place.line == line, told
    assert advice in told.advice
    assert told.text


def test_audit_is_said() -> None:
    app = operations(policy("", mode="audit"))
    told = why(app, app.unlink("/x"), "/x")
    assert told.sentence.endswith("this is reported and not enforced")


def test_builtin_reasons_are_said() -> None:
    app = operations(policy("exec:\n  - {paths: [/p]}\n"))
    told = why(app, app.execute("/p", identified=False), "/p")
    assert "it has no credential that checks" in told.sentence
    assert "sign the program" in told.advice


@pytest.mark.parametrize("path", ["/x", "/a*b", "/a[1]{b}\\c?", '/a"b', "/ä b"])
def test_the_advice_can_be_pasted(path: str) -> None:
    app = operations(policy(""))
    told = why(app, app.unlink(path), path)
    rule = told.advice.split("files: ")[1]
    fixed = operations(policy(f"files:\n  {rule}\n"))
    assert fixed.unlink(path).allowed
    assert not fixed.unlink(path + "x").allowed


def test_names_cannot_steer_a_terminal() -> None:
    app = operations(together(policy("")))
    told = why(app, app.unlink("/\x1b[31m"), "/\x1b[31m")
    assert "\x1b" not in told.sentence + told.advice
