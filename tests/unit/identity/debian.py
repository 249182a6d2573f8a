"""A small Debian for tests: a tree with a dpkg database, .debs, and an apt archive signed by us."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = b"#!/bin/sh\necho hello\n"


def deb(files: dict[str, bytes], links: dict[str, str] | None = None, compression: str = "xz") -> bytes:
    """A .deb with these files (absolute paths) and hard links."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for path, content in files.items():
            member = tarfile.TarInfo("." + path)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        for path, target in (links or {}).items():
            member = tarfile.TarInfo("." + path)
            member.type, member.linkname = tarfile.LNKTYPE, "." + target
            archive.addfile(member)
    parts = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"x"),
        (f"data.tar.{compression}", data.getvalue()),
    ]
    return b"!<arch>\n" + b"".join(_member(name, content) for name, content in parts)


def _member(name: str, content: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) & 1)


class Debian:
    """The tree. Packages are added one by one; `write` makes the database and, with a signer, the archive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.status: list[str] = []
        self.index: list[str] = []
        self.info = root / "var/lib/dpkg/info"
        self.lists = root / "var/lib/apt/lists"
        self.cache = root / "var/cache/apt/archives"
        for directory in (self.info, self.lists, self.cache, root / "usr/bin", root / "usr/lib"):
            directory.mkdir(parents=True)
        for merged in ("bin", "lib"):
            (root / merged).symlink_to(f"usr/{merged}")

    def file(self, path: str, content: bytes = SCRIPT, mode: int = 0o755) -> Path:
        """Put a file into the tree."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
        return target

    def package(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        version: str = "1:2.0-1",
        sums: bool = True,
        place: bool = True,
        archive: bool = True,
        conffiles: tuple[str, ...] = (),
        status: str = "install ok installed",
        architecture: str = "amd64",
    ) -> bytes:
        """Install a package: files, list, md5sums, status; and its .deb in apt's cache and in the index."""
        stanza = f"Package: {name}\nStatus: {status}\nArchitecture: {architecture}\nVersion: {version}\n"
        if conffiles:
            stanza += "Conffiles:\n" + "".join(f" {path} {'0' * 32}\n" for path in conffiles)
        self.status.append(stanza + "Description: x\n .\n more\n")
        (self.info / f"{name}.list").write_text("/.\n" + "".join(f"{path}\n" for path in ["/usr", *files]))
        if sums:
            lines = [f"{hashlib.md5(content).hexdigest()}  {path[1:]}\n" for path, content in files.items()]
            (self.info / f"{name}.md5sums").write_text("".join(lines))
        if place:
            for path, content in files.items():
                self.file(path, content)
        packed = deb(files)
        if archive:
            (self.cache / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb").write_bytes(packed)
        self.index.append(
            f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
            f"Filename: pool/x.deb\nSHA256: {hashlib.sha256(packed).hexdigest()}\n"
        )
        return packed

    def write(self, signer: Signer | None = None) -> None:
        """Write the database, and the signed archive where there is a signer."""
        (self.root / "var/lib/dpkg/status").write_text("\n".join(self.status))
        if signer is None:
            return
        index = "\n".join(self.index).encode()
        (self.lists / "deb.test_debian_dists_x_main_binary-amd64_Packages").write_bytes(index)
        digest = hashlib.sha256(index).hexdigest()
        release = "Origin: Test\nMD5Sum:\n 00 1 main/binary-amd64/Packages\nSHA256:\n"
        release += f" {digest} {len(index):>8} main/binary-amd64/Packages\n"
        release += f" {'0' * 64} 12 contrib/binary-amd64/Packages\n"
        (self.lists / "deb.test_debian_dists_x_InRelease").write_bytes(signer.clear_sign(release.encode()))


class Signer:
    """An archive key of our own, in a GnuPG home of its own."""

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._name = f"{name}@example.com"
        self._gpg("--quick-gen-key", self._name, "ed25519", "sign", "never")
        self.keyring = home / f"{name}.gpg"
        self.keyring.write_bytes(self._gpg("--export", self._name))

    def clear_sign(self, text: bytes, also: Signer | None = None) -> bytes:
        """A clear-signed message, by a second key as well where there is one."""
        second = [] if also is None else ["--local-user", also._name]
        return self._gpg("--local-user", self._name, *second, "--clearsign", given=text)

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
        environment = os.environ | {"GNUPGHOME": str(self._home)}
        return subprocess.run(command, input=given, env=environment, check=True, capture_output=True).stdout


@contextmanager
def signers(*names: str) -> Iterator[list[Signer]]:
    """Archive keys by name; the GnuPG home is in /tmp, since its socket's path must be short."""
    home = Path(tempfile.mkdtemp(prefix="gpg"))
    home.chmod(0o700)
    try:
        yield [Signer(home, name) for name in names]
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
