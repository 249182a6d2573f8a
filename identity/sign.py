"""Signing a file: state its identity, and put the credential inside it or beside it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from identity import credential, dsse, elf, elf_note, statement
from identity.credential import Carrier
from identity.errors import IdentityError
from identity.files import open_regular, write_atomically
from identity.keys import PrivateKey
from identity.statement import Statement

DEFAULT_VALIDITY = 365 * 86400


@dataclass(frozen=True, slots=True)
class Signed:
    """What signing made."""

    path: Path
    carrier: Carrier
    claim: Statement
    statement_digest: bytes


def sign_file(
    path: Path,
    key: PrivateKey,
    identity: str,
    *,
    issued: int | None = None,
    expires: int | None = None,
    builder: str = "",
    detached: bool = False,
    output: Path | None = None,
) -> Signed:
    """Sign a file. An ELF program or library carries its credential inside unless `detached`, all else beside

    Signing again replaces the credential. `output` is where the signed file (or detached credential) goes;
    without it the file itself is replaced, whole or not at all.
    """
    start = int(time.time()) if issued is None else issued
    end = start + DEFAULT_VALIDITY if expires is None else expires
    try:
        inside = not detached and _is_elf(path)
        if inside:
            content = elf_note.remove(_read(path))
            digest = hashlib.sha256(content).digest()
        else:
            content = b""
            digest = _digest_without_note(path)
        claim = Statement(_shown(path.name), digest, identity, start, end, builder)
        payload = claim.to_payload()
        envelope = dsse.seal(payload, key).to_bytes()
        if statement.parse(dsse.parse(envelope).payload) != claim:
            raise IdentityError("the statement cannot be read back as it was meant")
        if inside:
            target = output or path
            write_atomically(target.resolve(), elf_note.embed(content, envelope), like=path)
        else:
            target = output or credential.beside(path.resolve())
            write_atomically(target, envelope + b"\n")
    except OSError as error:
        raise IdentityError(f"cannot sign {path}: {error.strerror}") from None
    carrier = Carrier.EMBEDDED if inside else Carrier.DETACHED
    return Signed(target, carrier, claim, statement.statement_digest(payload))


def unsign_file(path: Path) -> bool:
    """Take a file's credentials away, inside and beside; False if it had none."""
    try:
        content = _read(path)
        plain = elf_note.remove(content) if elf.is_elf(content) else content
        if plain != content:
            write_atomically(path.resolve(), plain, like=path)
        neighbour = credential.beside(path.resolve())
        had_neighbour = neighbour.is_file()
        neighbour.unlink(missing_ok=True)
    except OSError as error:
        raise IdentityError(f"cannot take the credential of {path} away: {error.strerror}") from None
    return plain != content or had_neighbour


def _is_elf(path: Path) -> bool:
    with os.fdopen(open_regular(path), "rb") as stream:
        return elf.is_elf(stream.read(len(elf.MAGIC)))


def _digest_without_note(path: Path) -> bytes:
    """The digest for a detached credential, of a file that has none inside."""
    with os.fdopen(open_regular(path), "rb") as stream:
        handle = stream.fileno()
        if elf.is_elf(os.pread(handle, len(elf.MAGIC), 0)):
            carries = False
            with contextlib.suppress(
                IdentityError
            ):  # an unreadable section table shows a verifier no credential
                carries = elf_note.carries_note(
                    lambda offset, length: os.pread(handle, length, offset), os.fstat(handle).st_size
                )
            if carries:
                raise IdentityError(
                    f"{path} carries a credential inside, which settles its identity",
                    hint="sign without --detached, or take it out with `menshen identity sign --remove`",
                )
        return hashlib.file_digest(stream, "sha256").digest()


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)


def _read(path: Path) -> bytes:
    with os.fdopen(open_regular(path), "rb") as stream:
        content = stream.read(elf_note.MAX_FILE_BYTES + 1)
    if len(content) > elf_note.MAX_FILE_BYTES:
        raise IdentityError(f"{path} is larger than {elf_note.MAX_FILE_BYTES} bytes")
    return content
