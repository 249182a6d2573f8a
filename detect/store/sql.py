"""The store by SQL: a view `events` over the sealed segments and what is not sealed yet, read by DuckDB.

The SQL is a stranger's: one SELECT, no file but the store's own, bounded memory and time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bpf_lsm.observation import Type
from detect.store.history import History, StoreError
from detect.store.part import Part
from detect.store.schema import NAMES, TEXTS, Column
from detect.store.segment import file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_KEY: Final = "((file_index::UBIGINT << 32) | {row})"
"""What joins the tables. One column, or the planner would join contexts with acts by their file alone."""
_TYPES: Final = " ".join(f"WHEN {one.value} THEN '{one.word}'" for one in Type)
_BATCH: Final = 1024

COLUMNS: Final = {
    "time": "make_timestamp_ns(try_cast(e.time::HUGEINT + e.clock AS BIGINT))",
    "type": f"CASE a.type {_TYPES} ELSE 'type-' || a.type END",
    "session": "printf('%x', c.session)",
    "process": "c.process",
    "parent": "c.parent",
    "exe": "c.exe",
    "args": "replace(c.args, chr(0), ' ')",
    "comm": "c.comm",
    "path": "a.path",
    "path2": "a.path2",
    "address": "a.address",
    "port": "e.port",
    "result": "e.result",
    "detail": "a.detail",
    "target_pid": "e.target_pid",
    "pid": "c.pid",
    "tid": "((c.pid::BIGINT + c.thread) % 4294967296)::UINTEGER",
    "ppid": "c.ppid",
    "sid": "c.sid",
    "uid": "c.uid",
    "login_uid": "nullif(c.login_uid, 4294967295)",
    "identity": "c.identity",
    "container": "c.container",
    "parent_exe": "c.parent_exe",
    "parent_args": "replace(c.parent_args, chr(0), ' ')",
    "tags": "a.tags",
    "family": "a.family",
    "protocol": "a.protocol",
    "flags": "a.flags",
    "inode": "a.inode",
    "device": "a.device",
    "digest": "printf('%016x', c.digest)",
    "subject": "c.subject",
    "target": "a.target",
    "rule": "a.rule",
    "object_class": "a.object_class",
    "cgroup": "c.cgroup",
    "mnt_ns": "c.mnt_ns",
    "generation": "c.generation",
    "lost": "e.lost",
    "boot": "c.boot",
    "boottime": "e.time",
}
"""The view: column -> what it is made of. docs/hunt.md says what each means."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a query may take."""

    memory_bytes: int = 1 << 30
    seconds: float = 60.0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query, in the order of its columns."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


def ask(history: History, sql: str, limits: Limits = Limits(), parameters: Sequence[object] = ()) -> Answer:
    """Run one SELECT over the view `events`. StoreError says what is wrong with it.

    A segment that turns out to be damaged is left out and named in `history.skipped`.
    """
    import duckdb  # noqa: PLC0415 - heavy

    while True:
        known = len(history.skipped)
        connection = connect(history, limits)
        try:
            _only_select(connection, sql)
            return _run(connection, sql, limits, parameters)
        except duckdb.Error as error:
            connection.close()
            wrong_query = (
                duckdb.ParserException,
                duckdb.BinderException,
                duckdb.CatalogException,
                duckdb.PermissionException,
                duckdb.DataError,
                duckdb.InterruptException,
                duckdb.OutOfMemoryException,
            )
            if not isinstance(error, wrong_query):  # then it may be a file
                history.verify()
                if len(history.skipped) > known:
                    continue
            raise StoreError(_sentence(error, limits)) from None


def _sentence(error: Exception, limits: Limits) -> str:
    import duckdb  # noqa: PLC0415 - heavy

    if isinstance(error, duckdb.InterruptException):
        text = f"the query was stopped after {limits.seconds:g} seconds"
        return f"{text}; ask for less, for example by time or by session"
    if isinstance(error, duckdb.OutOfMemoryException):
        text = f"the query needs more than {limits.memory_bytes >> 20} MB"
        return f"{text}; ask for fewer columns or rows"
    return str(error)


