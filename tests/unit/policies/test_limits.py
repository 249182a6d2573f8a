"""Too much of anything is refused with what to reduce; what is allowed is quick enough."""

from __future__ import annotations

import random
import time

import pytest

from policies import Evaluator, PolicyErrors, compile_documents, parse_text
from policies.compile import plan
from policies.compile.cells import Cells
from policies.compile.compiler import MIN_STATE
from policies.compile.plan import MAX_RULES
from policies.errors import NOWHERE, PolicyError
from policies.names import identity_id
from tests.policy_strategies import World, make_policies
from tests.unit.policies.helpers import policy, protection, together
from tests.unit.policies.test_follow import SCAN


def refused(text: str, capacity: int = 8 << 20) -> PolicyError:
    with pytest.raises(PolicyErrors) as caught:
        compile_documents(parse_text(text), capacity=capacity)
    (error,) = caught.value.errors
    return error


def many(count: int, subjects: int, rights: str = "read") -> str:
    """`count` rules, evenly over `subjects` policies."""
    return together(
        *(
            policy(
                "files:\n"
                + "".join(
                    f"  - {{allow: [{rights}], paths: [/srv/{s}/f{n}]}}\n" for n in range(count // subjects)
                ),
                subject=f"{{identity: test/s{s}}}",
                name=f"s{s}",
            )
            for s in range(subjects)
        )
    )


def test_too_many_rules_for_an_image_name_the_largest_policy() -> None:
    text = together(
        many(100, 10), policy("files:\n" + "  - {allow: [read], paths: [/a]}\n" * 30, name="largest")
    )
    error = refused(text, capacity=1 << 15)
    assert "too many rules or subjects for the tables" in error.message
    assert '"largest" is the largest policy' in error.hint
    assert error.line > 1


@pytest.mark.parametrize("capacity", [1 << 14, 1 << 16])
def test_an_image_fits_or_is_refused(capacity: int) -> None:
    """Whatever part it is that grows; the gate's slots are exactly that large."""
    sources = [
        make_policies(random.Random(f"{capacity}/{seed}"), World(), rules=4 * seed) for seed in range(6)
    ]
    extra = (many(60, 1), many(60, 20), protection('["/a/*b*", "/a/*c*/*d*"]', "[read]"))
    sizes = {True: 0, False: 0}
    for documents in map(parse_text, (*sources, *extra)):
        size = len(compile_documents(documents).image)
        sizes[size <= capacity] += 1
        if size <= capacity:
            assert compile_documents(documents, capacity=capacity).image
        else:
            with pytest.raises(PolicyErrors, match="fault"):
                compile_documents(documents, capacity=capacity)
    assert all(sizes.values())


def test_what_makes_an_image_too_large_is_named() -> None:
    """With Protections alone, too."""
    long = protection(
        "[" + ", ".join(f'"/srv/{chr(97 + n) * 200}"' for n in range(12)) + "]", "[read]", name="long"
    )
    error = refused(together(protection("[/a]", "[read]", name="short"), long), capacity=1 << 16)
    assert "; the automaton of " in error.message
    assert '"long" is the largest Protection, with 12 patterns' in error.hint
    assert error.line > 10


def test_the_names_are_named_where_they_are_the_most() -> None:
    text = policy("files:\n" + "  - {allow: [read], paths: [/a]}\n" * 400)
    assert "; the names of rules and patterns alone: " in refused(text, capacity=1 << 14).message


def test_an_image_may_be_exactly_as_large_as_there_is_room() -> None:
    documents = parse_text(many(40, 4))
    found = compile_documents(documents)
    header = Evaluator(found.image).header
    assert (found.n_classes, found.n_cells) == (header["n_classes"], header["n_cells"])
    size = len(found.image)
    assert compile_documents(documents, capacity=size).capacity == size
    assert f"{size} bytes, at most {size - 1}" in refused(many(40, 4), capacity=size - 1).message


def test_what_cannot_fit_is_refused_before_it_is_built() -> None:
    found = compile_documents(parse_text(many(40, 4)))
    rows, classes, states = len(found.meta.rows), found.n_classes, found.n_states
    least = rows * classes * 2 + states * MIN_STATE
    error = refused(many(40, 4), capacity=least - 1)
    expected = f"{rows} subjects times {classes} classes of objects and {states} states need {least} bytes"
    assert f"{expected}, at most {least - 1}" in error.message
    assert "the image has" in refused(many(40, 4), capacity=least).message


def test_a_sequence_alone_can_be_too_much() -> None:
    error = refused(SCAN, capacity=1 << 12)
    assert "too many rules or subjects for the tables" in error.message
    assert "is the largest" not in error.hint
    assert error.place == NOWHERE


def test_as_many_subjects_and_answers_as_there_is_room_for_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = parse_text(many(20, 10))
    found = compile_documents(documents)
    monkeypatch.setattr("policies.compile.compiler.MAX_ROWS", 12)
    monkeypatch.setattr("policies.compile.compiler.MAX_CELLS", found.n_cells)
    assert compile_documents(documents).image == found.image


def test_too_many_subjects_are_refused() -> None:
    only = ", ".join(f"{{identity: test/s{n}}}" for n in range(5000))
    error = refused(protection('["/a/**"]', "[read]", only=f"[{only}]"), capacity=1 << 16)
    assert "too many rules or subjects for the tables" in error.message
    assert "bytes" in error.message


def test_more_subjects_than_a_label_can_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = compile_documents(parse_text(many(20, 10))).image
    monkeypatch.setattr("policies.compile.compiler.MAX_ROWS", 10)
    assert "12 subjects, at most 10" in refused(many(20, 10)).message
    monkeypatch.setattr("policies.sections.MAX_ROWS", 10)
    with pytest.raises(PolicyError, match="more than 10 subjects"):
        Evaluator(image)


def test_too_many_answers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.compile.compiler.MAX_CELLS", 20)
    assert "different answers (cells), at most 20" in refused(many(100, 2)).message


def test_too_many_rules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_RULES", 50)
    error = refused(many(100, 2))
    assert "too many rules for the tables" in error.message
    assert '"s0" has the most' in error.hint
    assert error.place == parse_text(many(100, 2)).policies[0].place
    assert MAX_RULES == 0xFFFF


def test_as_many_rules_as_events_can_name_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = parse_text(many(10, 2))
    monkeypatch.setattr(plan, "MAX_RULES", len(compile_documents(documents).meta.rules))
    assert compile_documents(documents)


def test_two_identities_with_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "identity_id", lambda name: identity_id("test/same"))
    error = refused(many(2, 2))
    assert error.message == 'identities "test/s1" and "test/s0" have the same 64-bit id'
    assert error.hint == "rename one of them"
    assert error.place == parse_text(many(2, 2)).policies[1].subject.place


def test_a_thousand_rules_compile_in_a_moment() -> None:
    text = many(1000, 20, "read, write")
    started = time.process_time()
    found = compile_documents(parse_text(text))
    assert time.process_time() - started < 5
    assert len(found.image) < 1 << 20


def test_cells_that_are_the_same_are_kept_once() -> None:
    found = compile_documents(parse_text(many(400, 4)))
    assert found.n_cells < 450
    assert len(Cells()) == 0
