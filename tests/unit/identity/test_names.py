"""Identity names: the grammar, the ids, and the patterns of trust roots."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import names
from identity.errors import IdentityError

GOOD = ["a", "payments/api", "os/libstdc++6", "os/g++-12", "a/b/c/d", "0/1", "x.y_z", "a" * 128]
BAD = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "A/b",
    "a b",
    "a/../b",
    "./a",
    "a/-b",
    "a/.b",
    "a\n",
    "a/b\x00",
    "é",
    "a*",
    "unidentified",
    "os",
    "menshen",
    "a" * 129,
    "\ud800",
]


@pytest.mark.parametrize("name", GOOD)
def test_a_well_formed_name_is_taken(name: str) -> None:
    assert names.check_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_name_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(IdentityError):
        names.check_name(name)


def test_an_id_is_the_first_eight_bytes_of_sha256_little_endian() -> None:
    wanted = int.from_bytes(hashlib.sha256(b"payments/api").digest()[:8], "little")
    assert names.identity_id("payments/api") == wanted


def test_ids_of_different_names_differ_and_map_back() -> None:
    known = [f"team{number}/app" for number in range(1000)]
    assert sorted(names.ids(known).values()) == sorted(known)


def test_two_names_with_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "identity_id", lambda _name: 77)
    with pytest.raises(IdentityError, match="rename one"):
        names.ids(["a/b", "c/d"])


def test_an_id_is_never_one_of_the_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hashlib.sha256

    class Low:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def digest(self) -> bytes:
            return b"\x03" + bytes(31) if self.content == b"low/name" else real(self.content).digest()

    monkeypatch.setattr("identity.names.hashlib.sha256", Low)
    assert names.identity_id("low/name") >= names.FIRST_ID


MATCHES = [
    ("payments/*", "payments/api", True),
    ("payments/*", "payments/api/v2", False),
    ("payments/*", "payments", False),
    ("payments/**", "payments/api/v2", True),
    ("payments/**", "payments", False),
    ("payments/**", "paymentsx/api", False),
    ("**", "a/b/c", True),
    ("*", "a/b", False),
    ("*/api", "x/api", True),
    ("pay*s/?pi", "payments/api", True),
    ("pay*s/?pi", "payments/xxpi", False),
    ("a.c", "abc", False),
    ("a*b*c", "aXXbYYc", True),
    ("a*b*c", "aXXbYY", False),
    ("*****", "anything", True),
]


@pytest.mark.parametrize(("pattern", "name", "wanted"), MATCHES)
def test_a_pattern_gives_exactly_the_names_of_its_segments(pattern: str, name: str, wanted: bool) -> None:
    assert names.matches(pattern, name) is wanted


def test_a_pattern_full_of_stars_costs_no_exponential_time() -> None:
    assert not names.matches("*a" * 60 + "b", "a" * 128)


RESERVED = [
    ("os/*", True),
    ("os/bash", True),
    ("menshen/agent", True),
    ("**", True),
    ("*/api", True),
    ("o?/x", True),
    ("o*/**", True),
    ("m*/x", True),
    ("payments/*", False),
    ("oss/x", False),
    ("*", False),
    ("payments", False),
]


@pytest.mark.parametrize(("pattern", "wanted"), RESERVED)
def test_a_pattern_that_can_reach_a_reserved_prefix_is_known(pattern: str, wanted: bool) -> None:
    assert bool(names.reserved_by(pattern)) is wanted


@pytest.mark.parametrize(
    "pattern", ["", "a/**/b", "a**", "A/*", "a//b", ".x/*", "-*", "x" * 200, "a b", "é*"]
)
def test_a_pattern_that_can_match_no_name_is_refused(pattern: str) -> None:
    with pytest.raises(IdentityError):
        names.check_pattern(pattern)


@given(st.text(max_size=200))
def test_any_text_is_a_name_or_is_refused_and_a_name_matches_itself(text: str) -> None:
    try:
        names.check_name(text)
    except IdentityError:
        return
    assert names.matches(text, text)
    assert names.identity_id(text) >= names.FIRST_ID
