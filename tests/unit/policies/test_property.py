"""Random policies: the image says what the model says, for every right on every kind of object."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from policies import Evaluator, compile_documents, parse_text
from policies.endpoint import TCP, UDP, encode
from policies.errors import Place
from policies.image import Right
from policies.model import FileRule
from policies.parse import base_rules
from tests.examples import examples
from tests.policy_strategies import World, judge, make_accesses, make_policies, randoms
from tests.unit.policies import naive

WORLD = World(root="/r", folders=("a", "ab"), files=("x", "x.log"), new_names=("n",))
RIGHTS = [right for right in Right if right < Right.WAIVE_EXECUTE_UNSIGNED]
SLOW = examples(40)


def _objects(world: World) -> list[bytes]:
    names = [*world.folders, *world.files, *world.new_names, "zz"]
    paths = ["/", "/r", "/rr", "/etc"]
    paths += ["/".join(("/r", *each)) for depth in (1, 2) for each in itertools.product(names, repeat=depth)]
    paths += ["/r/a/a/ab/x", "/r/a/ab/a/ab/x.log"]
    objects = [path.encode() for path in (*paths, "@property", "@property-b", "@propertx", "@p", "@a/b")]
    for protocol, address, port in itertools.product(
        (TCP, UDP, 132), (*world.addresses, "10.0.0.1", "::", "0.0.0.0"), (*world.ports, 4003, 80)
    ):
        objects.append(encode(protocol, address, port))
    return objects


OBJECTS = _objects(WORLD)


@given(randoms(), st.booleans())
@SLOW
def test_the_image_decides_as_the_rules_read(rng: random.Random, base: bool) -> None:
    text = make_policies(rng, WORLD, rules=8, base=base)
    documents = parse_text(text)
    evaluator = Evaluator(compile_documents(documents).image)
    rules: tuple[FileRule, ...] = base_rules()
    objects = [*rng.sample(OBJECTS, 25), *((b"/dev/null", b"/proc/self", b"/etc/hosts") if base else ())]
    for subject in (*WORLD.identities, None):
        row = evaluator.row(subject)
        for what in objects:
            number, _ = evaluator.classify(what)
            for right in RIGHTS:
                for foreign in (False, True):
                    verdict = evaluator.decide(row, number, 1 << right, foreign=foreign)
                    expected = naive.decide(documents, rules, subject, what, right, foreign=foreign)
                    said = (verdict.allowed, verdict.reported, _place(evaluator, verdict.rule))
                    wanted = (expected.allowed, expected.reported, _short(expected.place))
                    assert said == wanted, f"{subject} {right.name} {what!r} foreign={foreign}\n{text}"


def _place(evaluator: Evaluator, rule: int) -> tuple[str, int, int] | None:
    return _short(evaluator.meta.rules[rule].place) if rule else None


def _short(place: Place | None) -> tuple[str, int, int] | None:
    return (place.path, place.line, place.column) if place is not None else None


@given(randoms())
@SLOW
def test_what_is_below_a_directory_is_never_overlooked(rng: random.Random) -> None:
    """A subtree's cell allows no more than every path below allows, and holds no less than any holds."""
    text = make_policies(rng, WORLD, rules=6)
    evaluator = Evaluator(compile_documents(parse_text(text)).image)
    names = [*WORLD.folders, *WORLD.files, "n", "zz", "..."]
    below = [each for depth in (1, 2, 3) for each in itertools.product(names, repeat=depth)]
    for directory in ("/r", "/r/a", "/r/ab", "/r/a/ab", "/elsewhere"):
        subtree = evaluator.subtree(evaluator.state(directory.encode()))
        for each in rng.sample(below, 40):
            path = "/".join((directory, *each)).encode()
            number, _ = evaluator.classify(path)
            for row in range(len(evaluator.rows)):
                for foreign in (False, True):
                    whole = evaluator.cell(row, subtree, foreign=foreign)
                    part = evaluator.cell(row, number, foreign=foreign)
                    assert whole.allow & ~part.allow == 0, f"{directory} {path!r}\n{text}"
                    assert part.any & ~whole.any == 0, f"{directory} {path!r}\n{text}"
                    assert part.denied & ~whole.denied == 0, f"{directory} {path!r}\n{text}"
                    assert part.enforce & ~whole.enforce & ~whole.allow == 0, f"{directory} {path!r}\n{text}"


@given(randoms())
@SLOW
def test_a_renamed_directory_gives_its_subject_nothing_new(rng: random.Random) -> None:
    """What a rename of a directory allows: each file below had every right that it has afterwards."""
    text = make_policies(rng, WORLD, rules=6)
    evaluator = Evaluator(compile_documents(parse_text(text)).image)
    for access in make_accesses(rng, WORLD, 60):
        verdict = judge(evaluator, access)
        row = evaluator.row(access.subject)
        if not access.is_directory or not access.other or verdict.reported or not evaluator.confined(row):
            continue
        for tail in ("/x", "/a/x", "/x.log", "/ab/a", "/zz"):
            before = evaluator.cell(row, evaluator.classify((access.path + tail).encode())[0])
            after = evaluator.cell(row, evaluator.classify((access.other + tail).encode())[0])
            for right in (Right.READ, Right.WRITE, Right.EXECUTE, Right.MAP_EXEC, Right.ATTRIBUTES):
                assert before.allow >> right & 1 or not after.allow >> right & 1, f"{access}\n{text}"


@given(randoms())
@SLOW
def test_equal_input_makes_equal_images(rng: random.Random) -> None:
    text = make_policies(rng, WORLD)
    assert compile_documents(parse_text(text)).image == compile_documents(parse_text(text)).image
