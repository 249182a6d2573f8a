"""Identity ids: the same as the credential side makes."""

from __future__ import annotations

import hashlib

import pytest

from identity import names as credential_side
from policies.names import NAME_PATTERN, RESERVED_NAMES, identity_id, name_problem


def test_an_id_is_the_first_eight_bytes_of_the_hash_of_the_name() -> None:
    digest = hashlib.sha256(b"payments/api").digest()
    assert identity_id("payments/api") == int.from_bytes(digest[:8], "little")


def test_both_sides_agree_on_names_and_ids() -> None:
    assert NAME_PATTERN == credential_side.NAME_PATTERN
    assert RESERVED_NAMES == credential_side.RESERVED_NAMES
    for name in ("a", "payments/api", "os/g++-12", "menshen/agent"):
        assert identity_id(name) == credential_side.identity_id(name)


@pytest.mark.parametrize("name", ["", "/a", "a//b", "A", "a b", "a\n", "ä", "os", "unidentified", "a" * 129])
def test_what_is_no_name_has_a_problem(name: str) -> None:
    assert name_problem(name)
    assert not credential_side.is_name(name)