def connect(history: History, limits: Limits) -> duckdb.DuckDBPyConnection:
    """A connection that has the view, and can reach nothing else."""
    import duckdb  # noqa: PLC0415 - heavy

    connection = duckdb.connect()
    entries = history.readable()
    folders = [history.folder.absolute() / entry.name for entry in entries]
    files = {
        table: [str(file(folder, table)) for folder in folders] for table in ("events", "contexts", "acts")
    }
    for table, found in _tail(history.snapshot.tail).items():
        connection.register(f"tail_{table}", found)
    sources = {
        table: _source(table, names, [entry.boot for entry in entries]) for table, names in files.items()
    }
    columns = ", ".join(f"{made} AS {name}" for name, made in COLUMNS.items())
    connection.execute(
        f"CREATE VIEW events AS SELECT {columns} FROM ({sources['events']}) e "  # noqa: S608 - our own names
        f"JOIN ({sources['contexts']}) c ON e.context_key = c.key "
        f"JOIN ({sources['acts']}) a ON e.act_key = a.key"
    )
    allowed = ", ".join(_quoted(name) for names in files.values() for name in names)
    for setting in (
        f"memory_limit = '{limits.memory_bytes >> 20}MiB'",
        f"threads = {limits.threads}",
        "temp_directory = ''",
        "preserve_insertion_order = false",
        "python_enable_replacements = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _source(table: str, files: list[str], boots: list[str]) -> str:
    """The rows of one table, sealed and not, with the keys that join them."""
    tail = f"SELECT * FROM tail_{table}"  # noqa: S608 - our own names
    if not files:
        return tail
    names = ", ".join(NAMES[table])
    keys = {
        "events": f"{_KEY.format(row='context')} AS context_key, {_KEY.format(row='act')} AS act_key",
        "contexts": f"{_KEY.format(row='file_row_number')} AS key, [{', '.join(map(_quoted, boots))}]"
        "[file_index::BIGINT + 1] AS boot",
        "acts": f"{_KEY.format(row='file_row_number')} AS key",
    }
    listed = ", ".join(map(_quoted, files))
    return f"SELECT {names}, {keys[table]} FROM read_parquet([{listed}]) UNION ALL {tail}"  # noqa: S608


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _tail(parts: Sequence[tuple[str, int, Part]]) -> dict[str, pa.Table]:
    """What is not sealed, with keys that no file has."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    found: dict[str, list[pa.Table]] = {"events": [], "contexts": [], "acts": []}
    empty = Part.empty()
    for number, (boot, part) in enumerate([("", empty), *((boot, part) for boot, _, part in parts)]):
        base = np.uint64((1 << 63) + (number << 32))
        for table, columns in (("events", part.events), ("contexts", part.contexts), ("acts", part.acts)):
            arrays = {
                name: pc.take(part.values, pa.array(columns[name]))
                if name in TEXTS[table]
                else pa.array(np.ascontiguousarray(columns[name]))
                for name in NAMES[table]
            }
            if table == "events":
                arrays["context_key"] = pa.array(_keys(base, columns["context"]))
                arrays["act_key"] = pa.array(_keys(base, columns["act"]))
            else:
                count = len(columns[NAMES[table][0]])
                arrays["key"] = pa.array(_keys(base, np.arange(count)))
                if table == "contexts":
                    arrays["boot"] = pa.array([boot] * count, pa.string())
            found[table].append(pa.table(arrays))
    return {table: pa.concat_tables(pieces) for table, pieces in found.items()}


def _keys(base: np.uint64, rows: Column) -> Column:
    return base + rows.astype(np.uint64)


def _only_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb  # noqa: PLC0415 - heavy

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise StoreError("a hunt is one SELECT over the view `events`; `DESCRIBE events` lists its columns")


def _run(
    connection: duckdb.DuckDBPyConnection, sql: str, limits: Limits, parameters: Sequence[object]
) -> Answer:
    timer = threading.Timer(limits.seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        result = connection.execute(sql, list(parameters) or None)
        columns = tuple(one[0] for one in result.description or ())
        first = result.fetchmany(_BATCH)
    except BaseException:
        timer.cancel()
        raise
    return Answer(columns, _rows(connection, result, first, timer, limits))


def _rows(
    connection: duckdb.DuckDBPyConnection,
    result: Any,
    found: list[Any],
    timer: threading.Timer,
    limits: Limits,
) -> Iterator[tuple[Any, ...]]:
    import duckdb  # noqa: PLC0415 - heavy

    try:
        while found:
            yield from found
            found = result.fetchmany(_BATCH)
    except duckdb.Error as error:
        raise StoreError(_sentence(error, limits)) from None
    finally:
        timer.cancel()
        connection.close()
