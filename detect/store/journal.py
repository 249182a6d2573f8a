"""The write-ahead file: what is not sealed yet, so that a crash loses at most what was not written.

A file begins with HEADER and goes on with records: length, CRC-32, payload. A payload holds the strings,
contexts and acts that this file did not have before, and the events. A record that is cut or altered ends
the file: what came before it is whole, what follows could name things that it brought.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detect.store.factor import Rows
from detect.store.schema import ACT_ROW, CONTEXT_ROW, EVENT_ROW, Column, Columns, flat, symbol_columns
from detect.symbols import Symbols

HEADER: Final = struct.Struct("<8s16s")
MAGIC: Final = b"menshenJ"
RECORD: Final = struct.Struct("<II")
COUNTS: Final = struct.Struct("<qIIII")
MAX_RECORD: Final = 1 << 28
_FIRST: Final = 1 << 17
"""Events that there is room for at first; what is not used costs nothing."""

Array = NDArray[Any]


@dataclass(eq=False)
class Content:
    """What a journal holds. Strings in the rows are keys of `values`."""

    boot: bytes
    """The host's boot id: times are comparable within one boot only."""
    values: dict[int, bytes] = field(default_factory=dict)
    contexts: list[Array] = field(default_factory=list)
    acts: list[Array] = field(default_factory=list)
    events: list[Array] = field(default_factory=list)
    clocks: list[tuple[int, int]] = field(default_factory=list)
    """Of each record: what was added to `time` to be nanoseconds since 1970, and how many events it has."""
    size: int = HEADER.size
    """Bytes that are whole."""
    torn: int = 0
    """Bytes after them."""

    def count(self) -> int:
        """Events."""
        return sum(map(len, self.events))


