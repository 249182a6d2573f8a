"""The catalogue of evasions as data: whole, known to the actor, and its page is right."""

from __future__ import annotations

import re
from pathlib import Path

from policies import compile_documents, parse_text
from tests.guest.evasion import cases, policies
from tests.guest.evasion.limits import PAGE, page

ACTOR = Path(__file__).resolve().parents[1] / "guest/evasion/actor"


def test_the_page_of_limits_is_that_of_the_catalogue() -> None:
    assert PAGE.read_text() == page(), "python -m tests.guest.evasion writes it anew"


def test_every_case_is_one_operation_of_the_actor_and_none_is_left_over() -> None:
    source = "".join(path.read_text() for path in ACTOR.glob("*.c"))
    operations = re.findall(r'^OPERATION\(\w+, "([^"]+)"', source, re.M)
    assert len(operations) == len(set(operations))
    assert {case.do for case in cases.cases()} == set(operations)


def test_it_is_as_large_as_it_is_meant_to_be() -> None:
    every = list(cases.cases())
    assert len(cases.classes()) >= 40
    assert len(every) >= 300
    assert sum(len(case.variants) for case in every) >= 400
    assert all(len(each.cases) for each in cases.classes())


def test_its_policies_compile() -> None:
    assert compile_documents(parse_text(policies.text(cases.cases()))).image
