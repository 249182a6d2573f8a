"""A sealed piece of history: a folder of four Parquet files that never change.

It is written beside its place, brought to the disk and renamed, so that it is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detect.store.entry import TEMPORARY, Entry, rename, sync_folder, write_entry
from detect.store.part import Part, Sides
from detect.store.schema import GROUP, NAMES, TABLES, Column, Columns, Kept

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


_RELEASE_SECONDS: Final = 10.0
_FREQUENT: Final = 4
"""Row groups of acts, the most frequent ones, that are kept when they were read once."""


def file(folder: Path, table: str) -> Path:
    """One of the four."""
    return folder / f"{table}.parquet"


class Writer:
    """Writes a segment, its events in pieces. Leave it by `publish`, or by `abandon` after any error."""

    def __init__(self, folder: Path, level: int = 1) -> None:
        self.folder = folder
        self._new = folder.with_name(folder.name + TEMPORARY)
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir(mode=0o700)
        self._level = level
        self._open: dict[str, tuple[Any, pq.ParquetWriter]] = {}

    def write(self, table: str, columns: Columns, values: pa.StringArray | None = None) -> None:
        """Add rows to one of the tables, in row groups that each have dictionaries of their own."""
        import pyarrow as pa  # noqa: PLC0415 - heavy

        size = GROUP[table]
        for first in range(0, len(next(iter(columns.values()))), size):
            arrays = [
                _array(column, columns[column.name][first : first + size], values) for column in TABLES[table]
            ]
            found = pa.table(arrays, names=list(NAMES[table]))
            if table not in self._open:
                self._open[table] = self._begin(table, found.schema)
            self._open[table][1].write_table(found, row_group_size=size)

    def _begin(self, table: str, schema: pa.Schema) -> tuple[Any, pq.ParquetWriter]:
        import pyarrow as pa  # noqa: PLC0415 - heavy
        import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

        fd = os.open(file(self._new, table), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        sink = os.fdopen(fd, "wb")
        writer = pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            schema,
            compression="zstd",
            compression_level=self._level,
            use_dictionary=[one.name for one in TABLES[table] if one.encoding == "DICTIONARY"],
            column_encoding={one.name: one.encoding for one in TABLES[table] if one.encoding != "DICTIONARY"},
            write_statistics=["time", "session"],
            write_page_checksum=True,
            data_page_version="2.0",
            store_schema=False,
        )
        return sink, writer

    def finish(self) -> int:
        """Have the files on the disk. Their size in bytes."""
        size = 0
        for sink, writer in self._open.values():
            writer.close()
            sink.flush()
            size += sink.tell()
            os.fsync(sink.fileno())
            sink.close()
        self._open.clear()
        return size

    def publish(self, entry: Entry) -> None:
        """Give the segment its name: from now on it is whole."""
        write_entry(self._new, entry)
        sync_folder(self._new)
        shutil.rmtree(self.folder, ignore_errors=True)  # of an attempt that could not be listed
        rename(self._new, self.folder)

    def abandon(self) -> None:
        """Leave nothing behind."""
        for sink, writer in self._open.values():
            for end in (writer, sink):
                with contextlib.suppress(OSError, ValueError):  # what cannot be flushed is to be removed
                    end.close()
            writer.is_open = False  # or it would try again when it is collected
        self._open.clear()
        shutil.rmtree(self._new, ignore_errors=True)


def _array(column: Kept, values: Column, texts: pa.StringArray | None) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    if column.code != "text":
        return pa.array(np.ascontiguousarray(values))
    if column.encoding != "DICTIONARY":
        return pc.take(texts, pa.array(values))
    assert texts is not None
    used = np.zeros(len(texts), np.bool_)  # quicker than to sort them
    used[values] = True
    numbers = np.flatnonzero(used)
    place = np.empty(len(used), np.int32)
    place[numbers] = np.arange(len(numbers))
    return pa.DictionaryArray.from_arrays(pa.array(place[values]), pc.take(texts, pa.array(numbers)))


class Memory:
    """What Arrow and the C library keep for the next time."""

    def __init__(self) -> None:
        self._released = time.monotonic()

    def release(self) -> None:
        """Give it back to the system, unless the next time is seconds away."""
        now = time.monotonic()
        if now - self._released >= _RELEASE_SECONDS:
            self._released = now
            release()


def release() -> None:
    """Give back to the system what is kept for the next time."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    pa.default_memory_pool().release_unused()
    pa.system_memory_pool().release_unused()


def session_rows(contexts: Columns, sessions: Column) -> dict[str, Column]:
    """The table `sessions`, from the sorted contexts and the session of each event in their order."""
    first, events = _runs(sessions)
    _, contexts_of = _runs(contexts["session"])
    return {"session": first, "events": events, "contexts": contexts_of}


def _runs(sorted_values: Column) -> tuple[Column, Column]:
    """The distinct values of a sorted column, and how often each is there."""
    begins = np.flatnonzero(np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]]))
    counts = np.diff(np.concatenate([begins, [len(sorted_values)]]))
    return sorted_values[begins], counts.astype(np.uint32)


