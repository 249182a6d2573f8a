"""The automaton: minimal, laid out as the kernel reads it, bounded."""

from __future__ import annotations

import random
from functools import cache, reduce
from itertools import count
from operator import or_

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Evaluator, PolicyErrors, compile_documents, parse_text
from policies.compile import comb
from policies.compile.dfa import DEAD, Dfa, ExplosionError, determinise
from policies.compile.minimise import minimise, row
from policies.compile.nfa import Nfa
from policies.compile.subtree import subtrees
from policies.image import STATE_FLAGS, STATE_SINK, SYM_BYTE, SYM_CLASS, SYM_DEFAULT, SYM_SUBTREE, Right
from policies.layout import ENTRY
from policies.pattern import SLASH, PatternError, parse
from tests.examples import examples
from tests.policy_strategies import World, make_pattern, make_policies
from tests.unit.policies.helpers import compiled, evaluator, policy, protection

QUICK = examples(60)


def raw(patterns: list[str]) -> tuple[Dfa, list[int]]:
    nfa = Nfa()
    for number, text in enumerate(patterns):
        nfa.add(number, parse(text))
    dfa = determinise(nfa)
    numbers: dict[tuple[int, ...], int] = {(): 0}
    return dfa, [numbers.setdefault(accepts, len(numbers)) for accepts in dfa.accepts]


def partition(dfa: Dfa, classes: list[int]) -> int:
    """How many states a minimal automaton has, by plain refinement of all reachable states."""
    labels = list(classes)
    while True:
        rows = [
            (labels[state], *(labels[dfa.step(state, byte)] for byte in range(256)))
            for state in range(len(dfa))
        ]
        numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
        refined = [numbers[row] for row in rows]
        if len(numbers) == len(set(labels)):
            return len(numbers)
        labels = refined


@given(st.randoms(use_true_random=False))
@QUICK
def test_states_with_the_same_language_are_one(rng: random.Random) -> None:
    world = World(root="/r", folders=("a", "b"), files=("x",), new_names=("y",))
    dfa, classes = raw(list(dict.fromkeys(make_pattern(rng, world)[1:-1] for _ in range(rng.randint(1, 5)))))
    classes = [number % 3 for number in classes]
    small, small_classes = minimise(dfa, classes)
    assert len(small) == partition(dfa, classes)
    for _ in range(50):
        text = ("/r/" + "".join(rng.choices("abxy/", k=rng.randint(0, 8)))).encode()
        state, small_state = dfa.start, small.start
        for byte in text:
            state, small_state = dfa.step(state, byte), small.step(small_state, byte)
        assert classes[state] == small_classes[small_state]


def test_the_default_is_the_commonest_target() -> None:
    dfa, classes = raw(["/[!a]*"])
    small, _ = minimise(dfa, classes)
    for state in range(len(small)):
        targets = [small.step(state, byte) for byte in range(256)]
        assert targets.count(small.default[state]) == max(targets.count(target) for target in targets)
        assert small.default[state] not in small.explicit[state].values()


@pytest.mark.parametrize(
    ("listed", "best", "others"),
    [(200, 1, 56), (129, 1, 127), (128, 0, 128), (127, 0, 127), (1, 0, 1)],
)
def test_a_row_keeps_what_differs_from_the_commonest_and_of_equals_the_lowest(
    listed: int, best: int, others: int
) -> None:
    dfa = Dfa(default=[2], explicit=[dict.fromkeys(range(listed), 3)])
    default, explicit = row(dfa, 0, [9, 9, 0, 1])
    assert (default, len(explicit), set(explicit.values())) == (best, others, {1 - best})
    for byte in (0, listed - 1, listed, 255):
        assert explicit.get(byte, default) == (byte < listed)


def test_patterns_that_share_bytes_do_not_lose_each_other() -> None:
    dfa, _ = raw(["/a1", "/[ab]2", "/[a-c]3", "/a/**", "/a"])

    def accepts(text: bytes) -> tuple[int, ...]:
        return dfa.accepts[reduce(dfa.step, text, dfa.start)]

    assert [accepts(text) for text in (b"/a1", b"/a2", b"/a3", b"/b1", b"/b2", b"/b3", b"/c2", b"/c3")] == [
        (0,), (2,), (4,), (), (2,), (4,), (), (4,),
    ]  # fmt: skip
    assert accepts(b"/a") == (7, 8)  # listing for the one, the other in full


