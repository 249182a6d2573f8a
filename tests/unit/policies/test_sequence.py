"""Sequences as documents: every mistake has a place and says what to write instead."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from bpf_lsm.observation import OBSERVATION
from detect.batch import ENRICHED, SYMBOLS
from policies import durations, parse_text
from policies.sequence import TEXTS, Sequence, uncertified, unknown_tags
from policies.shape import resolve
from tests.unit.policies.helpers import faults


def written(steps: str, **fields: str) -> str:
    """A Sequence with these steps; `fields` in the place of those of its spec."""
    spec = {"title": "It happened", "level": "high", "key": "session", "within": "10m"} | fields
    head = "apiVersion: menshen/v1\nkind: Sequence\nmetadata: {name: story}\nspec:\n"
    head += "".join(f"  {name}: {value}\n" for name, value in spec.items())
    return head + "  steps:\n" + textwrap.indent(textwrap.dedent(steps).strip("\n"), "    ") + "\n"


def two(more: str = "", **fields: str) -> str:
    """Two steps, the second with more fields."""
    return written(f"- {{name: a, tag: write}}\n- {{name: b, tag: run{more}}}", **fields)


EXEC = 'kernel: {operation: execute, paths: ["/tmp/**"]}'
CONNECT = (
    "kernel: {operation: connect, to: {cidr: [10.0.0.0/8, 192.168.0.0/16], ports: [22, 445], protocol: tcp}}"
)

BLOCKING = written(
    f"""
    - {{name: run, tag: run, {EXEC}}}
    - name: signed
      tag: install
      absent: true
      kernel: {{operation: write, paths: ["/var/lib/dpkg/**"], unidentified: true}}
    - {{name: scan, tag: connect, count: 3, distinct: port, within: 5m, {CONNECT}}}
    """,
    mode="block",
)

EVERYTHING = written(
    """
    - {name: a, tag: write, count: 2, distinct: path, within: 10s, capture: {file: path, who: uid}}
    - {name: b, any: [run, attack.t1059], where: {path: $file, uid: $who, address: 10.0.0.1, port: 22}}
    - {name: c, tag: install, absent: true, where: {path: "/x"}}
    - {name: d, tag: connect}
    """,
    key="file",
    tags="[attack.execution]",
    mode="alert",
)

# case: (text, what the caret stands under, message, hint)
MISTAKES = {
    "one step": (written("- {name: a, tag: b}"), "", "", ""),
    "unknown key": (two(key="process"), "process", '"process"', "write tree"),
    "unknown mode": (two(mode="enforce"), "enforce", '"enforce"', "write block"),
    "no such time": (two(", within: 5 minutes"), "5 minutes", "cannot be", "10m"),
    "no time at all": (two(within="0s"), "0s", "too short", "from 1ms"),
    "a time too long": (two(within="99d"), "99d", "too long", "30d"),
    "both tag and any": (two(", any: [x]"), "any", "not both", "write tag"),
    "no tag": (written("- {name: a, tag: b}\n- {name: c}"), "{name: c", "has no tag", "tag: NAME"),
    "unknown field of an event": (two(", where: {destinationport: 22}"), "destinationport", "", "port"),
    "capture of no field": (
        written("- {name: a, tag: b, capture: {x: imagee}}\n- {name: c, tag: d}"),
        "imagee",
        '"imagee"',
        "",
    ),
    "what was not captured": (two(", where: {path: $file}"), "$file", 'captures "file"', "capture: {file"),
    "what is captured later": (
        written("- {name: a, tag: b, where: {path: $f}}\n- {name: c, tag: d, capture: {f: path}}"),
        "$f",
        'no earlier step captures "f"',
        "earlier step",
    ),
    "another kind": (
        written("- {name: a, tag: b, capture: {f: path}}\n- {name: c, tag: d, where: {port: $f}}"),
        "$f",
        "never equal",
        "like with like",
    ),
    "captured twice": (
        written("- {name: a, tag: b, capture: {f: path}}\n- {name: c, tag: d, capture: {f: path}}"),
        "f: path}}\n",
        "captured twice",
        "another name",
    ),
    "text for a number": (two(', where: {port: "ssh"}'), '"ssh"', "is a number", "port: 22"),
    "a number for text": (two(", where: {path: 22}"), "22", "is text", '"22"'),
    "no address": (two(", where: {address: example.org}"), "example.org", "not an address", "10.1.2.3"),
    "distinct without a count": (two(", distinct: port"), "distinct", "there is no count", "count: 3"),
    "count of nothing": (two(", count: 0"), "0", "from 1 to 64", ""),
    "absent with a count": (
        written("- {name: a, tag: b}\n- {name: c, tag: d, absent: true, count: 2}\n- {name: e, tag: f}"),
        "count",
        "does not go with absent",
        "leave it out",
    ),
    "absent at the end": (two(", absent: true"), "absent", "between two that happen", "put it between"),
    "one name twice": (
        written("- {name: a, tag: b}\n- {name: a, tag: d}"),
        "name: a, tag: d",
        "two steps",
        "another name",
    ),
    "blocks by tree": (BLOCKING.replace("session", "tree"), "key", "joined by session", "mode: alert"),
    "blocks without kernel forms": (two(mode="block"), "{name: a", "no kernel form", "kernel: {operation"),
    "blocks on captured values": (
        BLOCKING.replace("tag: run,", "tag: run, capture: {f: path},"),
        "capture",
        'knows no "capture"',
        "mode: alert",
    ),
    "blocks by counting paths": (
        BLOCKING.replace("distinct: port", "distinct: path"),
        "distinct",
        "cannot count by path",
        "port",
    ),
    "blocks by counting far": (BLOCKING.replace("count: 3", "count: 9"), "count", "counts to 8", "alert"),
    "connect to paths": (
        two(", kernel: {operation: connect, paths: [/a]}"),
        "paths",
        "does not go with connect",
        "write to",
    ),
    "execute nothing": (two(", kernel: {operation: execute}"), "{operation", 'no "paths"', "add paths"),
    "unknown operation": (
        two(", kernel: {operation: attributes, paths: [/a]}"),
        "attributes",
        '"attributes"',
        "write chmod",
    ),
}  # fmt: skip

# What the reader knows and a schema cannot say.
BEYOND = {
    "no time at all", "a time too long", "what was not captured", "what is captured later", "another kind",
    "captured twice", "no address", "absent at the end", "one name twice", "blocks by tree",
    "blocks without kernel forms", "blocks on captured values", "blocks by counting paths",
    "blocks by counting far", "text for a number", "a number for text",
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(MISTAKES.keys() - {"one step"}))
def test_a_mistake_has_its_place_and_what_to_write(case: str) -> None:
    text, under, message, hint = MISTAKES[case]
    found = faults(text)
    assert found, text
    shown = [(error.place.text[error.column - 1 :] + "\n", error.message, error.hint) for error in found]
    assert any(
        place.startswith(under) and message in said and hint in advice for place, said, advice in shown
    ), "\n".join(error.render() for error in found)


def test_one_step_is_no_sequence() -> None:
    (error,) = faults(MISTAKES["one step"][0])
    assert error.message == "steps has 1 entry, and needs 2"


def sequence(text: str) -> Sequence:
    """The one that the text is."""
    (found,) = parse_text(text).sequences
    return found


def test_a_document_is_read_whole() -> None:
    found = sequence(EVERYTHING)
    assert found.within == 600 * 10**9
    assert [step.name for step in found.steps] == ["a", "b", "c", "d"]
    assert found.steps[0].capture == (("file", "path"), ("who", "uid"))
    assert found.steps[1].tags == ("run", "attack.t1059")
    assert found.steps[2].absent
    assert not found.blocks
    assert sequence(BLOCKING).blocks


def test_what_decides_is_in_the_digest_and_nothing_else() -> None:
    plain = sequence(BLOCKING).digest
    for same in ("mode: block", "mode: alert"), ("It happened", "Something else"), ("high", "low"):
        assert sequence(BLOCKING.replace(*same)).digest == plain
    for other in (
        ("count: 3", "count: 4"),
        ("5m", "6m"),
        ("/tmp/**", "/x/**"),
        ("22,", "23,"),
        ("story", "tale"),
    ):
        assert sequence(BLOCKING.replace(*other)).digest != plain


def test_an_unknown_tag_names_those_that_are_near() -> None:
    documents = parse_text(two())
    (error,) = unknown_tags(documents.sequences, {"write", "rune"})
    assert error.message == 'no rule gives the tag "run"'
    assert error.hint == "did you mean rune?"
    assert error.place.text[error.column - 1 :].startswith("run}")
    assert not list(unknown_tags(documents.sequences, {"write", "run"}))


def test_to_block_takes_a_certificate_for_exactly_this() -> None:
    found = sequence(BLOCKING)
    (error,) = uncertified([found], ())
    assert "not certified" in error.message
    assert error.place.text.strip() == "mode: block"
    assert not list(uncertified([found], [found.digest]))
    assert not list(uncertified([sequence(two())], ()))


def test_two_of_one_name_clash() -> None:
    (error,) = faults(two() + "---\n" + two())
    assert 'two of kind Sequence named "story"' in error.message


def test_fields_are_those_of_events_and_their_kinds() -> None:
    names = set(resolve("sequence.json#/definitions/field")["enum"])
    assert names <= {*(OBSERVATION.names or ()), *ENRICHED}
    assert names & set(SYMBOLS) == TEXTS
    columns = np.dtype([*OBSERVATION.descr, *ENRICHED.items()])
    assert {name for name in names if columns[name].shape} == {"address"}
    where = resolve("sequence.json#/definitions/step")["properties"]["where"]["properties"]
    assert set(where) == names


@pytest.mark.parametrize("text", ["200ms", "30s", "10m", "2h", "1d", "90s"])
def test_times_are_shown_as_they_are_written(text: str) -> None:
    assert durations.show(durations.parse(text)) == text
