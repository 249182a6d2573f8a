"""What can be code: ELF files, scripts that can be run, shared objects by name; and their digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from identity import elf
from identity.errors import IdentityError
from identity.files import open_regular

_CHUNK = 1 << 20
_ANY_EXECUTE = 0o111


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of one reading of a file."""

    sha256: bytes
    md5: bytes


def is_code(path: Path) -> bool:
    """Whether a file is code: any ELF file, `#!` with an execute bit, or *.so* by name. A link never is."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        handle = open_regular(path)
    except (OSError, IdentityError):
        return False
    try:
        return _is_code(path.name, os.fstat(handle).st_mode, os.pread(handle, 4, 0))
    finally:
        os.close(handle)


def digests(path: Path) -> Digests:
    """Both digests from one pass over the file."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with os.fdopen(open_regular(path), "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return Digests(sha256.digest(), md5.digest())


def sha256(path: Path) -> bytes:
    """The digest that the kernel's IMA hash will be."""
    with os.fdopen(open_regular(path), "rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def walk(directory: Path) -> Iterator[os.DirEntry[str]]:
    """The regular files below a directory, links not followed; what cannot be listed is passed over."""
    waiting = [os.fspath(directory)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry


def _is_code(name: str, mode: int, head: bytes) -> bool:
    if elf.is_elf(head):
        return True
    if head.startswith(b"#!") and stat.S_IMODE(mode) & _ANY_EXECUTE:
        return True
    return name.endswith(".so") or ".so." in name
