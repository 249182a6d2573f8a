"""Files of JSON lines that the agent writes: one that is bounded and may lose, one that must not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]
MODE = 0o640


def encode(line: Line) -> bytes:
    """One JSON line. All ASCII: controls, bidi and broken UTF-8 (as lone surrogates) are escaped by JSON."""
    return json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


class RotatingLog:
    """Appends lines; at `limit` bytes the file becomes .1, .1 becomes .2, and the last of `keep` goes.

    A line that cannot be written is counted in `lost`: a full disk must not stop the feed.
    """

    def __init__(self, path: Path, *, limit: int, keep: int, group: int | None = None) -> None:
        self.path = path
        self.lost = 0
        self._limit = limit
        self._keep = keep
        self._group = group
        self._handle: int | None = None
        self._size = 0

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines, turning the file over where its size asks for it."""
        waiting = bytearray()
        count = 0
        for line in lines:
            data = encode(line)
            if self._size + len(waiting) + len(data) > self._limit and self._size + len(waiting):
                self._put(waiting, count)
                waiting, count = bytearray(), 0
                self._rotate()
            waiting += data
            count += 1
        self._put(waiting, count)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _put(self, data: bytearray, count: int) -> None:
        if not data:
            return
        try:
            if self._handle is None:
                self._open()
            assert self._handle is not None
            written = os.write(self._handle, data)
            if written != len(data):  # the disk is full: take back the torn part
                os.ftruncate(self._handle, self._size)
                raise OSError("short write")
            self._size += written
        except OSError:
            self.lost += count

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._handle = os.open(self.path, flags, MODE)
        self._size = os.fstat(self._handle).st_size
        if self._group is not None:
            with suppress(OSError):
                os.fchown(self._handle, -1, self._group)

    def _rotate(self) -> None:
        self.close()
        with suppress(OSError):
            for number in range(self._keep - 1, 0, -1):
                older = _numbered(self.path, number)
                if older.exists():
                    older.replace(_numbered(self.path, number + 1))
            self.path.replace(_numbered(self.path, 1))
        self._size = 0


def newest_first(path: Path, keep: int) -> Iterator[dict[str, Any]]:
    """The lines of a rotating log, the newest first; what is not a whole JSON object is passed over."""
    for number in range(keep + 1):
        try:
            lines = _numbered(path, number).read_bytes().splitlines()
        except OSError:
            continue
        for raw in reversed(lines):
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


class AuditLog:
    """Who changed what. `write` returns when the line is on disk and raises when it cannot be put there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: Line) -> None:
        """Append one line and wait until it is on disk."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._path, flags, MODE)
        try:
            data = encode(line)
            if os.write(handle, data) != len(data):
                raise OSError(f"{self._path}: the disk is full")
            os.fsync(handle)
        finally:
            os.close(handle)


def _numbered(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_name(f"{path.name}.{number}")