def test_patterns_with_the_same_parts_do_not_cross() -> None:
    dfa, _ = raw(["/a/?x", "/b/?y", "/*z", "/**/w"])

    def matches(text: bytes) -> list[int]:
        return [each // 2 for each in dfa.accepts[reduce(dfa.step, text, dfa.start)]]

    assert [matches(text) for text in (b"/a/1x", b"/b/1y", b"/a/1y", b"/b/1x")] == [[0], [1], [], []]
    assert [matches(text) for text in (b"/1z", b"/w", b"/1/w", b"/1/z")] == [[2], [3], [3], []]


def test_a_pattern_that_includes_its_folder_is_not_for_listing_alone() -> None:
    dfa, _ = raw(["/{a,a/**}"])
    assert dfa.accepts[reduce(dfa.step, b"/a", dfa.start)] == (0,)


def test_as_many_states_as_there_is_room_for_are_made() -> None:
    nfa = Nfa()
    for number, text in enumerate(["/a/*", "/b/**/*c???????", "/d"]):
        nfa.add(number, parse(text))
    size = len(determinise(nfa))
    assert len(determinise(nfa, size)) == size
    with pytest.raises(ExplosionError, match=f"more than {size - 1} states") as caught:
        determinise(nfa, size - 1)
    assert caught.value.patterns == [1, 0]  # the worst first, and nothing that does not repeat


def test_work_adds_up_over_the_states(monkeypatch: pytest.MonkeyPatch) -> None:
    nfa = Nfa()
    nfa.add(0, parse("/" + "a" * 50))
    nodes = len(determinise(nfa)) - 1  # each state is one node, but for the dead one
    monkeypatch.setattr("policies.compile.dfa.MAX_WORK", nodes)
    assert determinise(nfa)
    monkeypatch.setattr("policies.compile.dfa.MAX_WORK", nodes - 1)
    with pytest.raises(ExplosionError):
        determinise(nfa)


def test_moving_within_what_one_pattern_covers_keeps_the_state() -> None:
    found = evaluator(policy('files:\n  - {allow: [read], paths: ["/a/**", "/a/b/**"]}\n'))
    states = {found.state(path) for path in (b"/a/x", b"/a/b", b"/a/b/c", b"/a/b/c/d", b"/a/bb")}
    assert len(states) == 1


@given(st.randoms(use_true_random=False))
@QUICK
def test_the_comb_is_what_the_kernel_expects(rng: random.Random) -> None:
    text = make_policies(rng, World(root="/r", folders=("a",), files=("x",)), rules=4)
    image = compile_documents(parse_text(text)).image
    found = Evaluator(image)
    header = found.header
    first = int(header["off_grid"]) + 2 * int(header["n_rows"]) * int(header["n_classes"])
    first = -(-first // 64) * 8
    last = -(-int(header["off_names"]) // 8)
    entries = np.frombuffer(image, dtype=ENTRY)
    owners = (entries["owner"][first:last] & ~np.uint32(STATE_FLAGS)).astype(np.int64)
    states = [first + at for at, owner in enumerate(owners.tolist()) if owner == first + at]
    known = set(states)
    assert int(header["start"]) & ~STATE_FLAGS in known
    assert set(owners.tolist()) - {0, 0xFFFF_FFFF & ~STATE_FLAGS} == known
    targets = {
        state: {found.step(state, SYM_BYTE + byte) for byte in range(256)}
        for state in rng.sample(states, min(40, len(states)))
    }
    for state, following in targets.items():
        assert state + SYM_SUBTREE < last
        for symbol in (SYM_DEFAULT, SYM_CLASS, SYM_SUBTREE):
            assert owners[state + symbol - first] == state
        assert {target & ~STATE_FLAGS for target in following} <= known
        for target in following:
            name = target & ~STATE_FLAGS
            beyond = {found.step(name, SYM_BYTE + byte) & ~STATE_FLAGS for byte in range(256)}
            assert bool(target & STATE_SINK) == (beyond == {name})
        for symbol in (SYM_CLASS, SYM_SUBTREE):
            assert 0 <= found.step(state, symbol) < int(header["n_classes"])


@given(st.lists(st.sets(st.integers(0, 259), min_size=1, max_size=40), min_size=1, max_size=80))
@QUICK
def test_states_take_the_first_place_that_is_free_the_largest_first(sets: list[set[int]]) -> None:
    symbols = [tuple(sorted(each)) for each in sets]
    taken: set[int] = set()
    expected = [0] * len(symbols)
    for state in sorted(range(len(symbols)), key=lambda state: -len(symbols[state])):
        free = (base for base in count() if taken.isdisjoint(base + symbol for symbol in symbols[state]))
        expected[state] = next(free)
        taken.update(expected[state] + symbol for symbol in symbols[state])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comb, "CHUNK", 512)
        assert comb._places(symbols) == expected


def test_no_policies_make_one_dead_state() -> None:
    found = evaluator(policy(""))
    assert found.classify(b"/anything")[0] == 0
    assert raw([])[0].default[DEAD] == DEAD


def test_what_is_below_a_directory_is_told_to_each_subject() -> None:
    subjects = {
        "test/app": "{identity: test/app}",
        "test/other": "{identity: test/other}",
        None: "{unidentified: true}",
    }
    documents = [
        policy(f"files: [{{allow: [read], paths: [/a/{at}]}}]", subject=written, name=f"n{at}")
        for at, written in enumerate(subjects.values())
    ]
    found = evaluator(*documents)
    below = found.subtree(found.state(b"/a"))
    for subject in subjects:
        cell = found.cell(found.row(subject), below)
        assert (cell.allow >> Right.READ & 1, cell.any >> Right.READ & 1) == (0, 1), subject
    assert found.cell(0, below).allow >> Right.READ & 1


def is_refused(text: str) -> bool:
    """A component may come out as "." or "..", which no canonical path has."""
    try:
        parse(text)
    except PatternError:
        return True
    return False


@given(st.randoms(use_true_random=False))
@QUICK
def test_what_is_below_a_state_are_all_names_that_can_follow(rng: random.Random) -> None:
    world = World(root="/r", folders=("a", ".c"), files=("x",), new_names=("...", "..b"))
    texts = [make_pattern(rng, world)[1:-1] for _ in range(rng.randint(1, 4))]
    texts = [text for text in texts if not is_refused(text)]
    dfa, classes = raw(list(dict.fromkeys((*texts, "/*/.?", "/[!.]*/..?"))))
    bits = [1 << number for number in classes]

    @cache
    def following(state: int, name: bytes) -> set[tuple[int, bytes]]:
        """The pairs of a state and a name's beginning that one more byte leads to."""
        names = ((byte, name + bytes([byte])) for byte in range(1, 256) if byte != SLASH)
        found = {(dfa.step(state, byte), more if more in (b".", b"..") else b"x") for byte, more in names}
        return found | ({(dfa.step(state, SLASH), b"")} if name == b"x" else set())

    def reached(state: int) -> set[tuple[int, bytes]]:
        found, waiting = {(state, b"")}, [(state, b"")]
        while waiting:
            new = following(*waiting.pop()) - found
            found |= new
            waiting += new
        return found

    root = dfa.step(dfa.start, SLASH)
    known = reached(root)
    for state, below in enumerate(subtrees(dfa, bits, or_)):
        begin = state if state == root else dfa.step(state, SLASH)
        if (begin, b"") in known:
            assert below == reduce(or_, {bits[at] for at, name in reached(begin) if name == b"x"})


EXPLOSIVE = ["/**/*a" + "?" * 30, "/a/*b" + "[!z]" * 40, "/**/a/" + "*/" * 30 + "x"]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_patterns_that_multiply_are_refused_by_name(pattern: str) -> None:
    text = policy(f'files:\n  - {{allow: [read], paths: ["/etc/**", "{pattern}"]}}\n')
    with pytest.raises(PolicyErrors) as caught:
        compile_documents(parse_text(text), capacity=1 << 20)
    (error,) = caught.value.errors
    assert "too many rules for the tables" in error.message
    assert f'"{pattern}"' in error.hint
    assert error.line == 9


def test_many_patterns_with_stars_do_not_multiply() -> None:
    rules = "".join(f'  - {{allow: [read], paths: ["/**/{name}*.log"]}}\n' for name in "abcdefghijklmnop")
    found = compiled(policy("files:\n" + rules))
    assert found.n_states < 200


def test_what_is_below_a_directory_is_exactly_what_its_paths_allow() -> None:
    app = policy(
        """
        files:
          - {allow: [read, rename, create], paths: ["/a/**"]}
          - {allow: [write], paths: ["/a/*/w"]}
          - {allow: [delete], paths: ["/a/*", "/a/*/**"]}
        """
    )
    found = evaluator(app, protection("[/a/keys/x]", "[read]"))
    row = found.row("test/app")

    def below(path: bytes) -> tuple[set[int], set[int]]:
        cell = found.cell(row, found.subtree(found.state(path)))
        bits = range(15)
        return {bit for bit in bits if cell.allow >> bit & 1}, {bit for bit in bits if cell.any >> bit & 1}

    read = {0, 1, 10}  # read, list, map-exec
    mount = {12}
    assert below(b"/a") == ({4, 5, 6} | mount, read | {2, 3, 4, 5, 6} | mount)
    assert below(b"/a/b") == (read | {4, 5, 6} | mount, read | {2, 3, 4, 5, 6} | mount)
    assert below(b"/a/b/w") == (read | {4, 5, 6} | mount, read | {4, 5, 6} | mount)
    assert below(b"/b") == (mount, mount)
    assert below(b"/") == (mount, read | {2, 3, 4, 5, 6} | mount)
