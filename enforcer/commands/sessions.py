"""`menshen sessions`: which sessions there were, the newest first."""

from __future__ import annotations

import json
from pathlib import Path

import click

from enforcer.escape import escape
from enforcer.history.store import open_history, store_option, tell_skipped
from enforcer.output import table

_SQL = """
SELECT session, boot, min(time) AS first, max(time) AS last, count(*) AS events,
    count(DISTINCT process) AS processes, max(login_uid) AS login_uid, arg_min(exe, time) AS first_exe,
    count(*) FILTER (WHERE type IN ('denial', 'would-deny')) AS denials,
    count(*) FILTER (WHERE tags <> '') AS tagged
FROM events
WHERE time >= now()::TIMESTAMP - to_seconds(?)
GROUP BY session, boot ORDER BY last DESC, session LIMIT ?
"""


_HEAD = (
    "session", "first (UTC)", "last (UTC)", "events", "processes", "login", "denials", "tagged", "began with",
)  # fmt: skip


@click.command()
@click.option("-n", "--last", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option(
    "--days", type=click.FloatRange(0.001), default=1.0, show_default=True, help="Only events this young."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@store_option
def sessions(*, last: int, days: float, output: str, store: Path | None) -> None:
    """List sessions with their login user, first program and counts. `menshen session ID` shows one."""
    from detect.store.history import StoreError  # noqa: PLC0415 - numpy and pyarrow
    from detect.store.sql import ask  # noqa: PLC0415 - duckdb

    history = open_history(store)
    try:
        answer = ask(history, _SQL, parameters=(days * 86_400, last))
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    tell_skipped(history)
    if output == "json":
        for row in rows:
            times = {name: row[name].isoformat(timespec="microseconds") for name in ("first", "last")}
            click.echo(json.dumps(row | times, ensure_ascii=True))
        return
    if not rows:
        click.echo(f"no session in the last {days:g} days")
        return
    table(
        [
            _HEAD,
            *(
                (
                    row["session"],
                    f"{row['first']:%Y-%m-%d %H:%M:%S}",
                    f"{row['last']:%Y-%m-%d %H:%M:%S}",
                    str(row["events"]),
                    str(row["processes"]),
                    "-" if row["login_uid"] is None else str(row["login_uid"]),
                    str(row["denials"]),
                    str(row["tagged"]),
                    escape(row["first_exe"]),
                )
                for row in rows
            ),
        ]
    )
