"""`menshen hunt`: ask the watch's history by SQL."""

from __future__ import annotations

import csv
import datetime
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from enforcer.escape import escape
from enforcer.history.store import open_history, store_option, tell_skipped


@click.command()
@click.argument("sql")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.option("-n", "--rows", type=click.IntRange(1), help="At most so many rows. Default: 1000 in a table.")
@click.option("--seconds", type=click.FloatRange(0.1, 86400), default=60.0, show_default=True)
@click.option("--memory", type=click.IntRange(64), default=1024, show_default=True, help="Megabytes.")
@store_option
def hunt(sql: str, *, output: str, rows: int | None, seconds: float, memory: int, store: Path | None) -> None:
    """Run one SELECT over the view `events`; docs/hunt.md lists its columns.

    Example: menshen hunt "SELECT exe, count(*) FROM events WHERE type = 'connect' GROUP BY exe"
    """
    from detect.store.history import StoreError  # noqa: PLC0415 - numpy and pyarrow
    from detect.store.sql import Limits, ask  # noqa: PLC0415 - duckdb

    history = open_history(store)
    try:
        answer = ask(history, sql, Limits(memory_bytes=memory << 20, seconds=seconds))
        limit = rows or (1000 if output == "table" else None)
        found = itertools.islice(answer.rows, None if limit is None else limit + 1)
        more = _SHOW[output](answer.columns, _up_to(found, limit))
    except StoreError as error:
        raise click.ClickException(escape_lines(str(error))) from None
    tell_skipped(history)
    if more:
        click.echo(f"there are more than {limit} rows; -n shows more", err=True)


class _Rows:
    """The first `limit` of the rows, and whether there were more."""

    def __init__(self, rows: Iterable[Sequence[Any]], limit: int | None) -> None:
        self._rows, self._limit = rows, limit
        self.more = False

    def __iter__(self) -> Any:
        for number, row in enumerate(self._rows):
            if number == self._limit:
                self.more = True
                return
            yield row


def _up_to(rows: Iterable[Sequence[Any]], limit: int | None) -> _Rows:
    return _Rows(rows, limit)


def _table(columns: Sequence[str], rows: _Rows) -> bool:
    from rich.console import Console  # noqa: PLC0415 - only for tables
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(Text(escape(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape(_text(value))) for value in row))
    console = Console(highlight=False)
    console.print(table, soft_wrap=not console.is_terminal)
    return rows.more


def _json(columns: Sequence[str], rows: _Rows) -> bool:
    for row in rows:
        line = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
        click.echo(json.dumps(line, ensure_ascii=True, separators=(",", ":")))
    return rows.more


def _csv(columns: Sequence[str], rows: _Rows) -> bool:
    writer = csv.writer(sys.stdout)
    writer.writerow([escape(name) for name in columns])
    for row in rows:
        writer.writerow([escape(_text(value)) for value in row])
    return rows.more


_SHOW = {"table": _table, "json": _json, "csv": _csv}


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value of DuckDB as JSON has it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, dict):
        return {str(_plain(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def escape_lines(text: str) -> str:
    """What DuckDB says of a query, line by line: it repeats what it was given."""
    return "\n".join(escape(line) for line in text.splitlines())
