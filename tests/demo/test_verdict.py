"""The demo must be able to fail: what counts as a pass, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.demo import watching
from tests.demo.calls import Calls, parse
from tests.demo.certifying import SEQUENCE
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
LAST = denial(
    json.dumps(
        {
            "id": 8, "kind": "denial", "subject": "os/perl-base", "operation": "connect",
            "address": "10.66.0.1", "port": 9200, "rule_name": SEQUENCE, "rule_kind": "sequence",
        }
    )
)  # fmt: skip
WATCHED = Watched(
    connects=("success", "success", "EPERM"),
    last=Outcome(watching.LAST, "EPERM", succeeded=False, denial=LAST),
    twins=("success",) * 5,
    revoked=("success",) * 3,
    chain=(*STEPS, "scan", "scan"),
    shown="",
    false=(),
    certified="",
    events=100,
    lost=0,
)
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


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"connects": ("success",) * 3}, id="the last connect was answered"),
        pytest.param({"connects": ("success", "EPERM", "EPERM")}, id="an allowed step was denied"),
        pytest.param({"connects": ("success", "success", "ECONNREFUSED")}, id="the network refused it"),
        pytest.param({"connects": ("EPERM",)}, id="it was not tried"),
        pytest.param({"last": replace(WATCHED.last, denial=None)}, id="no event names the sequence"),
        pytest.param({"last": replace(WATCHED.last, denial=DENIAL)}, id="another rule denied it"),
        pytest.param({"chain": ()}, id="no alert"),
        pytest.param({"chain": STEPS[1:]}, id="an alert without the first step"),
        pytest.param({"twins": ("success",) * 4 + ("EPERM",)}, id="a twin was denied"),
        pytest.param({"twins": ()}, id="the twins did nothing"),
        pytest.param({"false": ("web-shell",)}, id="a grave alert about a twin"),
        pytest.param({"revoked": ("success", "success", "EPERM")}, id="denied although it was revoked"),
    ],
)
def test_a_last_act_that_is_not_right_fails_and_says_why(change: dict[str, object]) -> None:
    watched = replace(WATCHED, **change)  # type: ignore[arg-type]
    run = replace(GOOD, watched=watched)
    assert not run.passed
    (fault,) = watched.faults
    assert summary(run)[-1].startswith(f"FAIL      {fault}")
    assert as_json(run)["last_act"]["faults"] == [fault]


def test_a_last_act_that_was_not_played_fails() -> None:
    assert not replace(GOOD, watched=None).passed


def test_the_last_act_stands_in_the_table_and_is_no_stranger() -> None:
    assert LAST.fits(watching.LAST)
    assert GOOD.shown == [DENIED, WATCHED.last]
    assert LAST.because.endswith(f"{SEQUENCE} (sequence)")
