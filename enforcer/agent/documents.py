"""The policies on disk: which files there are, and how a new set takes their place in one step.

`/etc/menshen/policies` is the only place; what lies there is what the next start compiles. A set that was
accepted is first written whole to `pending`, sealed by its list, and then moved over file by file; a crash in
between is finished at the next start. So the folder holds the old set or the new one, never a mixture.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from enforcer.errors import EnforcerError
from identity.errors import IdentityError
from identity.files import read_limited, sync_directory, write_atomically

Files = Mapping[str, bytes]
MAX_BYTES = 4 << 20
MAX_FILES = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.ya?ml\Z")
_SEAL = "sealed.json"
_SEPARATOR = re.compile(rb"^---(?=\s|$)", re.MULTILINE)


def check_names(files: Files) -> None:
    """Refuse names that are no plain YAML file names."""
    for name in files:
        if not _NAME.match(name):
            raise EnforcerError(
                f"{name!r} cannot be the name of a policy file",
                "letters, digits and . _ - and the ending .yaml, without a folder",
            )


class DocumentStore:
    """The folder of policies and the way into it."""

    def __init__(self, folder: Path, pending: Path) -> None:
        self._folder = folder
        self._pending = pending

    def read(self) -> dict[str, bytes]:
        """Every policy file by name."""
        try:
            paths = sorted(path for path in self._folder.iterdir() if _NAME.match(path.name))
        except FileNotFoundError:
            return {}
        if len(paths) > MAX_FILES:
            raise EnforcerError(f"{self._folder} has more than {MAX_FILES} files")
        try:
            return {path.name: read_limited(path, MAX_BYTES, "policy file") for path in paths}
        except IdentityError as error:
            raise EnforcerError(str(error)) from None

    def stage(self, files: Files) -> None:
        """Write a whole set aside. A crash after this ends in the new set; `abandon` still forgets it."""
        self.abandon()
        self._pending.mkdir(mode=0o700)
        for name, content in files.items():
            write_atomically(self._pending / name, content)
        write_atomically(self._pending / _SEAL, json.dumps(sorted(files)).encode())

    def abandon(self) -> None:
        """Forget a staged set."""
        with suppress(FileNotFoundError):
            (self._pending / _SEAL).unlink()  # first: without its seal the rest means nothing
            sync_directory(self._pending)
        shutil.rmtree(self._pending, ignore_errors=True)

    def commit(self) -> bool:
        """Move the staged set to its place, or finish a move that a crash broke off; False: none."""
        try:
            names = json.loads((self._pending / _SEAL).read_bytes())
        except FileNotFoundError:
            shutil.rmtree(self._pending, ignore_errors=True)
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            with suppress(FileNotFoundError):  # moved already, before the crash
                content = (self._pending / name).read_bytes()
                write_atomically(self._folder / name, content)
                (self._pending / name).unlink()
        for path in self._folder.iterdir():
            if _NAME.match(path.name) and path.name not in names:
                path.unlink()
        sync_directory(self._folder)
        self.abandon()
        return True


def without(content: bytes, lines: Collection[int]) -> bytes:
    """A file's text without the documents that have one of these lines (from 1); empty if none is left.

    `---` at the beginning of a line always parts documents in YAML, in a block of text too.
    """
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(content) if match.start()), len(content)]
    kept = bytearray()
    some = False
    for start, end in itertools.pairwise(starts):
        first = content.count(b"\n", 0, start) + 1
        last = content.count(b"\n", 0, max(start, end - 1)) + 1
        if any(first <= line <= last for line in lines):
            continue
        kept += content[start:end]
        some = some or any(
            line.strip() and line.strip() != b"---" and not line.lstrip().startswith(b"#")
            for line in content[start:end].splitlines()
        )
    return bytes(kept) if some else b""
