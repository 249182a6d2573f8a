"""YAML: what is hostile is refused with its place, and nothing is built from it."""

from __future__ import annotations

import pytest

from policies import nodes
from policies.errors import PolicyErrors
from policies.nodes import Mapping, Node, Scalar, Sequence


def read(text: str | bytes) -> Node:
    data = text if isinstance(text, bytes) else text.encode()
    (node,) = nodes.documents(data, "t.yaml")
    return node


def refused(data: bytes) -> list[tuple[int, int, str]]:
    with pytest.raises(PolicyErrors) as caught:
        nodes.documents(data, "t.yaml")
    return [(error.line, error.column, error.message) for error in caught.value.errors]


HOSTILE = {
    "anchor": (b"a: &x 1\n", 1, 4, "anchor &x"),
    "alias": (b"a: 1\nb: *x\n", 2, 4, "alias *x"),
    "billion laughs": (b"a: &a [x]\nb: [*a, *a]\n", 1, 4, "anchor &a"),
    "tag": (b"a: !!python/object/apply:os.system [x]\n", 1, 4, "tag"),
    "merge key": (b"<<: {a: 1}\n", 1, 1, "merge key"),
    "duplicate field": (b"a: 1\nb: 2\na: 3\n", 3, 1, 'field "a" is given twice (first on line 1)'),
    "field that is no word": (b"1: a\n", 1, 1, "must be a word"),
    "field that is a list": (b"[a]: b\n", 1, 1, "must be a word"),
    "tab for indentation": (b"a:\n\tb: 1\n", 2, 1, "not YAML"),
    "unclosed bracket": (b"a: [1, 2\n", 2, 1, "not YAML"),
    "not UTF-8": (b"a: b\nc: \xff\n", 2, 4, "byte 0xff is not UTF-8"),
    "escape character": (b"a: \x1b[31m\n", 1, 4, "control character '\\x1b'"),
    "escape in quotes": (b'a: "\\x1b[31m"\n', 1, 4, "control character"),
    "NUL": (b"a: \x00\n", 1, 4, "control character"),
    "text direction": ("a: x\u202ey\n".encode(), 1, 5, "control character '\\u202e'"),
    "zero-width mark inside": ("a: \ufeffx\n".encode(), 1, 4, "control character"),
    "next-line character": ("a: x\x85y\n".encode(), 1, 5, "control character"),
    "deep": (b"[" * 500, 1, 17, "nested deeper than 16"),
    "oversized": (b"#" * (nodes.MAX_BYTES + 1), 0, 0, "bytes; at most 1048576"),
    "too many values": (b"[" + b"1," * (nodes.MAX_NODES + 1) + b"]", 1, 400_000, "more than 200000 values"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_yaml_is_refused_at_its_place(case: str) -> None:
    data, line, column, message = HOSTILE[case]
    found = refused(data)
    assert found[0][:2] == (line, column), found
    assert message in found[0][2], found


def test_what_is_nested_beyond_the_parser_s_own_bound_is_refused_in_the_same_words() -> None:
    ((line, _, message),) = refused(b"[" * 100_000)
    assert line == 1
    assert "nested deeper than 16" in message


def test_all_faults_that_do_not_stop_the_reading_are_told() -> None:
    assert len(refused(b"a: &x 1\na: &y 2\nb: !t 3\n")) == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("443", 443),
        ("0", 0),
        ("-5", -5),
        ("no", "no"),
        ("on", "on"),
        ("True", "True"),
        ("1.5", "1.5"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ('"443"', "443"),
        ("'true'", "true"),
        ("1" * 30, "1" * 30),
    ],
)
def test_only_plain_words_are_values_other_than_text(text: str, value: object) -> None:
    node = read(f"a: {text}\n")
    assert isinstance(node, Mapping)
    scalar = node.entries["a"]
    assert isinstance(scalar, Scalar)
    assert scalar.value == value
    assert type(scalar.value) is type(value)


def test_every_value_knows_its_place() -> None:
    node = read("a:\n  - x\n  - {ä: 'yy', z: \"w\"}\n")
    assert isinstance(node, Mapping)
    items = node.entries["a"]
    assert isinstance(items, Sequence)
    second = items.items[1]
    assert isinstance(second, Mapping)
    assert (second.place.line, second.place.column) == (3, 5)
    assert (second.keys["z"].line, second.keys["z"].column) == (3, 15)
    quoted = second.entries["z"]
    assert isinstance(quoted, Scalar)
    assert (quoted.place.column, quoted.inner.column) == (18, 19)
    assert quoted.place.text == "  - {ä: 'yy', z: \"w\"}"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n", "\ufeff"])
def test_a_file_without_documents_has_none(text: str) -> None:
    assert nodes.documents(text.encode(), "t.yaml") == []


def test_line_ends_of_other_systems_are_read() -> None:
    node = read(b"a: 1\r\nb: 2\r\n")
    assert isinstance(node, Mapping)
    assert list(node.entries) == ["a", "b"]
    assert node.keys["b"].text == "b: 2"


def test_json_is_read_too() -> None:
    node = read(b'{"a": [1, true, null, "x"]}')
    assert isinstance(node, Mapping)
