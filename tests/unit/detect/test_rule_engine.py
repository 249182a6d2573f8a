"""The engine's bounds, and what becomes of its findings."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from bpf_lsm.observation import Type
from detect.alert import Level
from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules import alerts, engine, reference, sources
from detect.rules.engine import RuleEngine
from detect.rules.model import Rule
from detect.rules.parse import parse
from detect.symbols import Symbols
from tests.unit.detect import records


def rule(name: str, selection: Any, level: str = "high", **more: Any) -> Rule:
    text = {
        "title": f"The rule {name}",
        "name": name,
        "logsource": {"product": "linux", "service": "menshen"},
        "detection": {"selection": selection, "condition": "selection"},
        "level": level,
        **more,
    }
    return parse(json.dumps(text).encode(), "made.yml")[0]


def enriched(rows: list[dict[str, Any]]) -> Batch:
    return records.enriched({"type": Type.FILE_WRITE, **row} for row in rows)


def names(found: RuleEngine, batch: Batch) -> list[list[str]]:
    tagged = found.match(batch)
    tags: list[list[str]] = [[] for _ in range(len(batch))]
    for event, tag in zip(tagged.event.tolist(), tagged.tag.tolist(), strict=True):
        tags[event].append(found.tags[tag])
    return tags


def test_an_event_carries_the_names_of_its_rules_and_their_tags_each_once() -> None:
    one = rule("one", {"path|startswith": "/a"}, tags=["attack.execution", "attack.t1059"])
    two = rule("two", {"path|endswith": "z"}, tags=["attack.execution"])
    found = RuleEngine([one, two])
    assert found.tags == ("one", "two", "attack.execution", "attack.t1059")
    batch = enriched([{"path": b"/az"}, {"path": b"/b"}, {"path": b"/bz"}])
    assert names(found, batch) == [
        ["one", "two", "attack.execution", "attack.t1059"],
        [],
        ["two", "attack.execution"],
    ]
    tagged = found.match(batch)
    assert tagged.event.dtype == tagged.tag.dtype == np.uint32


def test_no_rules_and_no_events_are_no_trouble() -> None:
    assert len(RuleEngine([]).match(enriched([{"path": b"/a"}])).event) == 0
    assert len(RuleEngine([rule("one", {"path": "/a"})]).match(enriched([])).event) == 0


def test_more_distinct_verdicts_than_are_kept_are_learnt_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CLASSES", 16)
    rules = [rule(f"bit-{bit}", {"path|contains": f"b{bit}."}) for bit in range(8)]
    found = RuleEngine(rules)
    paths = [b"/" + b"".join(b"b%d." % bit for bit in range(8) if value >> bit & 1) for value in range(256)]
    batch = enriched([{"path": path} for path in paths])
    assert names(found, batch) == [reference.matching(rules, batch.row(at)) for at in range(256)]
    assert found.renewed > 0


def test_more_distinct_findings_than_are_kept_are_learnt_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RESULTS", 8)
    rules = [rule(f"bit-{bit}", {"path|contains": f"b{bit}."}) for bit in range(5)]
    found = RuleEngine(rules)
    for value in range(32):
        path = b"/" + b"".join(b"b%d." % bit for bit in range(5) if value >> bit & 1)
        batch = enriched([{"path": path}])
        assert names(found, batch) == [reference.matching(rules, batch.row(0))]
    assert found.renewed > 0


@pytest.mark.parametrize(("module", "name"), [(engine, "COMBINATIONS"), (sources, "VALUES")])
def test_tables_that_are_full_forget_and_find_the_same(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, 8)
    rules = [
        rule("port", {"port|gte": 100, "path|contains": "x"}),
        rule("to", {"address|startswith": "10.", "uid|lt": 500}),
        rule("same", {"path|fieldref": "exe"}),
    ]
    found = RuleEngine(rules)
    for start in range(0, 600, 30):
        rows = [
            {
                "port": at,
                "uid": at,
                "path": b"/x%d" % (at % 7),
                "exe": b"/x%d" % (at % 3),
                "address": bytes([10 + at % 2, 0, at % 256, 1]) if at % 3 else bytes([at % 256]) * 16,
                "family": 4 if at % 3 else 6,
            }
            for at in range(start, start + 30)
        ]
        batch = enriched(rows)
        wanted = [reference.matching(rules, batch.row(at)) for at in range(30)]
        assert names(found, batch) == wanted
        assert any(wanted)


def test_many_columns_are_folded_into_one_key() -> None:
    fields = ["path", "path2", "exe", "args", "comm"]
    numbers = ["uid|gte", "detail|gte", "ppid|gte", "tid|gte", "session|gte", "sid|gte", "login_uid|gte"]
    rules = [
        rule(f"{field}-{at}", {f"{field}|endswith": f"{at}", numbers[at % 7]: at % 13, "port|lt": at * 9})
        for field in fields
        for at in range(40)
    ]
    columns = [*fields, *(number.partition("|")[0] for number in numbers)]

    def row(**given: int) -> dict[str, Any]:
        values = {"port": 100, **dict.fromkeys(columns, 39), **given}
        return {name: b"/%d" % value if name in fields else value for name, value in values.items()}

    # every value alone, for the classes; then every two columns against each other, all others equal
    rows = [row(**{name: value}) for name in columns for value in range(40)]
    rows += [
        row(**{one: first, two: second})
        for one, two in combinations(columns, 2)
        for first in range(0, 40, 7)
        for second in range(0, 40, 9)
    ]
    found, batch = RuleEngine(rules), enriched(rows)
    wanted = [reference.matching(rules, batch.row(at)) for at in range(len(batch))]
    assert names(found, batch) == [sorted(each, key=found.tags.index) for each in wanted]
    assert sum(map(len, wanted)) > 100


def test_keys_grow_with_the_classes_from_batch_to_batch() -> None:
    rules = [rule(f"both-{at}", {"path": f"/{at}", "exe|endswith": f"{at % 10}"}) for at in range(100)]
    found = RuleEngine(rules)
    for at in range(0, 100, 3):
        rows = [
            {"path": b"/%d" % (at + more), "exe": b"/x%d" % each} for more in range(3) for each in range(10)
        ]
        batch = enriched(rows)
        assert names(found, batch) == [reference.matching(rules, batch.row(each)) for each in range(30)]


def test_symbols_of_another_table_are_not_taken_for_those_of_the_last() -> None:
    rules = [rule("even", {"path|re": "[02468]$"}), rule("same", {"path|fieldref": "exe"})]
    found, decoder, enricher = RuleEngine(rules), Decoder(Symbols(64), numbers=16), Enricher()
    for at in range(0, 300, 3):
        rows = [
            {"type": Type.FILE_WRITE, "path": b"/%d" % each, "exe": b"/%d" % (each % 5)}
            for each in range(at, at + 3)
        ]
        batch = enricher.enrich(decoder.decode(records.raw(rows)))
        assert names(found, batch) == [reference.matching(rules, batch.row(each)) for each in range(3)]
    assert decoder.renewed > 3


def test_rules_of_a_lower_level_are_signals_and_alert_nobody() -> None:
    loud, quiet = (
        rule("loud", {"path": "/a"}, "medium", tags=["attack.impact"]),
        rule("quiet", {"path": "/a"}, "low"),
    )
    found = RuleEngine([loud, quiet])
    batch = enriched([{"path": b"/b"}, {"path": b"/a", "time": 7, "session": 3}])
    (alert,) = found.alerts(batch, found.match(batch))
    assert (alert.source, alert.name, alert.title, alert.level) == (
        "rule",
        "loud",
        "The rule loud",
        Level.MEDIUM,
    )
    assert (alert.time, alert.session, alert.place, alert.tags) == (7, 3, "made.yml:1", ("attack.impact",))
    assert alert.chain[0].event["path"] == "/a"


def test_a_flood_of_alerts_is_cut_and_counted() -> None:
    found = RuleEngine([rule("loud", {"path": "/a"})])
    batch = enriched([{"path": b"/a"}] * (alerts.PER_BATCH + 9))
    assert len(found.alerts(batch, found.match(batch))) == alerts.PER_BATCH
    assert found.alerter.suppressed == {"loud": 9}
