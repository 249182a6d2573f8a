"""The demo must be able to fail: what counts as a pass, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.demo.calls import Calls, parse
from tests.demo.denials import denial
from tests.demo.intruder import Outcome
from tests.demo.report import Run, as_json, summary, word
from tests.demo.steps import Attempt, Target, attempts
from tests.demo.traffic import Count
from tests.demo.watching import STEPS, Watched

ATTEMPT = Attempt(4, "reads a secret", frozenset({"open"}), ("/etc/ledger/secret.key",))
EVENT = {
    "id": 7, "kind": "denial", "subject": "payments/api", "operation": "open", "right": "read",
    "path": "/etc/ledger/secret.key", "rule_name": "ledger-secrets", "rule_kind": "protection",
    "rule_place": "protections.yaml:42",
}  # fmt: skip
DENIAL = denial(json.dumps(EVENT))
DENIED = Outcome(ATTEMPT, "EACCES", succeeded=False, denial=DENIAL)
WATCHED = Watched(("5432 ECONNREFUSED",), (*STEPS, "scan", "scan"), "", (), events=100, lost=0)
GOOD = Run(
    kernel="6.1",
    enforced=True,
    outcomes=[DENIED],
    requests=Count(done=10),
    logins=Count(done=1),
    arrived=0,
    strangers=[],
    seconds=1.0,
    watched=WATCHED,
)


def test_every_step_denied_and_every_request_answered_passes() -> None:
    assert GOOD.passed
    assert word(DENIED) == "denied"
    assert summary(GOOD)[-1].startswith("PASS")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"enforced": False}, id="enforcement is off"),
        pytest.param({"outcomes": []}, id="nothing was attempted"),
        pytest.param({"outcomes": [DENIED, replace(DENIED, succeeded=True)]}, id="one attempt succeeded"),
        pytest.param({"outcomes": [replace(DENIED, denial=None)]}, id="errno without an event"),
        pytest.param({"outcomes": [replace(DENIED, denial=replace(DENIAL, rule=""))]}, id="no rule is named"),
        pytest.param({"outcomes": [replace(DENIED, fault="it did not start")]}, id="it could not be tried"),
        pytest.param({"requests": Count(done=10, failures=["503"])}, id="a request failed"),
        pytest.param({"logins": Count(done=2, failures=["closed"])}, id="a login failed"),
        pytest.param({"requests": Count()}, id="nobody asked for anything"),
        pytest.param({"logins": Count()}, id="nobody logged in"),
        pytest.param({"arrived": 1}, id="something reached the outside"),
    ],
)
def test_anything_else_fails(change: dict[str, object]) -> None:
    run = replace(GOOD, **change)  # type: ignore[arg-type]
    assert not run.passed
    assert summary(run)[-1].startswith("FAIL")
    assert as_json(run)["passed"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [("subject", "os/nginx"), ("operation", "unlink"), ("path", "/etc/ledger/other")],
)
def test_the_denial_of_something_else_is_not_the_attempts(field: str, value: str) -> None:
    assert DENIAL.fits(ATTEMPT)
    assert not denial(json.dumps({**EVENT, field: value})).fits(ATTEMPT)


def test_an_address_is_a_thing_that_can_be_denied() -> None:
    event = {"id": 1, "subject": "payments/api", "operation": "connect", "address": "10.66.0.1", "port": 4444}
    attempt = replace(ATTEMPT, operations=frozenset({"connect"}), things=("10.66.0.1:4444",))
    assert denial(json.dumps(event)).fits(attempt)


def test_calls_are_written_in_the_services_language_and_its_answer_is_read() -> None:
    calls = Calls()
    file = calls.call("open", calls.text("/x"), 0)
    calls.call("read", file, calls.room(4), 4)
    assert calls.body() == b"buf 2f7800\nout 4\nhere\ncall 2 b0 0\ncall 0 r0 b1 4\n"
    answer = parse("call 0 5 0\ncall 1 -1 21\nout 1 00000000\n")
    assert [answer.error(number) for number in range(3)] == [0, 21, 0]
    assert answer.outputs == (bytes(4),)


def test_the_intruder_tries_all_thirteen_steps() -> None:
    target = Target(foothold=b"\x7fELF", module=b"\x7fELF", redis=2, sshd=3)
    assert sorted({attempt.step for attempt in attempts(target)}) == list(range(1, 14))


@pytest.mark.parametrize("change", [{"chain": ()}, {"chain": STEPS[1:]}, {"false": ("web-shell",)}])
def test_a_watch_that_does_not_tell_the_story_is_said_and_does_not_decide(change: dict[str, object]) -> None:
    run = replace(GOOD, watched=replace(WATCHED, **change))  # type: ignore[arg-type]
    assert run.passed
    assert any("DID NOT TELL" in line for line in summary(run))
    assert not any("DID NOT TELL" in line for line in summary(GOOD))