class Segment:
    """A segment that is open for reading. pyarrow's errors and OSError mean that it is damaged or gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, pq.ParquetFile] = {}
        self._index: tuple[Column, Column, Column] | None = None
        self._frequent: dict[int, pa.Table] = {}

    def table(self, name: str) -> pq.ParquetFile:
        """One of the files."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

        if name not in self._files:
            texts = [one.name for one in TABLES[name] if one.code == "text"]
            found = pq.ParquetFile(
                file(self.folder, name),
                memory_map=True,
                page_checksum_verification=True,
                read_dictionary=texts,
                pre_buffer=False,
            )
            if found.schema_arrow.names != list(NAMES[name]):
                raise ValueError(f"{file(self.folder, name)}: other columns than this version writes")
            self._files[name] = found
        return self._files[name]

    def open(self) -> None:
        """Look at the ends of the files, where Parquet says what is in them."""
        for name in TABLES:
            self.table(name)

    def rows(self, name: str, first: int, end: int, columns: list[str] | None = None) -> pa.Table:
        """Rows `first` to `end` of a table."""
        size = GROUP[name]
        groups = list(range(first // size, -(-end // size)))
        found = self.table(name).read_row_groups(groups, columns=columns, use_threads=False)
        return found.slice(first - groups[0] * size if groups else 0, end - first)

    def _sessions(self) -> tuple[Column, Column, Column]:
        """The index: sessions, and where the events and the contexts of each end."""
        if self._index is None:
            found = self.table("sessions").read(use_threads=False)
            ends = [np.cumsum(found[name].to_numpy(), dtype=np.int64) for name in ("events", "contexts")]
            for table, end in zip(("events", "contexts"), ends, strict=True):
                if not len(end) or end[-1] != self.table(table).metadata.num_rows:
                    raise ValueError(f"{file(self.folder, 'sessions')}: does not fit {table}")
            self._index = (found["session"].to_numpy(), *ends)
        return self._index

    def place(self, session: int) -> tuple[int, int, int, int] | None:
        """First and end of the rows of events, then of contexts."""
        sessions, events, contexts = self._sessions()
        at = int(np.searchsorted(sessions, np.uint64(session)))
        if at == len(sessions) or int(sessions[at]) != session:
            return None
        return (
            int(events[at - 1]) if at else 0,
            int(events[at]),
            int(contexts[at - 1]) if at else 0,
            int(contexts[at]),
        )

    def session(self, session: int) -> Part | None:
        """The events of one session, in the order of time."""
        place = self.place(session)
        if place is None:
            return None
        events = _numpy(self.rows("events", *place[:2]))
        contexts = self.rows("contexts", *place[2:])
        events["context"] = events["context"] - np.uint32(place[2])
        acts, places = np.unique(events["act"], return_inverse=True)
        events["act"] = places.astype(np.uint32)
        return _part(contexts, self._acts(acts), events, few=True)

    def _acts(self, numbers: Column) -> pa.Table:
        """These acts: only the row groups that have any."""
        import pyarrow as pa  # noqa: PLC0415 - heavy

        size = GROUP["acts"]
        groups, first = np.unique(numbers // size, return_index=True)
        ends = [*first[1:].tolist(), len(numbers)]
        parts = [
            self._act_group(group).take(pa.array(numbers[begin:end] - group * size))
            for group, begin, end in zip(groups.tolist(), first.tolist(), ends, strict=True)
        ]
        return pa.concat_tables(parts)

    def _act_group(self, group: int) -> pa.Table:
        """A row group of acts. The first ones are asked for again and again, and are kept."""
        if group in self._frequent:
            return self._frequent[group]
        found = self.table("acts").read_row_group(group, use_threads=False)
        if group < _FREQUENT:
            self._frequent[group] = found
        return found

    def index(self) -> tuple[Column, Column]:
        """The sessions, and the row where the events of each end."""
        sessions, events, _ = self._sessions()
        return sessions, events

    def sides(self) -> Sides:
        """All contexts and acts."""
        contexts, acts = (self.table(name).read(use_threads=False) for name in ("contexts", "acts"))
        found = _part(contexts, acts, {}, few=False)
        return Sides(found.values, found.contexts, found.acts)

    def part(self) -> Part:
        """All of it; the index is looked at too."""
        self._sessions()
        events = _numpy(self.table("events").read(use_threads=False))
        contexts, acts = (self.table(name).read(use_threads=False) for name in ("contexts", "acts"))
        return _part(contexts, acts, events, few=False)

    def groups(self) -> Iterator[dict[str, Column]]:
        """The events, one row group at a time."""
        for group in range(self.table("events").num_row_groups):
            yield _numpy(self.table("events").read_row_group(group, use_threads=False))


def _numpy(table: pa.Table) -> dict[str, Column]:
    return {name: table[name].to_numpy() for name in table.column_names}


def _part(contexts: pa.Table, acts: pa.Table, events: Columns, *, few: bool) -> Part:
    """With all texts in one place. `few`: only those that are used, as of a session; of a whole segment
    all are, and the same text may be there several times."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    texts: list[Any] = []
    count = 0
    columns: dict[str, dict[str, Column]] = {"contexts": {}, "acts": {}}
    for name, table in (("contexts", contexts), ("acts", acts)):
        for column in TABLES[name]:
            array = table[column.name]
            if column.code != "text":
                columns[name][column.name] = array.to_numpy()
                continue
            pieces = [np.empty(0, np.uint32)]
            for chunk in array.chunks:
                index, dictionary = chunk.indices.to_numpy(), chunk.dictionary
                if few:
                    used, index = np.unique(index, return_inverse=True)
                    dictionary = pc.take(dictionary, pa.array(used))
                texts.append(dictionary)
                pieces.append(index.astype(np.uint32) + np.uint32(count))
                count += len(dictionary)
            columns[name][column.name] = np.concatenate(pieces)
    values = pa.chunked_array(texts, pa.string()).combine_chunks()
    return Part(values, columns["contexts"], columns["acts"], events)
