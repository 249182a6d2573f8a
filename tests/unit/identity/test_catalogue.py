"""The catalogue: precedence of claims, expiry, differences, and the file on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import catalogue_file
from identity.catalogue import Catalogue, Conflict, Entry, Source, diff
from identity.errors import IdentityError
from identity.names import identity_id


def entry(byte: int, name: str = "payments/api", source: Source = Source.SIGNED, **more: object) -> Entry:
    return Entry(bytes([byte]) * 32, name, source, f"/srv/{byte}", **more)  # type: ignore[arg-type]


CLAIMS = [
    (Source.PACKAGE, Source.SIGNED, 0),
    (Source.SIGNED, Source.PACKAGE, 1),
    (Source.ENROLLED, Source.SIGNED, 0),
    (Source.SIGNED, Source.ENROLLED, 1),
    (Source.PACKAGE, Source.ENROLLED, 0),
    (Source.SIGNED, Source.SIGNED, 0),
    (Source.PACKAGE, Source.PACKAGE, 0),
]


@pytest.mark.parametrize(("first", "second", "kept"), CLAIMS)
def test_of_two_claims_on_the_same_bytes_the_stronger_source_stays_else_the_first(
    first: Source, second: Source, kept: int
) -> None:
    claims = [entry(1, "os/bash", first), entry(1, "evil/bash", second)]
    catalogue = Catalogue([claims[0]])
    assert catalogue.add(claims[1]) == Conflict(kept=claims[kept], refused=claims[1 - kept])
    assert catalogue.get(claims[0].digest) == claims[kept]


def test_a_renewed_statement_replaces_the_one_about_to_expire() -> None:
    catalogue = Catalogue([entry(1, expires=10)])
    assert catalogue.add(entry(1, expires=20)) is None
    assert catalogue.next_expiry() == 20


def test_an_expired_entry_identifies_nothing() -> None:
    catalogue = Catalogue([entry(1, expires=10), entry(2)])
    assert catalogue.lookup(bytes([1]) * 32, 9.9) is not None
    assert catalogue.lookup(bytes([1]) * 32, 10) is None
    assert [pair[0][0] for pair in catalogue.pairs(10)] == [2]
    assert [gone.path for gone in catalogue.expire(10)] == ["/srv/1"]
    assert len(catalogue) == 1


def test_a_difference_adds_new_and_renamed_digests_and_removes_what_is_gone() -> None:
    old = Catalogue([entry(1), entry(2, "a/b"), entry(3)])
    new = Catalogue([entry(2, "a/c"), entry(3), entry(4)])
    change = diff(old, new)
    assert sorted(one.digest[0] for one in change.added) == [2, 4]
    assert [one.digest[0] for one in change.removed] == [1]
    assert not diff(new, new)


def test_reading_one_source_anew_leaves_the_others() -> None:
    catalogue = Catalogue([entry(1), entry(2, "os/x", Source.PACKAGE)])
    assert catalogue.drop_source(Source.PACKAGE) == 1
    assert [one.digest[0] for one in catalogue] == [1]


def test_identities_map_ids_to_names() -> None:
    assert Catalogue([entry(1)]).identities() == {identity_id("payments/api"): "payments/api"}


@pytest.mark.parametrize("bad", [b"", b"x" * 31, b"x" * 33])
def test_a_digest_of_another_length_is_refused(bad: bytes) -> None:
    with pytest.raises(IdentityError, match="bytes"):
        Entry(bad, "a/b", Source.SIGNED, "/x")


paths = st.text(max_size=40) | st.binary(max_size=20).map(os.fsdecode)
entries = st.builds(
    Entry,
    digest=st.binary(min_size=32, max_size=32),
    identity=st.sampled_from(["a/b", "os/bash", "payments/api"]),
    source=st.sampled_from(Source),
    path=paths,
    expires=st.none() | st.integers(0, 2**40),
    evidence=st.text(max_size=20),
    by=st.text(max_size=20),
    at=st.none() | st.integers(0, 2**40),
)


@given(st.lists(entries, max_size=10))
def test_a_saved_catalogue_loads_equal_whatever_its_paths(
    tmp_path_factory: pytest.TempPathFactory, many: list[Entry]
) -> None:
    path = tmp_path_factory.mktemp("catalogue") / "catalogue"
    catalogue = Catalogue(many)
    catalogue_file.save(catalogue, path)
    assert catalogue_file.load(path) == catalogue


def test_saving_replaces_whole_and_leaves_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "catalogue"
    catalogue_file.save(Catalogue([entry(1)]), path)
    catalogue_file.save(Catalogue([entry(2)]), path)
    assert [one.digest[0] for one in catalogue_file.load(path)] == [2]
    assert list(tmp_path.iterdir()) == [path]


def test_every_single_byte_change_of_a_saved_catalogue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue"
    catalogue_file.save(Catalogue([entry(1, expires=5), entry(2)]), path)
    good = path.read_bytes()
    body = good.index(b"\n")
    for position in range(body, len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(IdentityError, match="catalogue"):
            catalogue_file.load(path)


def test_a_catalogue_cut_off_anywhere_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "catalogue"
    catalogue_file.save(Catalogue([entry(1), entry(2)]), path)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(IdentityError, match=str(path)):
            catalogue_file.load(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_catalogue_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("catalogue") / "catalogue"
    path.write_bytes(content)
    with pytest.raises(IdentityError):
        catalogue_file.load(path)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "catalogue"
    if kind == "directory":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(IdentityError):
        catalogue_file.load(path)
