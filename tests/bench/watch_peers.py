"""The same rules and events with what is there already: PyPI's eql, and pySigma's backend for SQLite.

Both get events that are decoded and enriched, so that only the matching is compared; what a peer cannot say
is left out, and said.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, Final

from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules import model
from detect.rules.engine import RuleEngine
from detect.rules.fields import CATEGORIES, MENSHEN, Field
from detect.rules.model import All, Condition, Leaf, Not, Pair
from detect.rules.values import Compare, Has, Regex, Text, Wild, Within, text
from tests.bench.many_rules import documents, rules
from tests.bench.stream import stream

Row = dict[str, Any]
_WILD: Final = {Wild.ANY: "*", Wild.ONE: "?"}


def rows(count: int) -> Iterator[Row]:
    """The first events of the stream, one by one."""
    decoder, enricher = Decoder(), Enricher()
    for raw in stream(count):
        batch = enricher.enrich(decoder.decode(raw))
        for at in range(len(batch)):
            yield batch.row(at)


def _fields(kind: int) -> dict[str, Field]:
    found = dict(MENSHEN.fields)
    for category in CATEGORIES.values():
        if kind in category.types:
            found |= category.fields
    return found


def _value(field: Field, row: Row) -> Any:
    value = field.value(row)
    return value if value is None or isinstance(value, int) else text(value).decode("utf-8", "replace")


def eql(count: int, events: int) -> float:
    """Events a second through eql's Python engine with `count` rules."""
    import eql

    engine, left_out = eql.PythonEngine(), 0
    found: list[Any] = []
    asked: set[str] = set()
    for rule in rules(count):
        try:
            condition = _eql(rule.condition)
        except ValueError:
            left_out += 1
            continue
        kinds = ", ".join(str(int(kind)) for kind in sorted(rule.types))
        engine.add_query(eql.parse_query(f"any where kind in ({kinds}) and {condition}"))
        asked |= {field.name for field in rule.fields()}
    engine.add_output_hook(found.append)
    made = []
    for row in rows(events):
        data = {name: _value(field, row) for name, field in _fields(row["type"]).items() if name in asked}
        made.append(eql.Event("any", row["time"], {**data, "kind": row["type"]}))
    begin = time.process_time()
    for event in made:
        engine.stream_event(event)
    seconds = time.process_time() - begin
    _tell("eql", count, len(made), len(found), left_out)
    return len(made) / seconds


def _eql(condition: Condition) -> str:
    """A condition in eql; ValueError for what it cannot say."""
    if isinstance(condition, Pair):
        raise ValueError("fieldref")
    if isinstance(condition, Not):
        return f"not ({_eql(condition.of)})"
    if isinstance(condition, All):
        return "(" + " and ".join(_eql(each) for each in condition.of) + ")"
    if isinstance(condition, model.Any):
        return "(" + " or ".join(_eql(each) for each in condition.of) + ")"
    assert isinstance(condition, Leaf)
    field, test = condition.field.name, condition.test
    if isinstance(test, Text):
        pattern = "".join(part.decode() if isinstance(part, bytes) else _WILD[part] for part in test.parts)
        return f"wildcard({field}, {json.dumps(pattern)})" if pattern else f"{field} == null"
    if isinstance(test, Regex):
        return f"match({field}, {json.dumps('.*(' + test.source.decode() + ').*')})"
    if isinstance(test, Within):
        return f'cidrMatch({field}, "{test.network}")'
    if isinstance(test, Has):
        return f"{field} {'!=' if test.there else '=='} null"
    assert isinstance(test, Compare)
    return f"{field} {test.order.value} {test.number}"


def sqlite(count: int, events: int) -> float:
    """Events a second through SQLite with the queries of pySigma's backend, the table in memory."""
    from sigma.backends.sqlite.sqlite import sqliteBackend
    from sigma.collection import SigmaCollection
    from sigma.exceptions import SigmaError

    backend: Any = sqliteBackend()  # type: ignore[no-untyped-call]
    left_out = 0
    queries: list[str] = []
    for document, rule in zip(documents(count), rules(count), strict=True):
        kinds = ", ".join(f"'{kind.word}'" for kind in sorted(rule.types))
        try:
            (query,) = backend.convert(SigmaCollection.from_yaml(document))
        except (SigmaError, ValueError):
            left_out += 1
            continue
        before, _, after = str(query).partition(" WHERE ")
        queries.append(f"{before} WHERE type IN ({kinds}) AND ({after})")
    # SQLite's names have no case: Protocol and protocol are one, and say the same
    every = {name.lower(): name for each in (MENSHEN, *CATEGORIES.values()) for name in each.fields}
    names = sorted(every.values())
    base = sqlite3.connect(":memory:")
    base.create_function(
        "regexp", 2, lambda pattern, value: value is not None and re.search(pattern, value) is not None
    )
    base.execute(f"CREATE TABLE logs ({', '.join(f'`{name}`' for name in names)})")
    filler = f"INSERT INTO logs VALUES ({', '.join('?' for _ in names)})"
    total = 0
    for row in rows(events):
        fields = _fields(row["type"])
        base.execute(
            filler, [_small(_value(fields[name], row)) if name in fields else None for name in names]
        )
        total += 1
    matches = 0
    begin = time.process_time()
    for query in queries:
        try:
            matches += len(base.execute(query).fetchall())
        except sqlite3.Error:
            left_out += 1
    seconds = time.process_time() - begin
    _tell("pysigma-sqlite", count, total, matches, left_out)
    return total / seconds


def _tell(peer: str, count: int, events: int, matches: int, left_out: int) -> None:
    """What it found, beside what we find."""
    engine, ours = RuleEngine(rules(count)), 0
    decoder, enricher = Decoder(), Enricher()
    for raw in stream(events):
        tagged = engine.match(enricher.enrich(decoder.decode(raw)))
        ours += int((tagged.tag < count).sum())
    found = f"{matches:,} matches (ours {ours:,}), {left_out} of {count} rules left out"
    print(f"  {peer}: {events:,} events, {found}", flush=True)
    if not matches or left_out > count // 10:
        raise RuntimeError(f"{peer} does not do what it is compared for")


def _small(value: Any) -> Any:
    """SQLite's numbers are signed."""
    return value if not isinstance(value, int) or value < 1 << 63 else str(value)
