"""Careful file work: whole-or-nothing writes, and reads that have a limit and one open descriptor."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from identity.errors import IdentityError

_STALE_XATTRS = frozenset({"security.ima", "security.evm"})
"""Attributes that speak of the content: not carried over to another content."""


def write_atomically(path: Path, content: bytes, mode: int = 0o644, like: Path | None = None) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    With `like`, the new file has that file's owner, mode and extended attributes.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            if like is None:
                os.fchmod(stream.fileno(), mode)
            else:
                _copy_attributes(like, stream.fileno())
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def _copy_attributes(source: Path, target: int) -> None:
    known = source.stat()
    made = os.fstat(target)
    if (known.st_uid, known.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(target, known.st_uid, known.st_gid)
    os.fchmod(target, stat.S_IMODE(known.st_mode))  # after fchown, which clears set-user-id
    with contextlib.suppress(OSError):  # a filesystem without extended attributes has none to keep
        for name in os.listxattr(source):
            if name not in _STALE_XATTRS:
                os.setxattr(target, name, os.getxattr(source, name))


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
        content = stream.read(min(limit, os.fstat(handle).st_size) + 1)
    if len(content) > limit:
        raise IdentityError(f"{what} {path} is larger than {limit} bytes")
    return content
