"""What process 1 does not reach is out of the Protections' reach, and moving it in or out is a move."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given

from policies import Evaluator, Operations, compile_documents, parse_text
from policies.evaluate import Verdict
from policies.image import Builtin, Right
from policies.model import Documents
from policies.operations import Name
from tests.examples import examples
from tests.policy_strategies import World, make_policies, randoms
from tests.unit.policies.helpers import operations, policy, protection

WORLD = World(root="/r", folders=("a", "ab"), files=("x", "x.log"), new_names=("n",))
Do = Callable[[Operations, Name, Name], Verdict]
OPERATIONS: dict[str, Do] = {
    "open": lambda do, old, new: do.open(old, os.O_RDWR),
    "open to append": lambda do, old, new: do.open(old, os.O_WRONLY | os.O_APPEND),
    "create": lambda do, old, new: do.open(old, os.O_WRONLY | os.O_CREAT, exists=False),
    "unlink": lambda do, old, new: do.unlink(old),
    "attributes": lambda do, old, new: do.attributes(old),
    "rename": lambda do, old, new: do.rename(old, new),
    "rename of a directory": lambda do, old, new: do.rename(old, new, is_directory=True, replaces=True),
    "exchange": lambda do, old, new: do.exchange(old, new, old_is_directory=True, new_is_directory=True),
    "link": lambda do, old, new: do.link(old, new),
    "execute": lambda do, old, new: do.execute(old, identified=False),
    "map": lambda do, old, new: do.map_exec(old, identified=True),
    "mount over": lambda do, old, new: do.mount_over(old),
    "connect": lambda do, old, new: do.unix_connect(old),
    "listen": lambda do, old, new: do.unix_listen(old),
}


@given(randoms())
@examples(25)
def test_protections_do_not_reach_it(rng: random.Random) -> None:
    documents = parse_text(make_policies(rng, WORLD, rules=6))
    everything = Evaluator(compile_documents(documents).image)
    without = Evaluator(compile_documents(Documents(documents.policies)).image)
    paths = [path.encode() for path in (*WORLD.existing_files(), *WORLD.directories(), "/r/a/n", "/r/n")]
    for subject in (*WORLD.identities, None):
        inside = Operations(everything, everything.row(subject))
        alone = Operations(without, without.row(subject))
        for what, do in OPERATIONS.items():
            for _ in range(4):
                old, new = rng.choice(paths), rng.choice(paths)
                foreign = do(inside, Name(old, foreign=True), Name(new, foreign=True))
                expected = do(alone, Name(old), Name(new))
                assert _shape(foreign) == _shape(expected), (what, subject, old, new)
                known = inside.executes_as_self(Name(old, foreign=True))
                assert known == alone.executes_as_self(Name(old))


def _shape(verdict: Verdict) -> tuple[bool, bool, bool, int]:
    return verdict.allowed, verdict.reported, verdict.enforced, verdict.right


BELOW = protection('["/k/*/**"]', "[rename, create]")


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [(False, False, None), (True, True, None), (False, True, Right.RENAME), (True, False, Right.CREATE)],
)
def test_a_directory_that_moves_out_of_reach_or_into_it_is_judged_by_what_is_below(
    old: bool, new: bool, right: Right | None
) -> None:
    """`/k/a` and `/k/b` mean the same, so that nothing else would be asked."""
    anybody = operations(policy(""), BELOW, subject="test/other")
    verdict = anybody.rename(Name(b"/k/a", old), Name(b"/k/b", new), is_directory=True)
    assert verdict.enforced == (right is not None)
    assert right is None or verdict.right == right


@pytest.mark.parametrize("foreign", [False, True])
def test_a_gain_of_rights_is_measured_where_the_names_are(foreign: bool) -> None:
    """The Protection takes away what the subject would otherwise hold already."""
    files = '{allow: [read, link, create, rename], paths: ["/h/**", "/k/**", /k/x, /h/x]}'
    app = operations(policy(f"files: [{files}]"), protection('["/h/**"]', "[read]", only="[]"))
    moved = app.rename(Name(b"/h/d", foreign), Name(b"/k/d", foreign), is_directory=True)
    linked = app.link(Name(b"/h/x", foreign), Name(b"/k/x", foreign))
    for verdict, right in ((moved, Right.RENAME), (linked, Right.LINK)):
        assert verdict.enforced != foreign
        assert foreign or (verdict.rule, verdict.right) == (Builtin.GAIN, right)


def test_what_comes_to_a_place_out_of_reach_is_not_held_by_its_protections() -> None:
    app = operations(
        policy('files: [{allow: [rename, create, link], paths: ["/**"]}]'),
        protection('["/k/*/**", "/k/*"]', "[create]"),
    )
    assert app.rename("/h/d", Name(b"/k/d", foreign=True), is_directory=True).allowed
    assert not app.rename("/h/d", Name(b"/k/d"), is_directory=True).allowed
    assert app.link("/h/x", Name(b"/k/x", foreign=True)).allowed


def test_what_is_gained_at_a_place_out_of_reach_counts() -> None:
    """In reach the Protection would take it away again."""
    app = operations(
        policy('files: [{allow: [rename, create, link], paths: ["/**"]}, {allow: [read], paths: ["/k/**"]}]'),
        protection('["/k/**"]', "[read]"),
    )
    for foreign in (False, True):
        moved = app.rename("/h/d", Name(b"/k/d", foreign), is_directory=True)
        linked = app.link("/h/x", Name(b"/k/x", foreign))
        for verdict in (moved, linked):
            assert verdict.enforced == foreign
            assert verdict.rule == (Builtin.GAIN if foreign else verdict.rule)
