"""What the suites of others say is read as it was meant, and runs are compared case by case."""

from __future__ import annotations

import pytest

from policies import compile_documents, parse_text
from policies.checks import Severity, check
from tests.guest.conformance.allow_all import policy
from tests.guest.conformance.groups import groups
from tests.guest.conformance.results import Case, cases, compare, flaky, lines_that_are_new, ltp, tap

HARNESS = """\
TAP version 13
1..4
# Starting 4 tests from 2 test cases.
#  RUN           layout1.open ...
# fs_test.c:100:open:Expected 0 (0) == test_open() (13)
# open: Test failed at step #1
#          FAIL  layout1.open
not ok 1 layout1.open
#  RUN           layout1.link ...
#            OK  layout1.link
ok 2 layout1.link
ok 3 layout1.big # SKIP no such file system
ok 4 # SKIP layout1.old
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:2 error:0
"""


def test_a_program_with_the_kernels_harness_is_many_cases() -> None:
    found = dict(tap("fs_test", HARNESS))
    assert {name: case.word for name, case in found.items()} == {
        "fs_test/layout1.open": "not ok",
        "fs_test/layout1.link": "ok",
        "fs_test/layout1.big": "skip",
        "fs_test/layout1.old": "skip",
    }
    assert "test_open() (13)" in found["fs_test/layout1.open"].said
    assert "test_open" not in found["fs_test/layout1.link"].said


@pytest.mark.parametrize(
    ("status", "output", "word"),
    [
        (
            0,
            "open01.c:50: TPASS: it opened\nopen01.c:51: TPASS: it\n\nSummary:\npassed   2\n",
            "0: 2 PASS",
        ),
        (0, "acct01    1  TPASS  :  as expected\n", "0: 1 PASS"),
        (32, "bpf01.c:9: TCONF: not here\n", "32: 1 CONF"),
        (3, "a.c:1: TPASS: x\na.c:2: TFAIL: y: EACCES (13)\na.c:3: TBROK: z\n", "3: 1 BROK, 1 FAIL, 1 PASS"),
        (127, "sh: 1: nonexistent: not found\n", "127: nothing"),
    ],
)
def test_a_program_of_ltp_is_one_case(status: int, output: str, word: str) -> None:
    assert ltp(status, output).word == word


def test_a_program_that_ends_early_differs_by_its_status_and_by_the_cases_that_it_lacks() -> None:
    whole = cases("landlock", [{"name": "fs_test", "status": 1, "output": HARNESS}])
    short = HARNESS.split("#  RUN           layout1.link", maxsplit=1)[0]
    early = cases("landlock", [{"name": "fs_test", "status": 124, "output": short}])
    found = compare({"off": whole, "enforce": early}, "off")
    assert {one.program for one in found} == {"fs_test"}
    assert {one.name: one.with_it.word for one in found} == {
        "fs_test": "124:",
        "fs_test/layout1.link": "absent",
        "fs_test/layout1.big": "absent",
        "fs_test/layout1.old": "absent",
    }


def test_a_case_that_differs_without_us_is_flaky_and_one_that_differs_with_us_only_is_not() -> None:
    def run(alone: str, held: str) -> dict[str, Case]:
        return {"alone": Case(alone, ""), "held": Case(held, f"said {held}"), "same": Case("ok", "")}

    runs = {"off": run("ok", "ok"), "audit": run("ok", "ok"), "enforce": run("not ok", "not ok")}
    found = compare(runs, "off")
    assert [(one.name, one.mode) for one in found] == [("alone", "enforce"), ("held", "enforce")]
    assert "said not ok" in str(found[1])
    assert flaky((one.name for one in found), runs["off"], run("not ok", "ok")) == ["alone"]
    assert flaky(["held"], {}, {}) == [], "what is absent both times is the same"


def test_lines_are_compared_without_their_numbers() -> None:
    assert lines_that_are_new("pid 17 at 0xff\n", "pid 18 at 0x10\npid gone\n") == ["pid gone"]


def test_the_policy_that_allows_all_has_no_error_and_compiles_in_both_modes() -> None:
    for mode in ("audit", "enforce"):
        compiled = compile_documents(parse_text(policy(mode)))
        assert not [issue for issue in check(compiled) if issue.severity is Severity.ERROR]


def test_no_group_is_named_twice() -> None:
    named = [group for part in groups().values() for group in part]
    assert len(named) == len(set(named)) > 100
