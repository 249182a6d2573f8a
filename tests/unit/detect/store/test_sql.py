"""Hunting by SQL: the view says what the events say, and the SQL reaches nothing else."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpf_lsm.observation import Type
from detect.store.history import History, StoreError
from detect.store.settings import StoreSettings
from detect.store.sql import COLUMNS, Limits, ask
from detect.store.store import Store
from detect.store.text import to_text
from detect.symbols import Symbols
from tests.unit.detect.store.host import HandClock, random_batch

LIMITS = Limits()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments and a journal: 900 events."""
    folder = tmp_path_factory.mktemp("store")
    symbols = Symbols()
    store = Store(settings(folder), clock=HandClock(), background=False)
    for seed in range(3):
        store.append(random_batch(seed, 300, symbols, first=seed * 10**6))
        if seed < 2:
            store.seal()
    return folder


def settings(folder: Path) -> StoreSettings:
    return StoreSettings(folder=folder, min_free=0)


def rows(folder: Path, sql: str, *parameters: object, limits: Limits = LIMITS) -> list[tuple[Any, ...]]:
    return list(ask(History(folder), sql, limits, parameters).rows)


def test_sealed_and_unsealed_events_are_one_table(folder: Path) -> None:
    history = History(folder)
    assert len(history.snapshot.listing.segments) == 2
    assert len(history.snapshot.tail) == 1
    assert rows(folder, "SELECT count(*), count(DISTINCT boottime) FROM events")[0][0] == 900


def test_the_view_says_what_the_events_say(folder: Path) -> None:
    symbols = Symbols()
    given = [random_batch(seed, 300, symbols, first=seed * 10**6) for seed in range(3)]
    clock = HandClock()
    expected = []
    for batch in given:
        for at in range(len(batch)):
            text = {name: to_text(batch.symbols[int(batch[name][at])]) for name in ("exe", "path")}
            text = {
                name: {"(lost)": "\\lost"}.get(value, value) if batch[name][at] == 2 else value
                for name, value in text.items()
            }
            expected.append(
                (
                    int(batch["time"][at]),
                    (int(batch["time"][at]) + clock.date - clock.now) // 1000,
                    Type(int(batch["type"][at])).word,
                    f"{batch['session'][at]:x}",
                    text["exe"],
                    text["path"],
                    int(batch["tid"][at]),
                    int(batch["result"][at]),
                    f"{batch['digest'][at]:016x}",
                )
            )
    found = rows(
        folder,
        "SELECT boottime, epoch_us(time), type, session, exe, path, tid, result, digest FROM events",
    )
    assert sorted(found) == sorted(expected)


def test_an_address_is_text(folder: Path) -> None:
    four = rows(folder, "SELECT DISTINCT address FROM events WHERE family = 4")
    assert four
    assert all(address.count(".") == 3 for (address,) in four)
    assert all(":" in address for (address,) in rows(folder, "SELECT address FROM events WHERE family = 6"))


def test_arguments_are_one_line(folder: Path) -> None:
    found = rows(folder, "SELECT count(*) FROM events WHERE args = 'curl -o /tmp/x'")
    assert found[0][0] > 50


def test_every_column_can_be_asked_for(folder: Path) -> None:
    [row] = rows(folder, f"SELECT {', '.join(COLUMNS)} FROM events LIMIT 1")
    assert len(row) == len(COLUMNS)


OUTSIDE = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT getenv('HOME')",
    "SELECT * FROM history",
    "COPY events TO '/tmp/stolen.csv'",
    "ATTACH '/tmp/other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "RESET ALL",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW events",
    "DELETE FROM events",
    "EXPLAIN ANALYZE COPY events TO '/tmp/stolen.csv'",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SELECT 1; COPY events TO '/tmp/stolen.csv'",
    "",
    ";",
    "SELECT",
    "not SQL at all",
    "SELECT nothing FROM events",
    "SELECT '\x1b[31m' FROM nowhere",
    "SELECT 1/0 + 'x'::INTEGER",
]


@pytest.mark.parametrize("sql", OUTSIDE)
def test_anything_but_a_select_over_the_events_is_refused(folder: Path, sql: str) -> None:
    stolen = Path("/tmp/stolen.csv")
    with pytest.raises(StoreError):
        rows(folder, sql)
    assert not stolen.exists()


def test_no_sql_changes_the_store(folder: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    some = next(path for path in before if path.suffix == ".parquet")
    for sql in (f"COPY events TO '{some}'", f"COPY events TO '{folder}/more.parquet'"):
        with pytest.raises(StoreError):
            rows(folder, sql)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


def test_a_query_is_stopped_when_its_time_is_over(folder: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match="was stopped after"):
        rows(
            folder,
            "SELECT max(hash(a.pid, b.pid, c.pid)) FROM events a, events b, events c, events d",
            limits=Limits(seconds=0.5),
        )
    assert time.monotonic() - began < 10


def test_a_query_is_stopped_when_it_needs_too_much_memory(folder: Path) -> None:
    with pytest.raises(StoreError, match="needs more than 64 MB"):
        rows(
            folder,
            "SELECT a.time, b.args || a.args AS x FROM events a, events b, events c ORDER BY x, a.time",
            limits=Limits(memory_bytes=64 << 20, seconds=300),
        )


def test_a_parameter_is_no_sql(folder: Path) -> None:
    assert rows(folder, "SELECT count(*) FROM events WHERE exe = ?", "' OR 1=1 --") == [(0,)]


@pytest.mark.parametrize("table", ["events", "contexts", "acts"])
@pytest.mark.parametrize("harm", ["short", "middle"])
def test_a_damaged_segment_is_left_out_and_named(folder: Path, tmp_path: Path, table: str, harm: str) -> None:
    copied = tmp_path / "store"
    shutil.copytree(folder, copied)
    path = copied / "000001-000001" / f"{table}.parquet"
    data = path.read_bytes()
    end = len(data) // 2
    path.write_bytes(data[:end] if harm == "short" else data[:20] + bytes(end - 20) + data[end:])
    history = History(copied)
    answer = ask(history, f"SELECT {', '.join(COLUMNS)} FROM events")
    assert len(list(answer.rows)) == 600
    assert "000001-000001 (300 events)" in history.skipped[0]


PAGE = (Path(__file__).resolve().parents[4] / "docs/hunt.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.M | re.S)


def test_the_page_has_ten_queries_and_every_column() -> None:
    assert len(QUERIES) == 10
    table = PAGE[PAGE.index("| column | meaning |") : PAGE.index("Bytes of a string")]
    named = {
        name
        for line in table.splitlines()
        if "|" in line
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == set(COLUMNS)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_of_the_page_runs(folder: Path, query: str) -> None:
    rows(folder, query)


def test_an_empty_store_has_the_columns_too(tmp_path: Path) -> None:
    Store(settings(tmp_path), background=False).close()
    answer = ask(History(tmp_path), "SELECT * FROM events")
    assert answer.columns == tuple(COLUMNS)
    assert list(answer.rows) == []


def test_where_there_is_no_store_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        History(tmp_path / "nowhere")


def test_times_out_of_range_are_no_error(tmp_path: Path) -> None:
    batch = random_batch(1, 3, Symbols())
    batch["time"][:] = np.array([0, 2**63, 2**64 - 1], np.uint64)
    with Store(settings(tmp_path), background=False) as store:
        store.append(batch)
    assert len(rows(tmp_path, "SELECT time, boottime FROM events")) == 3
