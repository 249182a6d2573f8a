"""Patterns: the grammar, what can never match, and the automaton against regular expressions."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.compile.dfa import Dfa, determinise
from policies.compile.nfa import Nfa
from policies.pattern import PatternError, parse
from policies.utf8 import LAST, SURROGATES, ByteSequence, byte_sequences, complement, normalise
from tests.examples import examples
from tests.policy_strategies import World, make_pattern
from tests.unit.policies.naive import FULL, LISTING, SAMPLE, matches

QUICK = examples(300)


def automaton(*patterns: str) -> Dfa:
    nfa = Nfa()
    for number, text in enumerate(patterns):
        nfa.add(number, parse(text))
    return determinise(nfa)


def accepts(dfa: Dfa, what: bytes) -> dict[int, str]:
    state = dfa.start
    for byte in what:
        state = dfa.step(state, byte)
    return {each >> 1: LISTING if each & 1 else FULL for each in dfa.accepts[state]}


def match(pattern: str, what: str | bytes) -> str:
    data = what.encode() if isinstance(what, str) else what
    return accepts(automaton(pattern), data).get(0, "")


# pattern, what it matches, what it lists only, what it does not match
MEANINGS = [
    ("/", ["/"], [], ["/a", ""]),
    ("/a", ["/a"], [], ["/", "/ab", "/a/b", "/b", "a"]),
    ("/a/*", ["/a/b", "/a/.b", "/a/b.c"], [], ["/a", "/a/b/c", "/ab"]),
    ("/a/*.log", ["/a/x.log", "/a/.log"], [], ["/a/x.log2", "/a/b/x.log", "/a/log"]),
    ("/a/**", ["/a/b", "/a/b/c"], ["/a"], ["/", "/ab", "/b"]),
    ("/**", ["/a", "/a/b"], ["/"], [""]),
    ("/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], [], ["/a", "/a/bz", "/a/z/y", "/az"]),
    ("/**/z", ["/z", "/a/z"], [], ["/az", "/a/az"]),
    ("/a/**/b/**", ["/a/b/c", "/a/x/b/c/d"], ["/a/b", "/a/x/b"], ["/a", "/a/xb/c"]),
    ("/a?", ["/ab", "/aä", "/a神", "/a\U0001f6e1"], [], ["/a", "/abc", "/a/"]),
    ("/[a-c]", ["/a", "/c"], [], ["/d", "/", "/ab"]),
    ("/[!a-c]", ["/d", "/ä", "/]"], [], ["/a", "//"]),
    ("/[à-ü]x", ["/éx"], [], ["/ex", "/Ãx"]),
    ("/[a-]", ["/a", "/-"], [], ["/b"]),
    ("/[a\\]]", ["/a", "/]"], [], ["/\\"]),
    ("/{a,b}/c", ["/a/c", "/b/c"], [], ["/ab/c", "/c"]),
    ("/{a/b,c}", ["/a/b", "/c"], [], ["/a", "/b"]),
    ("/a{,.bak}", ["/a", "/a.bak"], [], ["/a.b"]),
    ("/{a,{b,c}d}", ["/a", "/bd", "/cd"], [], ["/b", "/d"]),
    ("/{a,b/**}", ["/a", "/b/x"], ["/b"], ["/a/x"]),
    ("/a\\*", ["/a*"], [], ["/ab"]),
    ("/a\\{b,c}", [], [], []),
    ("/a,b", ["/a,b"], [], ["/a"]),
    ("/ a", ["/ a"], [], ["/a"]),
    ("@a", ["@a"], [], ["@ab", "/a", "a"]),
    ("@a*", ["@a", "@ab", "@a/b"], [], ["@b"]),
    ("@a?c", ["@abc", "@a/c"], [], ["@ac"]),
    ("@[!a]", ["@b", "@/"], [], ["@a"]),
]


@pytest.mark.parametrize(
    ("pattern", "full", "listing", "nothing"), [m for m in MEANINGS if "\\{" not in m[0]]
)
def test_a_pattern_means_what_the_reference_says(
    pattern: str, full: list[str], listing: list[str], nothing: list[str]
) -> None:
    for expected, texts in ((FULL, full), (LISTING, listing), ("", nothing)):
        for text in texts:
            assert match(pattern, text) == expected, text
            assert matches(pattern, text.encode()) == expected, f"the plain matcher differs: {text}"


def test_names_that_are_not_utf_8_are_matched_by_their_bytes() -> None:
    assert match("/a*", b"/a\xff\xfe") == FULL
    assert match("/a?", b"/a\xff") == FULL
    assert match("/a?", b"/a\xff\xfe") == ""
    assert match("/a?", b"/a\x80") == ""
    assert match("/a?", b"/a\xe9\x80") == FULL
    assert match("/a[!b]", b"/a\xff") == FULL
    assert match("/a[!é]", b"/a\xff") == ""
    assert match("@*", b"@\x00\xff") == FULL


def test_full_outdoes_listing_of_the_same_pattern() -> None:
    assert match("/{a,a/**}", "/a") == FULL


WRONG = [
    ("", 0, "not absolute"),
    ("a/b", 0, "not absolute"),
    ("**", 0, "not absolute"),
    ("//", 0, "empty component"),
    ("/a//b", 2, "empty component"),
    ("/a/", 2, "slash at its end"),
    ("/a/**/", 5, "slash at its end"),
    ("/a/.", 2, '"."'),
    ("/../a", 0, '".."'),
    ("/a/{b,..}", 2, '".."'),
    ("/a/[.]", 2, '"."'),
    ("/a**", 2, "whole components"),
    ("/**a", 1, "whole components"),
    ("/a/***", 3, "***"),
    ("/a/**/**", 5, "no more than"),
    ("/a/[", 3, "[ without ]"),
    ("/a/[]", 3, "empty character class"),
    ("/a/[!]", 3, ""),
    ("/a/[z-a]", 3, "empty"),
    ("/a/[a/]", 3, "cannot match /"),
    ("/a/[+-0]", 3, "cannot match /"),
    ("/a/[^b]", 3, "[^"),
    ("/a/{b", 3, "{ without }"),
    ("/a/b}", 4, "} without {"),
    ("/a\\", 2, "at the end"),
    ("/a\\/b", 2, "\\/ in a pattern"),
    ("/{a,b", 1, "{ without }"),
    ("/" + "{" * 9 + "a" + "}" * 9, 9, "nested deeper"),
    ("/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", 45, "more than 256"),
    ("/" + "a" * 256, 0, "more than 255 bytes"),
    ("/" + "ä" * 128, 0, "more than 255 bytes"),
    ("@", 0, "empty"),
    ("@a**", 2, "** in an abstract name"),
    ("{/a,b}", 0, "not absolute"),
]


@pytest.mark.parametrize(("pattern", "offset", "message"), WRONG, ids=[each[0][:20] for each in WRONG])
def test_a_pattern_that_cannot_match_is_refused(pattern: str, offset: int, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse(pattern)
    assert message in caught.value.message
    assert caught.value.offset == offset
    assert caught.value.hint


def test_the_longest_name_is_fine() -> None:
    assert parse("/" + "a" * 255)
    assert parse("/*" + "a" * 255 + "*")


def test_roots_are_the_plain_beginnings() -> None:
    assert parse("/a/b*/c").roots() == ("/a",)
    assert parse("/{a,b}/**").roots() == ("/a", "/b")
    assert parse("/**").roots() == ("/",)
    assert parse("/a/b").roots() == ("/a/b",)


CHARS = "abx.-" + SAMPLE


def _random_pattern(rng: random.Random) -> str:
    return make_pattern(
        rng, World(root=rng.choice(("/r", "/r/é")), folders=("a", "ab", "ä"), files=("x", "xä.log"))
    )[1:-1]


def _random_path(rng: random.Random) -> bytes:
    parts = [
        rng.choice(("r", "é", "a", "ab", "ä", "x", "n", "x.log", "xä.log", "".join(rng.choices(CHARS, k=2))))
        for _ in range(rng.randint(0, 6))
    ]
    path = ("/" + "/".join(parts)).encode()
    if rng.random() < 0.2 and len(path) > 1:
        at = rng.randrange(1, len(path))
        path = path[:at] + bytes([rng.choice((0x80, 0xC3, 0xFF, 0x01))]) + path[at:]
    return path


@given(st.randoms(use_true_random=False))
@QUICK
def test_the_automaton_matches_what_regular_expressions_match(rng: random.Random) -> None:
    patterns = list(dict.fromkeys(_random_pattern(rng) for _ in range(rng.randint(1, 8))))
    dfa = automaton(*patterns)
    for _ in range(30):
        path = _random_path(rng)
        found = accepts(dfa, path)
        expected = {number: how for number, text in enumerate(patterns) if (how := matches(text, path))}
        assert found == expected, f"{path!r} {patterns}"


@given(st.text(max_size=40))
@example("/{" * 500)
@example("/a{b,{c,[d-e]}}*?\\")
@QUICK
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        assert parse("/" + text).branches
    except PatternError as error:
        offset = error.offset
    else:
        offset = 0
    assert 0 <= offset <= len(text) + 1


def _in(sequences: Iterable[ByteSequence], data: bytes) -> bool:
    return any(
        len(sequence) == len(data)
        and all(low <= byte <= high for byte, (low, high) in zip(data, sequence, strict=True))
        for sequence in sequences
    )


@given(
    st.lists(st.tuples(st.integers(0, LAST), st.integers(0, LAST)), min_size=1, max_size=4),
    st.integers(0, LAST),
)
@QUICK
def test_byte_sequences_are_the_encodings_of_their_characters(
    ranges: list[tuple[int, int]], probe: int
) -> None:
    wanted = normalise((min(each), max(each)) for each in ranges)
    points = [probe, *(point for each in wanted for point in (each[0] - 1, each[0], each[1], each[1] + 1))]
    for chosen, negated in ((wanted, False), (complement(wanted), True)):
        sequences = byte_sequences(chosen)
        for point in points:
            if not 0 <= point <= LAST or SURROGATES[0] <= point <= SURROGATES[1]:
                continue
            data = chr(point).encode()
            inside = any(low <= point <= high for low, high in wanted) != negated
            found = _in(sequences, data)
            assert found == inside, hex(point)


def test_byte_sequences_do_not_match_what_is_no_character() -> None:
    sequences = byte_sequences(complement(()))
    for data in (b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xff"):
        assert not _in(sequences, data), data