class Journal:
    """The file that is being written, and the same content in memory for when it is sealed."""

    def __init__(self, path: Path, boot: bytes, symbols: Symbols) -> None:
        self.path = path
        self.symbols = symbols
        self.boot = boot
        self.count = 0
        """Events so far."""
        self.size = HEADER.size
        self._events = np.zeros(_FIRST, EVENT_ROW)
        self._clocks: list[tuple[int, int]] = []
        self._contexts, self._acts = Rows(CONTEXT_ROW), Rows(ACT_ROW)
        self._sent = (0, 0)  # contexts and acts that the file has
        self._known = np.zeros(1024, bool)  # symbols whose strings it has
        self._values: dict[int, bytes] = {}
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(self._fd, [HEADER.pack(MAGIC, boot)])
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, columns: Columns, tags: Column, clock: int) -> None:
        """Write events. After an OSError (a full disk) the file is as it was, and the call may be repeated.

        `tags` is a symbol for each event; `clock` nanoseconds from CLOCK_BOOTTIME to CLOCK_REALTIME.
        """
        flattened = flat(columns, tags)
        events = self._room(len(tags))
        events["context"] = self._contexts.number(flattened)
        events["act"] = self._acts.number(flattened)
        for name in ("time", "target_pid", "port", "result", "lost"):
            events[name] = columns[name]
        contexts, acts = self._contexts.since(self._sent[0]), self._acts.since(self._sent[1])
        strings = self._unknown(contexts, acts)
        values = self.symbols.values(strings.tolist())
        pieces = _record(clock, strings, values, (contexts, acts, events))
        try:
            _write_all(self._fd, pieces)
        except OSError:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self._known[strings] = True
        self._values.update(zip(strings.tolist(), values, strict=True))
        self._sent = (len(self._contexts), len(self._acts))
        self._clocks.append((clock, len(events)))
        self.count += len(events)
        self.size += sum(map(len, pieces))

    def _room(self, count: int) -> Array:
        """Where the next events go."""
        if self.count + count > len(self._events):
            grown = np.zeros(max(2 * len(self._events), self.count + count), EVENT_ROW)
            grown[: self.count] = self._events[: self.count]
            self._events = grown
        return self._events[self.count : self.count + count]

    def _unknown(self, contexts: Array, acts: Array) -> NDArray[np.uint32]:
        if len(self._known) < len(self.symbols):
            grown = np.zeros(2 * len(self.symbols), bool)
            grown[: len(self._known)] = self._known
            self._known = grown
        named = np.zeros(len(self._known), bool)
        for rows, name in symbol_columns(contexts, acts):
            named[rows[name]] = True
        return np.flatnonzero(named & ~self._known).astype(np.uint32)

    def content(self) -> Content:
        """What was written."""
        contexts, acts = self._contexts.since(0)[: self._sent[0]], self._acts.since(0)[: self._sent[1]]
        events = self._events[: self.count]
        return Content(self.boot, self._values, [contexts], [acts], [events], self._clocks, self.size)

    def sync(self) -> None:
        """Have the disk keep what was written."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """End writing; the file stays until it is sealed."""
        os.close(self._fd)


def _record(clock: int, strings: Array, values: list[bytes], rows: tuple[Array, Array, Array]) -> list[Any]:
    """The pieces of a record, none of them copied. `rows` are contexts, acts and events."""
    lengths = np.fromiter(map(len, values), "<u4", len(values))
    counts = COUNTS.pack(clock, len(strings), *map(len, rows))
    arrays = [array.view(np.uint8).data for array in (strings, lengths, *rows)]
    pieces: list[Any] = [counts, *arrays, b"".join(values)]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return [RECORD.pack(sum(map(len, pieces)), crc), *pieces]


def _write_all(fd: int, pieces: list[Any]) -> None:
    size = sum(map(len, pieces))
    done = os.writev(fd, pieces)
    if done < size:
        rest = memoryview(b"".join(pieces))[done:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def read(path: Path) -> Content:
    """All that is whole in a journal. ValueError if it is none of ours; OSError."""
    return decode(path.read_bytes())


def decode(data: bytes) -> Content:
    """The same from bytes."""
    if len(data) < HEADER.size:
        return Content(bytes(16), size=0, torn=len(data))
    magic, boot = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("not a journal, or of another version")
    content = Content(boot)
    for payload in _payloads(data):
        if not _decode_payload(payload, content):
            break
        content.size += RECORD.size + len(payload)
    content.torn = len(data) - content.size
    return content


_ARRAYS: Final = (np.dtype("<u4"), np.dtype("<u4"), CONTEXT_ROW, ACT_ROW, EVENT_ROW)


def _size(count: int, dtype: np.dtype[Any]) -> int:
    return count * dtype.itemsize


def _payloads(data: bytes) -> Iterator[memoryview]:
    at, view = HEADER.size, memoryview(data)
    while at + RECORD.size <= len(data):
        size, crc = RECORD.unpack_from(data, at)
        payload = view[at + RECORD.size : at + RECORD.size + size]
        if size > MAX_RECORD or len(payload) < size or zlib.crc32(payload) != crc:
            return
        yield payload
        at += RECORD.size + size


def _decode_payload(payload: memoryview, content: Content) -> bool:
    """Add a record; whether it is what it says."""
    if len(payload) < COUNTS.size:
        return False
    clock, strings, contexts, acts, events = COUNTS.unpack_from(payload)
    counts = (strings, strings, contexts, acts, events)
    if COUNTS.size + sum(map(_size, counts, _ARRAYS)) > len(payload):
        return False
    at = COUNTS.size
    arrays = []
    for count, dtype in zip(counts, _ARRAYS, strict=True):
        arrays.append(np.frombuffer(payload, dtype, count, at))
        at += _size(count, dtype)
    numbers, lengths, context_rows, act_rows, event_rows = arrays
    if at + int(lengths.sum()) != len(payload):
        return False
    for number, length in zip(numbers.tolist(), lengths.tolist(), strict=True):
        content.values[number] = bytes(payload[at : at + length])
        at += length
    content.contexts.append(context_rows)
    content.acts.append(act_rows)
    content.events.append(event_rows)
    content.clocks.append((clock, len(event_rows)))
    return True
