"""Scanning for signed files: what is found, what is told, and what is not verified twice."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from identity import scan as scanning
from identity.catalogue import Catalogue, Entry, Source
from identity.credential import beside
from identity.scan import Memory, Scan, refresh, scan, withdraw
from identity.sign import sign_file
from identity.verify import Reason
from tests.unit.identity.helpers import DAY, NOW, key, key_yaml, program, root_yaml, trust


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A signed program, a signed script, an unsigned program, a forgery, and a link in a circle."""
    root = tmp_path / "srv"
    (root / "deep" / "er").mkdir(parents=True)
    signed = program(root / "deep")
    sign(signed)
    script = root / "deep" / "er" / "run.sh"
    script.write_text("#!/bin/sh\n")
    sign(script, "payments/cron")
    shutil.copy("/bin/false", root / "unsigned")
    forged = root / "forged.sh"
    forged.write_text("#!/bin/sh\necho forged\n")
    beside(forged).write_bytes(beside(script).read_bytes())
    (root / "loop").symlink_to(root)
    return root


def sign(path: Path, name: str = "payments/api", expires: int = NOW + DAY) -> None:
    sign_file(path, key(), name, issued=NOW, expires=expires)


def look(root: Path, memory: Memory | None = None, *documents: str, now: float = NOW) -> Scan:
    return scan([root], trust(*documents), memory, now=now)


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, as they would two seconds later."""
    monkeypatch.setattr(scanning, "SETTLED_NS", -(10**18))


def test_a_scan_finds_signed_programs_and_scripts_and_tells_of_credentials_that_do_not_hold(
    tree: Path,
) -> None:
    found = look(tree)
    assert sorted(entry.identity for entry in found.entries) == ["payments/api", "payments/cron"]
    assert [(one.path.name, one.reason) for one in found.refused] == [("forged.sh", Reason.DIGEST_MISMATCH)]
    assert found.files == 4


@pytest.mark.usefixtures("_settled")
def test_what_has_not_changed_is_not_verified_again(tree: Path) -> None:
    memory = Memory()
    first = look(tree, memory)
    second = look(tree, memory)
    assert first.verified == 4
    assert second.verified == 1, "only the refused one is judged again"
    assert sorted(second.entries, key=lambda one: one.path) == sorted(first.entries, key=lambda one: one.path)


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize(
    "change", ["content", "credential", "touched", "replaced", "deleted", "credential deleted"]
)
def test_any_change_of_a_file_or_its_credential_is_seen(tree: Path, change: str) -> None:
    memory = Memory()
    look(tree, memory)
    script = tree / "deep" / "er" / "run.sh"
    before = script.stat()
    if change == "content":
        script.write_text("#!/bin/bas")
        os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "credential":
        sign(script, "payments/other")
    elif change == "touched":
        os.utime(script)
    elif change == "replaced":
        other = tree / "other"
        other.write_text("#!/bin/zz\n")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(script)
    elif change == "deleted":
        script.unlink()
    else:
        beside(script).unlink()
    names = {entry.identity for entry in look(tree, memory).entries}
    wanted = {"credential": {"payments/other"}, "touched": {"payments/cron"}}
    assert names == {"payments/api"} | wanted.get(change, set())


def test_a_file_changed_a_moment_ago_is_verified_again(tree: Path) -> None:
    memory = Memory()
    look(tree, memory)
    assert look(tree, memory).verified == 4 - sum("unsigned" in path for path in memory.files)


@pytest.mark.usefixtures("_settled")
def test_a_change_of_trust_makes_everything_be_verified_again(tree: Path) -> None:
    memory = Memory()
    look(tree, memory)
    revoked = root_yaml(key_yaml(key()), more=f"revoked: [{{keyId: {key().public.key_id}, reason: lost}}]\n")
    found = look(tree, memory, revoked)
    assert not found.entries
    assert {one.reason for one in found.refused} == {Reason.REVOKED, Reason.DIGEST_MISMATCH}


@pytest.mark.usefixtures("_settled")
def test_an_entry_that_lapsed_since_the_last_scan_is_gone(tree: Path) -> None:
    memory = Memory()
    look(tree, memory)
    found = look(tree, memory, now=NOW + 2 * DAY)
    assert not found.entries
    assert Reason.EXPIRED in {one.reason for one in found.refused}


def test_a_program_signed_before_the_clock_was_set_back_keeps_its_identity(tmp_path: Path) -> None:
    now = int(time.time())
    sign_file(program(tmp_path), key(), "payments/api", issued=now, expires=now + DAY)
    assert [entry.identity for entry in look(tmp_path, now=now - 700 * DAY).entries] == ["payments/api"]


def test_a_program_whose_signers_clock_was_ahead_has_no_identity_yet(tmp_path: Path) -> None:
    now = int(time.time())
    sign_file(program(tmp_path), key(), "payments/api", issued=now + DAY, expires=now + 2 * DAY)
    assert [one.reason for one in look(tmp_path, now=now - 700 * DAY).refused] == [Reason.NOT_YET_VALID]


def test_a_refresh_puts_the_scan_in_the_place_of_the_signed_entries_only(tree: Path) -> None:
    package = Entry(bytes(32), "os/bash", Source.PACKAGE, "/bin/bash")
    gone = Entry(b"x" * 32, "payments/old", Source.SIGNED, "/srv/old")
    catalogue = Catalogue([package, gone])
    assert refresh(catalogue, look(tree)) == []
    assert {entry.identity for entry in catalogue} == {"os/bash", "payments/api", "payments/cron"}


def test_a_revoked_digest_is_withdrawn_whatever_its_source() -> None:
    package = Entry(bytes(32), "os/bash", Source.PACKAGE, "/bin/bash")
    catalogue = Catalogue([package])
    revoked = root_yaml(key_yaml(key()), more=f'revoked: [{{sha256: "{"0" * 64}", reason: CVE}}]\n')
    assert withdraw(catalogue, trust(revoked), NOW) == [package]
    assert len(catalogue) == 0


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "missing").files == 0


def test_odd_files_do_not_stop_a_scan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff\n")).write_bytes(b"\x7fELF")
    (tmp_path / "empty").touch()
    found = look(tmp_path)
    assert (found.files, len(found.refused)) == (2, 1)


def test_progress_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_REPORT_EVERY", 1)
    told: list[str] = []
    scan([tree], trust(), now=NOW, progress=lambda what, _done, _total: told.append(what))
    assert set(told) == {"looking for signed files", "verifying signed files"}
