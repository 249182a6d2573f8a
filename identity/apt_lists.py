"""Signed package metadata as apt keeps it: InRelease vouches for Packages, and that for each .deb.

What gpgv checked is what is used: its own output, never the file that it was given. Old metadata is as good
as new for saying what a version's .deb must be, so no expiry is looked at.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from identity.dpkg import stanzas
from identity.errors import IdentityError
from identity.files import read_limited

KEYRINGS = ("debian-archive-keyring*.gpg", "ubuntu-archive-keyring.gpg")
KEYRING_DIRECTORY = Path("/usr/share/keyrings")
APT_HELPER = Path("/usr/lib/apt/apt-helper")
MAX_INRELEASE = 8 << 20
MAX_PACKAGES = 1 << 30
_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_TIMEOUT = 120

DebKey = tuple[str, str, str]
"""(package, version, architecture)."""


@dataclass(frozen=True, slots=True)
class SignedDebs:
    """The sha256 of each .deb that signed metadata vouches for, and what could not be checked."""

    digests: dict[DebKey, bytes]
    releases: tuple[str, ...]
    problems: tuple[str, ...]


def archive_keyrings() -> list[Path]:
    """The distribution's own keyrings on this host (never those of the tree that is being judged)."""
    return sorted(path for pattern in KEYRINGS for path in KEYRING_DIRECTORY.glob(pattern))


def read(lists: Path, wanted: Iterable[str], keyrings: Iterable[Path]) -> SignedDebs:
    """Read every release below an apt lists directory; only the `wanted` packages are kept."""
    rings = list(keyrings)
    names = frozenset(wanted)
    digests: dict[DebKey, bytes] = {}
    releases, problems = [], []
    files = sorted(lists.glob("*_InRelease")) if lists.is_dir() else []
    if not files:
        problems.append(f"there is no InRelease in {lists}: run apt-get update")
    elif shutil.which("gpgv") is None:
        problems.append("gpgv is not installed: no signature can be checked")
    elif not rings:
        problems.append(f"there is no archive keyring in {KEYRING_DIRECTORY}")
    else:
        for file in files:
            try:
                known = _release(file, names, rings)
            except (IdentityError, OSError) as error:
                problems.append(f"{file.name}: {error}")
            else:
                digests |= known
                releases.append(file.name.removesuffix("_InRelease"))
    return SignedDebs(digests, tuple(releases), tuple(problems))


def _release(file: Path, wanted: frozenset[str], keyrings: list[Path]) -> dict[DebKey, bytes]:
    release = next(stanzas(_signed_text(file, keyrings)), {})
    prefix = file.name.removesuffix("InRelease")
    digests: dict[DebKey, bytes] = {}
    for line in release.get("sha256", "").split("\n"):
        digest, _, rest = line.strip().partition(" ")
        _, _, path = rest.strip().partition(" ")
        if path.rpartition("/")[2] != "Packages":
            continue
        local = next(iter(sorted(file.parent.glob(f"{prefix}{path.strip().replace('/', '_')}*"))), None)
        if local is None:
            continue  # apt fetched the indexes that it needs, not all
        content = _unpacked(local)
        if hashlib.sha256(content).hexdigest() != digest:
            raise IdentityError(f"{local.name} is not the index that the release's signature vouches for")
        digests |= _debs(content, wanted)
    return digests


def _signed_text(file: Path, keyrings: list[Path]) -> str:
    """What was signed, as gpgv gives it out; a file with anything before, between or after is refused."""
    content = read_limited(file, MAX_INRELEASE, "release file")
    lines = content.decode("utf-8", "replace").rstrip("\n").split("\n")
    if [line for line in lines if line in (_BEGIN, _SIGNATURE, _END)] != [_BEGIN, _SIGNATURE, _END] or (
        lines[0] != _BEGIN or lines[-1] != _END
    ):
        raise IdentityError("not one clear-signed message")
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work, "InRelease")
        copy.write_bytes(content)
        command = ["gpgv", "--status-fd", "2", "--output", "-"]
        for ring in keyrings:
            command += ["--keyring", str(ring)]
        try:
            done = subprocess.run([*command, str(copy)], capture_output=True, check=False, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise IdentityError("gpgv did not answer") from None
    words = [line.split(b" ")[1] for line in done.stderr.splitlines() if line.startswith(b"[GNUPG:] ")]
    bad = {b"BADSIG", b"REVKEYSIG", b"UNEXPECTED"} & set(words)
    # A further signature by a key that we do not have is no fault; gpgv's exit status would make it one.
    if bad or b"VALIDSIG" not in words or b"GOODSIG" not in words or words.count(b"PLAINTEXT") != 1:
        raise IdentityError("its signature does not hold with the distribution's archive keyring")
    return done.stdout.decode("utf-8", "replace")


def _unpacked(path: Path) -> bytes:
    readers: dict[str, Callable[[Path], IO[bytes] | gzip.GzipFile]] = {
        ".gz": gzip.GzipFile,
        ".xz": lzma.LZMAFile,
        ".bz2": bz2.BZ2File,
    }
    try:
        if path.name.endswith("_Packages"):
            return read_limited(path, MAX_PACKAGES, "package index")
        if path.suffix in readers:
            with readers[path.suffix](path) as stream:
                return stream.read(MAX_PACKAGES)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile):
        raise IdentityError(f"{path.name} is damaged") from None
    if not APT_HELPER.exists():
        raise IdentityError(f"{path.name} cannot be unpacked without {APT_HELPER}")
    try:
        done = subprocess.run(
            [str(APT_HELPER), "cat-file", str(path)], capture_output=True, check=False, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise IdentityError(f"{APT_HELPER} did not unpack {path.name} in time") from None
    return done.stdout  # judged by its digest


def _debs(index: bytes, wanted: frozenset[str]) -> dict[DebKey, bytes]:
    found: dict[DebKey, bytes] = {}
    heads = tuple(f"Package: {name}\n".encode() for name in wanted)
    known = frozenset(heads)
    for stanza in index.split(b"\n\n"):
        start = stanza.lstrip(b"\n")
        if start[: start.find(b"\n") + 1] not in known:
            continue
        fields = next(stanzas(start.decode("utf-8", "replace")), {})
        digest = fields.get("sha256", "")
        if len(digest) == 64:
            key = (fields["package"], fields.get("version", ""), fields.get("architecture", ""))
            found[key] = bytes.fromhex(digest)
    return found
