"""Careful file work: whole-or-nothing writes, and reads that have a limit and one open descriptor."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from identity.errors import IdentityError


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory outlast a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_regular(path: Path) -> int:
    """Open a regular file for reading without waiting on a fifo or device; the caller closes it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IdentityError(f"{path} is not a regular file")
    return handle


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The content of a regular file of at most `limit` bytes; anything else is an IdentityError."""
    try:
        handle = open_regular(path)
    except OSError as error:
        raise IdentityError(f"cannot read {what} {path}: {error.strerror}") from None
    except ValueError:
        raise IdentityError(f"cannot read {what} {str(path)!r}: not a file name") from None
    with os.fdopen(handle, "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise IdentityError(f"{what} {path} is larger than {limit} bytes")
    return content
