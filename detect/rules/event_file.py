"""Events from a file: one JSON object a line, with the names of the columns.

Texts are JSON strings (bytes that are not UTF-8 as surrogates) or, for arguments, lists; words stand for the
numbers that have some (`"type": "exec"`, `"protocol": "tcp"`, `"flags": ["script"]`); an address is text.
What is left out is 0 or empty.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import numpy as np

from bpf_lsm.observation import FIELDS, OBSERVATION, STRING_FIELDS, STRING_FIRST, STRING_MAX, Flag, Raw, Type
from detect.batch import ENRICHED, Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules.fields import PROTOCOLS
from policies.errors import Place, PolicyError

CHUNK: Final = 4096
"""Lines that become one batch."""
MAX_LINE: Final = 1 << 16

GIVEN: Final = ("parent_exe", "parent_args", "identity", "container")
"""Columns of ENRICHED that a line may give; otherwise they are what the lines before say."""
_IGNORED: Final = {"id", "tags", "process", "parent"}
_NUMBERS: Final = {field.name for field in FIELDS if not field.is_string and field.count == 1}
_TYPES: Final = {kind.word: int(kind) for kind in Type}
_FLAGS: Final = {str(flag.name).lower().replace("_", "-"): int(flag) for flag in Flag}
_PROTOCOLS: Final = {word: number for number, word in PROTOCOLS.items() if word}
_FAMILIES: Final = {"unix": 1, "ipv4": 4, "ipv6": 6}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A batch of events, and the lines that they stand on."""

    batch: Batch
    lines: list[int]


def read(path: Path) -> Iterator[Numbered]:
    """The events of a file, enriched by what the lines before say. PolicyError names a line that is none."""
    decoder, enricher = Decoder(), Enricher()
    rows: list[Row] = []
    lines: list[int] = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            if line.strip():
                rows.append(_row(line, Place(str(path), number, 1)))
                lines.append(number)
            if len(rows) == CHUNK:
                yield Numbered(_batch(rows, decoder, enricher), lines)
                rows, lines = [], []
    if rows:
        yield Numbered(_batch(rows, decoder, enricher), lines)


def _row(line: bytes, place: Place) -> Row:
    """The columns that a line gives, as numbers and bytes."""
    try:
        given = json.loads(line)
    except ValueError as error:
        raise PolicyError(f"this is not JSON: {error}", place=place, hint="one object a line") from None
    if not isinstance(given, dict):
        raise PolicyError("an event is a JSON object", place=place)
    row: Row = {}
    for name, value in given.items():
        if name in _IGNORED:
            continue
        convert = _CONVERT.get(name)
        if convert is None:
            near = difflib.get_close_matches(name, list(_CONVERT), 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "docs/events.md lists the columns"
            raise PolicyError(f"there is no column {name}", place=place, hint=hint)
        try:
            row |= convert(name, value)
            if name in _NUMBERS:
                room: Any = np.iinfo(OBSERVATION[name].str)
                if not room.min <= row[name] <= room.max:
                    raise OverflowError("it does not fit")
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise PolicyError(f"{name} cannot be {json.dumps(value)[:80]}: {error}", place=place) from None
    return row


def _text(name: str, value: Any) -> Row:
    if isinstance(value, list):
        value = "\0".join(value)
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return {name: value.encode("utf-8", "surrogateescape")[:STRING_MAX]}


def _number(name: str, value: Any) -> Row:
    if isinstance(value, str):
        value = int(value)  # JSON of protocol buffers has 64 bits as text
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a whole number is wanted")
    return {name: value}


def _word(words: dict[str, int]) -> Callable[[str, Any], Row]:
    def convert(name: str, value: Any) -> Row:
        if isinstance(value, str) and not value.isdigit():
            if value and value not in words:
                raise ValueError(f"one of {', '.join(words)}")
            return {name: words.get(value, 0)}
        return _number(name, value)

    return convert


def _type(name: str, value: Any) -> Row:
    """A word; `type-300` is one that a newer kernel side sent."""
    number = value.removeprefix("type-") if isinstance(value, str) else value
    return _word(_TYPES)(name, number)


def _flags(name: str, value: Any) -> Row:
    if isinstance(value, list):
        unknown = [word for word in value if word not in _FLAGS]
        if unknown:
            raise ValueError(f"some of {', '.join(_FLAGS)}")
        return {name: sum({_FLAGS[word] for word in value})}
    return _number(name, value)


def _address(name: str, value: Any) -> Row:
    if not value:
        return {}
    found = ip_address(value)
    return {name: found.packed, "family": found.version}


def _time(name: str, value: Any) -> Row:
    """Nanoseconds, or seconds with a fraction."""
    return {name: int(value * 1e9)} if isinstance(value, float) else _number(name, value)


def _digest(name: str, value: Any) -> Row:
    return {name: int(value, 16) if isinstance(value, str) and value else value or 0}


_CONVERT: Final[dict[str, Callable[[str, Any], Row]]] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys((*STRING_FIELDS, *GIVEN), _text),
    "address": _address,
    "type": _type,
    "protocol": _word(_PROTOCOLS),
    "family": _word(_FAMILIES),
    "flags": _flags,
    "time": _time,
    "digest": _digest,
}


def _batch(rows: list[Row], decoder: Decoder, enricher: Enricher) -> Batch:
    """Through the same steps as events of a host."""
    numbers: dict[bytes, int] = {}
    records = np.zeros(len(rows), OBSERVATION)
    for record, row in zip(records, rows, strict=True):
        for name, value in row.items():
            if name in STRING_FIELDS:
                record[name] = numbers.setdefault(value, len(numbers) + STRING_FIRST) if value else 0
            elif name == "address":
                record[name][: len(value)] = list(value)
            elif name not in ENRICHED:
                record[name] = value
    strings = [(number, value, False) for value, number in numbers.items()]
    batch = enricher.enrich(decoder.decode(Raw(records, strings)))
    for name in GIVEN:
        for at, row in enumerate(rows):
            if name in row:
                batch[name][at] = batch.symbols.intern(row[name])
    return batch
