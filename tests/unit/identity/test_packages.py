"""Packages: what the signed chain, the md5sums, or nothing vouches for."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import apt_lists, deb, dpkg, packages
from identity.catalogue import Source
from identity.errors import IdentityError
from identity.packages import Report, Witness
from identity.tree import Tree
from tests.unit.identity.debian import SCRIPT, Debian, Signer, signers
from tests.unit.identity.debian import deb as make_deb

needs_gpg = pytest.mark.skipif(
    shutil.which("gpg") is None or shutil.which("gpgv") is None, reason="gpg and gpgv make the test's archive"
)


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path / "root")


@pytest.fixture(scope="module")
def keys() -> Iterator[list[Signer]]:
    with signers("archive", "stranger") as made:
        yield made


@pytest.fixture
def archive(keys: list[Signer]) -> Signer:
    return keys[0]


def enrol(debian: Debian, *rings: Path, debs: tuple[Path, ...] = ()) -> Report:
    return packages.enrol(debian.root, keyrings=rings, debs=debs, now=1000)


def whys(faults: list[packages.Fault]) -> dict[str, str]:
    return {fault.path: fault.why for fault in faults}


def test_files_that_agree_with_the_md5sums_are_os_programs_and_marked_as_such(debian: Debian) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.write()
    report = enrol(debian)
    (entry,) = report.entries
    assert (entry.identity, entry.source, entry.path) == ("os/hello", Source.PACKAGE, "/usr/bin/hello")
    assert entry.digest == hashlib.sha256(SCRIPT).digest()
    assert entry.evidence == "md5sums hello 1:2.0-1 amd64"
    assert report.checked == {Witness.MD5SUMS: 1}
    assert report.problems


def test_a_file_changed_since_it_was_installed_is_refused_and_listed(debian: Debian) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT, "/usr/bin/other": SCRIPT + b"#"})
    debian.file("/usr/bin/hello", SCRIPT + b"rm -rf /\n")
    debian.write()
    report = enrol(debian)
    assert whys(report.refused) == {"/usr/bin/hello": "it differs from the package's md5sums"}
    assert [entry.path for entry in report.entries] == ["/usr/bin/other"]


def test_a_file_that_the_package_has_no_md5sum_of_is_not_covered(debian: Debian) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT}, sums=False)
    debian.write()
    report = enrol(debian)
    assert whys(report.uncovered) == {"/usr/bin/hello": "the package has no md5sum of it"}
    assert not report.entries


CODE: list[tuple[str, bytes, int, bool]] = [
    ("/usr/bin/elf", b"\x7fELF...", 0o755, True),
    ("/usr/lib/data-elf", b"\x7fELF...", 0o644, True),
    ("/usr/bin/script", b"#!/bin/sh\n", 0o755, True),
    ("/usr/share/example", b"#!/bin/sh\n", 0o644, False),
    ("/usr/lib/libx.so.6", b"text", 0o644, True),
    ("/usr/lib/libx.so", b"/* linker script */", 0o644, True),
    ("/usr/share/doc/readme", b"text", 0o755, False),
    ("/usr/share/empty", b"", 0o755, False),
    ("/usr/share/also", b"text", 0o644, False),
]


@pytest.mark.parametrize(("path", "content", "mode", "wanted"), CODE)
def test_programs_scripts_and_libraries_are_code_and_nothing_else_is(
    debian: Debian, path: str, content: bytes, mode: int, wanted: bool
) -> None:
    debian.package("hello", {path: content})
    debian.file(path, content, mode)
    debian.write()
    assert bool(enrol(debian).entries) is wanted


def test_conffiles_are_skipped_and_counted(debian: Debian) -> None:
    debian.package(
        "hello", {"/etc/init.d/hello": SCRIPT, "/usr/bin/hello": SCRIPT}, conffiles=("/etc/init.d/hello",)
    )
    debian.write()
    report = enrol(debian)
    assert report.conffiles == 1
    assert [entry.path for entry in report.entries] == ["/usr/bin/hello"]


def test_paths_under_merged_directories_are_canonical(debian: Debian) -> None:
    debian.package("libc6", {"/lib/libc.so.6": b"\x7fELFc", "/bin/sh": SCRIPT})
    debian.write()
    assert sorted(entry.path for entry in enrol(debian).entries) == ["/usr/bin/sh", "/usr/lib/libc.so.6"]


def test_links_and_what_is_gone_are_passed_over_and_hard_links_are_files(debian: Debian) -> None:
    debian.package("hello", {f"/usr/bin/{name}": SCRIPT for name in ("one", "two", "link", "gone")})
    for name in ("two", "link", "gone"):
        (debian.root / "usr/bin" / name).unlink()
    os.link(debian.root / "usr/bin/one", debian.root / "usr/bin/two")
    (debian.root / "usr/bin/link").symlink_to("/etc/alternatives/link")
    debian.write()
    report = enrol(debian)
    assert sorted(entry.path for entry in report.entries) == ["/usr/bin/one", "/usr/bin/two"]
    assert not report.refused


def test_a_diverted_file_is_judged_where_it_was_moved_to(debian: Debian) -> None:
    debian.package("dash", {"/usr/bin/sh": SCRIPT}, place=False)
    debian.package("other-sh", {"/usr/bin/sh": SCRIPT + b"# mine\n"})
    debian.file("/usr/bin/sh.distrib", SCRIPT)
    debian.write()
    (debian.root / "var/lib/dpkg/diversions").write_text("/usr/bin/sh\n/usr/bin/sh.distrib\nother-sh\n")
    report = enrol(debian)
    found = {entry.path: entry.identity for entry in report.entries}
    assert found == {"/usr/bin/sh.distrib": "os/dash", "/usr/bin/sh": "os/other-sh"}


STATES = [
    ("install ok installed", 1),
    ("hold ok installed", 1),
    ("install ok triggers-pending", 1),
    ("deinstall ok config-files", 0),
    ("install ok half-installed", 0),
    ("install ok unpacked", 0),
]


@pytest.mark.parametrize(("status", "wanted"), STATES)
def test_only_installed_packages_count(debian: Debian, status: str, wanted: int) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT}, status=status)
    debian.write()
    assert len(enrol(debian).entries) == wanted


def test_a_package_of_two_architectures_is_read_from_its_own_lists(debian: Debian) -> None:
    debian.package("libx", {"/usr/lib/libx.so": b"\x7fELF"})
    for kind in ("list", "md5sums"):
        (debian.info / f"libx.{kind}").rename(debian.info / f"libx:amd64.{kind}")
    debian.write()
    assert len(enrol(debian).entries) == 1


@needs_gpg
def test_the_signed_chain_vouches_for_a_file(debian: Debian, archive: Signer) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT, "/bin/merged": SCRIPT + b"#"}, sums=False)
    debian.write(archive)
    report = enrol(debian, archive.keyring)
    assert report.checked == {Witness.SIGNED: 2}
    assert report.entries[0].evidence == "signed-metadata hello 1:2.0-1 amd64"
    assert not report.unsigned
    assert report.releases == ("deb.test_debian_dists_x",)


@needs_gpg
def test_an_intruder_who_also_rewrites_the_md5sums_is_found_by_the_signed_chain(
    debian: Debian, archive: Signer
) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    evil = SCRIPT + b"evil\n"
    debian.file("/usr/bin/hello", evil)
    (debian.info / "hello.md5sums").write_text(f"{hashlib.md5(evil).hexdigest()}  usr/bin/hello\n")
    debian.write(archive)
    report = enrol(debian, archive.keyring)
    assert whys(report.refused) == {"/usr/bin/hello": "it differs from the signed .deb"}
    assert not report.entries


@needs_gpg
def test_a_file_that_an_intruder_adds_to_a_package_s_list_is_not_covered(
    debian: Debian, archive: Signer
) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.file("/usr/bin/backdoor", SCRIPT + b"x")
    with (debian.info / "hello.list").open("a") as stream:
        stream.write("/usr/bin/backdoor\n")
    debian.write(archive)
    assert whys(enrol(debian, archive.keyring).uncovered) == {
        "/usr/bin/backdoor": "it is not in the signed .deb"
    }


@needs_gpg
def test_debs_may_be_given_from_a_directory(debian: Debian, archive: Signer, tmp_path: Path) -> None:
    packed = debian.package("hello", {"/usr/bin/hello": SCRIPT}, archive=False)
    debian.write(archive)
    assert enrol(debian, archive.keyring).checked == {Witness.MD5SUMS: 1}
    (tmp_path / "hello_1%3a2.0-1_amd64.deb").write_bytes(packed)
    assert enrol(debian, archive.keyring, debs=(tmp_path,)).checked == {Witness.SIGNED: 1}


Break = Callable[[Debian, list[Signer]], None]


def _write(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def _release(debian: Debian) -> Path:
    return next(debian.lists.glob("*_InRelease"))


def _stranger(debian: Debian, keys: list[Signer]) -> None:
    debian.write(keys[1])


def _unsigned(debian: Debian, keys: list[Signer]) -> None:
    _write(_release(debian), lambda text: text.split(b"\n\n", 1)[1].split(b"-----BEGIN")[0])


def _signature_first(debian: Debian, keys: list[Signer]) -> None:
    _write(_release(debian), lambda text: b"SHA256:\n " + b"0" * 64 + b" 1 x/Packages\n\n" + text)


def _twice(debian: Debian, keys: list[Signer]) -> None:
    _write(_release(debian), lambda text: text + keys[1].clear_sign(b"SHA256:\n"))


def _no_index(debian: Debian, keys: list[Signer]) -> None:
    next(debian.lists.glob("*_Packages")).unlink()


def _no_release(debian: Debian, keys: list[Signer]) -> None:
    _release(debian).unlink()


def _no_deb(debian: Debian, keys: list[Signer]) -> None:
    next(debian.cache.glob("*.deb")).unlink()


def _other_version(debian: Debian, keys: list[Signer]) -> None:
    debian.status = [text.replace("1:2.0-1", "1:2.0-2") for text in debian.status]
    debian.write()


BREAKS: list[tuple[str, Break, str]] = [
    (
        "release altered",
        lambda d, k: _write(_release(d), lambda t: t.replace(b"Test", b"Tess")),
        "signature does not",
    ),
    ("release by a stranger", _stranger, "signature does not hold"),
    ("release not signed", _unsigned, "clear-signed"),
    ("text before the message", _signature_first, "clear-signed"),
    ("two messages", _twice, "clear-signed"),
    ("no release", _no_release, "apt-get update"),
    (
        "index altered",
        lambda d, k: _write(next(d.lists.glob("*_Packages")), lambda t: t + b"\n"),
        "not the index",
    ),
    ("no index", _no_index, "not in the signed metadata"),
    ("no .deb", _no_deb, "neither in the apt cache"),
    (
        ".deb altered",
        lambda d, k: _write(next(d.cache.glob("*.deb")), lambda t: t + b"\n"),
        "not the package that",
    ),
    ("another version", _other_version, "not in the signed metadata"),
]


@needs_gpg
@pytest.mark.parametrize(("what", "damage", "why"), BREAKS, ids=[row[0] for row in BREAKS])
def test_a_broken_link_of_the_chain_is_told_and_leaves_the_md5sums(
    debian: Debian, keys: list[Signer], what: str, damage: Break, why: str
) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.write(keys[0])
    damage(debian, keys)
    report = enrol(debian, keys[0].keyring)
    assert report.checked == {Witness.MD5SUMS: 1}, what
    assert why in " ".join([*report.problems, *report.unsigned])


@needs_gpg
def test_a_second_signature_by_a_key_that_we_do_not_have_is_no_fault(
    debian: Debian, keys: list[Signer]
) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.write(keys[0])
    text = _release(debian).read_bytes().split(b"\n\n", 1)[1].split(b"-----BEGIN")[0]
    _release(debian).write_bytes(keys[0].clear_sign(text, also=keys[1]))
    assert enrol(debian, keys[0].keyring).checked == {Witness.SIGNED: 1}
    assert enrol(debian, keys[1].keyring).checked == {Witness.SIGNED: 1}


@needs_gpg
def test_without_gpgv_or_keyrings_nothing_counts_as_signed(
    debian: Debian, archive: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.write(archive)
    assert "no archive keyring" in enrol(debian).problems[0]
    monkeypatch.setattr("identity.apt_lists.shutil.which", lambda _name: None)
    assert "gpgv is not installed" in enrol(debian, archive.keyring).problems[0]


@needs_gpg
@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "junk.gz", "lz4"])
def test_packed_indexes_are_read(
    debian: Debian, archive: Signer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bz2
    import gzip
    import lzma

    monkeypatch.setattr(apt_lists, "APT_HELPER", Path("/nowhere/apt-helper"))
    debian.package("hello", {"/usr/bin/hello": SCRIPT})
    debian.write(archive)
    plain = next(debian.lists.glob("*_Packages"))
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }
    content = packers[kind](plain.read_bytes()) if kind in packers else b"junk"
    plain.with_name(plain.name + "." + kind.rpartition(".")[2]).write_bytes(content)
    plain.unlink()
    report = enrol(debian, archive.keyring)
    assert bool(report.problems) is (kind not in packers)
    assert bool(report.checked[Witness.SIGNED]) is (kind in packers)


def test_a_tree_without_a_package_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="package database"):
        packages.enrol(tmp_path)


def test_a_package_name_that_leads_out_of_the_database_is_refused(debian: Debian) -> None:
    debian.status.append("Package: ../../etc/x\nStatus: install ok installed\nArchitecture: amd64\n")
    debian.write()
    with pytest.raises(IdentityError, match="package name"):
        enrol(debian)


DEBS: list[tuple[str, bytes]] = [
    ("not a .deb", b"junk"),
    ("no data", b"!<arch>\n"),
    ("cut in the head", make_deb({"/a": b"x"})[:100]),
    ("cut in the data", make_deb({"/a": b"x" * 100_000})[:250]),
    ("another packing", make_deb({"/a": b"x"}).replace(b"data.tar.xz ", b"data.tar.zst")),
    ("a size of no number", make_deb({"/a": b"x"}).replace(b"100644  4 ", b"100644  x ")),
    ("junk for data", make_deb({"/a": b"x"})[:-40] + b"j" * 40),
]


@pytest.mark.parametrize(("what", "content"), DEBS, ids=[row[0] for row in DEBS])
def test_a_damaged_deb_is_refused_even_if_it_is_the_signed_one(
    tmp_path: Path, what: str, content: bytes
) -> None:
    path = tmp_path / "x_1_amd64.deb"
    path.write_bytes(content)
    with pytest.raises(IdentityError):
        deb.checked_contents(path, hashlib.sha256(content).digest(), lambda _path: True)


@pytest.mark.parametrize("compression", ["xz", "gz", "bz2"])
def test_files_and_hard_links_of_a_deb_have_their_digests(tmp_path: Path, compression: str) -> None:
    content = make_deb({"/usr/bin/a": b"A", "/usr/share/b": b"B"}, {"/usr/bin/c": "/usr/bin/a"}, compression)
    path = tmp_path / "x_1_amd64.deb"
    path.write_bytes(content)
    found = deb.checked_contents(
        path, hashlib.sha256(content).digest(), lambda name: name.startswith("/usr/bin")
    )
    assert found == dict.fromkeys(("/usr/bin/a", "/usr/bin/c"), hashlib.sha256(b"A").digest())


@given(st.binary(max_size=200).map(lambda junk: b"!<arch>\n" + junk))
def test_any_bytes_are_a_deb_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("deb") / "x_1_amd64.deb"
    path.write_bytes(content)
    with pytest.raises(IdentityError):
        deb.checked_contents(path, hashlib.sha256(content).digest(), lambda _path: True)


@given(st.text(max_size=200))
def test_any_text_is_stanzas(text: str) -> None:
    for stanza in dpkg.stanzas(text):
        assert all(name == name.lower() for name in stanza)


LINKS = [
    ({"lib": "usr/lib"}, "/lib/x", "/usr/lib/x"),
    ({"lib": "/usr/lib"}, "/lib/x/y", "/usr/lib/x/y"),
    ({"a": "b", "b": "c"}, "/a/x", "/c/x"),
    ({"a": "../../../etc"}, "/a/passwd", "/etc/passwd"),
    ({"a": "/../.."}, "/a/x", "/x"),
    ({}, "/no/such/x", "/no/such/x"),
    ({"usr/x": "../lib"}, "/usr/x/y", "/lib/y"),
]


@pytest.mark.parametrize(("links", "path", "wanted"), LINKS)
def test_links_are_followed_as_the_tree_would_and_never_out_of_it(
    tmp_path: Path, links: dict[str, str], path: str, wanted: str
) -> None:
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    tree = Tree(tmp_path)
    assert tree.canonical(path) == wanted
    assert tree.outside(wanted).is_relative_to(tmp_path)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(IdentityError, match="too many symbolic links"):
        Tree(tmp_path).canonical("/a/x")
