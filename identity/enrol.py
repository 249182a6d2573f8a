"""Local enrolment: an administrator of this host vouches for the digests of software that nobody signed."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from identity.catalogue import Entry, Source
from identity.errors import IdentityError
from identity.executables import is_code, sha256, walk
from identity.names import check_name, check_unreserved
from identity.progress import Progress, silent

_NO_LOGIN = 0xFFFFFFFF


def enrol(
    paths: Iterable[Path],
    name: str,
    *,
    by: str,
    reason: str = "",
    expires: int | None = None,
    reserved: bool = False,
    now: float | None = None,
    progress: Progress = silent,
) -> list[Entry]:
    """Entries for files, and for all code below directories. A reserved name needs `reserved`."""
    if reserved:
        check_name(name)
    else:
        check_unreserved(name)
    moment = int(time.time() if now is None else now)
    entries: list[Entry] = []
    for path in paths:
        before = len(entries)
        for file in _files(path):
            try:
                digest = sha256(file)
            except OSError as error:
                raise IdentityError(f"cannot read {file}: {error.strerror}") from None
            entries.append(Entry(digest, name, Source.ENROLLED, str(file), expires, reason, by, moment))
            progress("enrolling", len(entries), None)
        if len(entries) == before:
            raise IdentityError(f"there is no program, script or shared library in {path}")
    return entries


def who() -> str:
    """The person at the keyboard: the user, and whom they logged in as, which sudo and su do not change."""
    user = _user(os.getuid())
    try:
        login = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return user
    if login in (_NO_LOGIN, os.getuid()):
        return user
    return f"{user} (logged in as {_user(login)})"


def _files(path: Path) -> Iterator[Path]:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise IdentityError(f"{path} is not there") from None
    if real.is_dir():
        yield from (Path(entry.path) for entry in walk(real) if is_code(Path(entry.path)))
    else:
        yield real


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
