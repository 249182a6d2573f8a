"""Where a file's credential is: inside it (ELF), or beside it in FILE.menshen.

A file has one credential. One inside is the file's own and settles it; FILE.menshen is read only where there
is none inside. The neighbour is looked for beside the file that was really opened, not beside a link to it.
"""

from __future__ import annotations

import enum
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from identity import elf, elf_note
from identity.dsse import MAX_ENVELOPE_BYTES
from identity.errors import IdentityError
from identity.files import open_regular, read_limited

SUFFIX = ".menshen"


class Carrier(enum.StrEnum):
    """How a credential is carried."""

    EMBEDDED = "embedded"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as found, unchecked, and the digests of the bytes that were read."""

    carrier: Carrier
    envelope: bytes
    signed_digest: bytes
    """sha256 of the file without its embedded credential: what the statement is about."""
    file_digest: bytes
    """sha256 of the whole file: what the kernel's IMA hash will be, and what the catalogue holds."""


def beside(path: Path) -> Path:
    """Where the detached credential of a file is."""
    return path.with_name(path.name + SUFFIX)


def find(path: Path) -> Credential | None:
    """The credential of a file, read through one descriptor; None if it has none.

    OSError where the file cannot be read, AlteredError where an embedded credential's file was altered,
    IdentityError where it is malformed.
    """
    handle = open_regular(path)
    with os.fdopen(handle, "rb") as stream:
        size = os.fstat(handle).st_size
        problem: IdentityError | None = None
        if elf.is_elf(os.pread(handle, len(elf.MAGIC), 0)):
            try:
                if elf_note.carries_note(lambda offset, length: os.pread(handle, length, offset), size):
                    return _embedded(stream.read(min(size, elf_note.MAX_FILE_BYTES) + 1))
            except elf_note.AlteredError:
                raise
            except IdentityError as error:
                problem = error
        detached = beside(_opened(handle, path))
        if detached.is_file():
            envelope = read_limited(detached, MAX_ENVELOPE_BYTES, "credential").rstrip(b"\n")
            digest = hashlib.file_digest(stream, "sha256").digest()
            return Credential(Carrier.DETACHED, envelope, digest, digest)
        if problem is not None:
            raise problem
        return None


def _embedded(content: bytes) -> Credential | None:
    if len(content) > elf_note.MAX_FILE_BYTES:
        raise IdentityError(
            f"a file with an embedded credential is larger than {elf_note.MAX_FILE_BYTES} bytes",
            hint="a detached credential: sign --detached",
        )
    extracted = elf_note.extract(content)
    if extracted is None:  # it had one a moment ago: it is being rewritten
        return None
    unsigned = hashlib.sha256(extracted.unsigned).digest()
    return Credential(Carrier.EMBEDDED, extracted.envelope, unsigned, hashlib.sha256(content).digest())


def _opened(handle: int, path: Path) -> Path:
    try:
        return Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:  # no /proc: a build container
        return path.resolve()
