"""The engine finds what the plain reading of the rules finds, on any rules and any events."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bpf_lsm.observation import Flag, Type
from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules import reference
from detect.rules.engine import RuleEngine
from detect.rules.model import Rule
from detect.rules.parse import parse
from detect.symbols import Symbols
from tests.bench.stream import stream
from tests.unit.detect.records import enriched, raw

# few letters, so that values and patterns meet; and all that paths and arguments may hold besides
pieces = st.sampled_from(
    [
        b"a",
        b"A",
        b"b",
        b"/",
        b"/tmp/",
        b"-x",
        b" ",
        b"\0",
        b"\n",
        b"\x0b",
        b"\xff",
        b"\xc3\xa9",
        b"\xc3",
        b"*",
        b"?",
        b"\\",
        b"ss",
    ]
)
texts = st.lists(pieces, max_size=5).map(b"".join)
words = st.lists(
    st.sampled_from(["a", "A", "b", "/", "/tmp/", "-x", " ", "é", "É", "*", "?", "\\*", "\\?", "\\\\", "ss"]),
    max_size=4,
).map("".join)
regexes = st.lists(
    st.sampled_from(
        [
            "a",
            "A",
            "b",
            "/",
            ".",
            ".*",
            "^",
            "$",
            "[ab]",
            "[^a]",
            "(a|b)",
            "(?:b)",
            r"\s",
            r"\w",
            r"\d",
            r"\b",
            r"\W",
            "a{2}",
            "b?",
            "/tmp/",
            r"\x00",
            r"\n",
            "[[:alpha:]]",
            "(?i)B",
            "a{,2}",
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)
numbers = st.sampled_from([0, 1, 2, 22, 443, 1000, -2, 65535])
TEXTS = {
    "process_creation": [
        "Image",
        "CommandLine",
        "ParentImage",
        "ParentCommandLine",
        "comm",
        "identity",
        "path",
    ],
    "file_event": ["TargetFilename", "Image", "mode", "open", "args"],
    "file_rename": ["SourceFilename", "TargetFilename"],
    "network_connection": ["DestinationIp", "SourceIp", "Protocol", "Initiated", "family", "path"],
    "": ["path", "path2", "exe", "args", "flags", "type", "executable", "setid", "Initiated", "digest"],
}
NUMBERS = {
    "process_creation": ["ProcessId", "result", "uid"],
    "file_event": ["detail", "uid", "result"],
    "file_rename": ["result", "detail"],
    "network_connection": ["DestinationPort", "SourcePort", "result"],
    "": ["port", "result", "uid", "login_uid", "detail", "session"],
}


@st.composite
def items(draw: st.DrawFn, category: str) -> tuple[str, Any]:
    """One field with its modifiers, and its values."""
    kind = draw(st.sampled_from(["text", "text", "text", "regex", "number", "null", "exists", "other"]))
    field = draw(st.sampled_from(TEXTS[category]))
    if kind == "text":
        form = draw(
            st.sampled_from(
                ["", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|windash"]
            )
        )
        return field + form, draw(st.lists(words, min_size=1, max_size=3) if form else words)
    if kind == "regex":
        return field + "|re" + draw(st.sampled_from(["", "|i", "|s", "|m"])), draw(regexes)
    if kind == "null":
        return field, None
    if kind == "exists":
        return field + "|exists", draw(st.booleans())
    if kind == "other":
        if category == "network_connection":
            return "DestinationIp|cidr", draw(
                st.sampled_from(["10.0.0.0/8", "127.0.0.1/32", "::1/128", "0.0.0.0/0"])
            )
        return "exe|fieldref" + draw(st.sampled_from(["", "|startswith"])), draw(
            st.sampled_from(["path", "comm", "args"])
        )
    number = draw(st.sampled_from(NUMBERS[category]))
    form = draw(st.sampled_from(["", "|lt", "|gte", "|neq", "|contains"]))
    return number + form, str(draw(numbers)) if form == "|contains" else draw(numbers)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """A Sigma rule."""
    category = draw(st.sampled_from(sorted(TEXTS)))
    selection = st.lists(items(category), min_size=1, max_size=3).map(dict)
    keywords = st.lists(words.filter(bool), min_size=1, max_size=2)
    detection: dict[str, Any] = {
        f"sel{at}": draw(
            st.one_of(selection, selection, st.lists(selection, min_size=1, max_size=2), keywords)
        )
        for at in range(draw(st.integers(1, 3)))
    }
    forms = [
        "sel0",
        "not sel0",
        "all of sel*",
        "1 of sel*",
        "sel0 and not 1 of sel*",
        "not (sel0 or 1 of them)",
    ]
    detection["condition"] = draw(st.sampled_from(forms))
    source = {"category": category} if category else {"service": "menshen"}
    return {"title": "made", "logsource": {"product": "linux", **source}, "detection": detection}


addresses = st.sampled_from(
    [bytes([10, 1, 2, 3]), bytes([127, 0, 0, 1]), bytes(15) + b"\1", bytes(10) + b"\xff\xff\x0a\1\2\3"]
)
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*Type, 0, 200, 300, 65535]),
        "pid": st.integers(1, 4),
        "target_pid": st.integers(1, 4),
        "exe": texts,
        "args": texts,
        "path": texts,
        "path2": texts,
        "comm": texts,
        "address": addresses,
        "family": st.sampled_from([0, 1, 4, 6, 9]),
        "port": st.sampled_from([0, 22, 443, 65535]),
        "protocol": st.sampled_from([0, 6, 17, 200]),
        "uid": st.sampled_from([0, 1, 1000, 0xFFFF_FFFF]),
        "login_uid": st.sampled_from([0, 1000, 0xFFFF_FFFF]),
        "result": numbers.filter(lambda number: number < 1 << 31),
        "detail": st.sampled_from([0, 1, 2, 0o100755, 0o104755, 0o1101, 0o2001]),
        "flags": st.sampled_from([0, Flag.ADOPTED, Flag.SCRIPT | Flag.PATH_CUT]),
        "session": st.sampled_from([0, 1, 2**63 + 1]),
        "digest": st.sampled_from([0, 2**64 - 1]),
    }
)


def parsed(made: list[dict[str, Any]]) -> list[Rule]:
    found = []
    for at, rule in enumerate(made):
        found += parse(json.dumps({**rule, "name": f"rule-{at}"}, ensure_ascii=False).encode(), "made.yml")
    return found


def by_engine(engine: RuleEngine, batch: Batch) -> list[list[str]]:
    tagged = engine.match(batch)
    found: list[list[str]] = [[] for _ in range(len(batch))]
    for event, tag in zip(tagged.event.tolist(), tagged.tag.tolist(), strict=True):
        found[event].append(engine.tags[tag])
    return found


def by_reading(found: list[Rule], batch: Batch) -> list[list[str]]:
    return [reference.matching(found, batch.row(at)) for at in range(len(batch))]


@settings(max_examples=150, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=5), st.lists(events, max_size=12))
def test_any_rules_on_any_events(made: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    found = parsed(made)
    batch = enriched(rows)
    engine = RuleEngine(found)
    assert by_engine(engine, batch) == by_reading(found, batch)
    assert by_engine(engine, batch) == by_reading(found, batch), "with everything known"


@settings(max_examples=30, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=5), st.lists(st.lists(events, max_size=4), max_size=8))
def test_symbols_that_are_replaced_on_the_way(
    made: list[dict[str, Any]], parts: list[list[dict[str, Any]]]
) -> None:
    found = parsed(made)
    engine, decoder, enricher = RuleEngine(found), Decoder(Symbols(64), numbers=16), Enricher()
    for rows in parts:
        batch = enricher.enrich(decoder.decode(raw(rows)))
        assert by_engine(engine, batch) == by_reading(found, batch)


@settings(max_examples=5, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=10))
def test_the_stream_of_the_benches(made: list[dict[str, Any]]) -> None:
    found = parsed(made)
    engine, decoder, enricher = RuleEngine(found), Decoder(), Enricher()
    for part in stream(2_000, batch=500):
        batch = enricher.enrich(decoder.decode(part))
        assert by_engine(engine, batch) == by_reading(found, batch)
