"""Local enrolment: what is taken in, under whose name, and which names are refused."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from identity import catalogue_file
from identity.catalogue import Catalogue, Entry, Source
from identity.enrol import enrol, who
from identity.errors import IdentityError


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A directory with a library, a script, plain data, and a link to a program elsewhere."""
    root = tmp_path / "venv"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "fast.so").write_bytes(b"\x7fELFfast")
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    (root / "data.txt").write_text("data")
    (root / "python").symlink_to("/usr/bin/python3")
    return root


def test_all_code_below_a_directory_is_enrolled_with_who_and_when(venv: Path) -> None:
    entries = enrol([venv], "payments/api", by="alice", reason="built by hand", now=1000)
    assert {Path(entry.path).name for entry in entries} == {"fast.so", "tool"}
    entry = next(one for one in entries if one.path.endswith(".so"))
    assert entry.digest == hashlib.sha256(b"\x7fELFfast").digest()
    assert (entry.source, entry.by, entry.at, entry.evidence) == (
        Source.ENROLLED,
        "alice",
        1000,
        "built by hand",
    )


def test_a_file_named_by_itself_is_enrolled_whatever_it_is_and_a_link_is_what_it_leads_to(venv: Path) -> None:
    (link := venv / "link").symlink_to("data.txt")
    (entry,) = enrol([link], "payments/api", by="alice")
    assert entry.path == str(venv / "data.txt")


REFUSED_NAMES = ["os/bash", "menshen/agent", "Bad", "", "os"]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_reserved_and_malformed_names_are_refused(venv: Path, name: str) -> None:
    with pytest.raises(IdentityError):
        enrol([venv], name, by="alice")


def test_a_reserved_name_is_given_if_that_is_said(venv: Path) -> None:
    assert enrol([venv], "menshen/agent", by="alice", reserved=True)


@pytest.mark.parametrize("path", ["missing", "empty", "fifo"])
def test_a_path_with_no_code_is_told(tmp_path: Path, path: str) -> None:
    import os

    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(IdentityError, match=path):
        enrol([tmp_path / path], "payments/api", by="alice")


def test_who_is_a_name() -> None:
    assert who()


def test_editors_of_one_catalogue_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "catalogue"

    def add(byte: int) -> None:
        with catalogue_file.editing(path) as catalogue:
            catalogue.add(Entry(bytes([byte]) * 32, "a/b", Source.ENROLLED, "/x"))

    threads = [threading.Thread(target=add, args=(byte,)) for byte in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalogue_file.load(path)) == 20


def test_an_edit_that_fails_leaves_the_catalogue_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "catalogue"
    catalogue_file.save(Catalogue(), path)

    def fail() -> None:
        with catalogue_file.editing(path) as catalogue:
            catalogue.add(Entry(bytes(32), "a/b", Source.ENROLLED, "/x"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(catalogue_file.load(path)) == 0
