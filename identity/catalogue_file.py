"""The catalogue as a file: one checked header line, then one JSON line an entry."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import intern
from typing import Any

from identity.catalogue import Catalogue, Entry, Source
from identity.errors import IdentityError, Place
from identity.files import read_limited, write_atomically

FORMAT = "menshen-catalogue"
VERSION = 1
MAX_BYTES = 512 << 20
_FIELDS = 8


def save(catalogue: Catalogue, path: Path) -> None:
    """Write a catalogue whole or not at all; equal catalogues give equal bytes."""
    rows = sorted((_row(entry) for entry in catalogue), key=lambda row: str(row[0]))
    body = "".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n" for row in rows).encode()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "entries": len(rows),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    write_atomically(path, json.dumps(header).encode() + b"\n" + body)


@contextmanager
def editing(path: Path) -> Iterator[Catalogue]:
    """The catalogue of a file (empty if there is none yet), saved at the end; one editor at a time."""
    lock = path.with_name(path.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise IdentityError(f"cannot write the catalogue {path}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        catalogue = load(path) if path.exists() else Catalogue()
        yield catalogue
        save(catalogue, path)
    finally:
        os.close(handle)


def load(path: Path) -> Catalogue:
    """Read a catalogue. A file that is not exactly what `save` wrote is refused by name, never half used."""
    head, newline, body = read_limited(path, MAX_BYTES, "catalogue").partition(b"\n")
    header = _json(path, 1, head)
    if not newline or not isinstance(header, dict) or header.get("format") != FORMAT:
        raise IdentityError(f"{path} is not a Menshen catalogue")
    if header.get("version") != VERSION:
        raise IdentityError(
            f"catalogue {path} has version {header.get('version')!r}; this program reads {VERSION}"
        )
    if header.get("sha256") != hashlib.sha256(body).hexdigest():
        raise IdentityError(
            f"catalogue {path} is corrupt: its content does not have the checksum in its first line",
            hint="rebuild it with `menshen identity enrol` and an agent scan, or restore it from a backup",
        )
    entries = [_entry(path, number, line) for number, line in enumerate(body.splitlines(), start=2)]
    catalogue = Catalogue(entries)
    if len(catalogue) != len(entries) or len(entries) != header.get("entries"):
        raise IdentityError(
            f"catalogue {path} is corrupt: it does not hold the number of entries that it announces"
        )
    return catalogue


def _row(entry: Entry) -> list[str | int | None]:
    return [
        entry.digest.hex(),
        entry.identity,
        entry.source.value,
        entry.path,
        entry.expires,
        entry.evidence,
        entry.by,
        entry.at,
    ]


def _entry(path: Path, number: int, line: bytes) -> Entry:
    place = Place(str(path), number, 1)
    match _json(path, number, line):
        case [str(digest), str(identity), str(source), str(seen), expires, str(evidence), str(by), at] if all(
            value is None or type(value) is int for value in (expires, at)
        ):
            try:
                said = (intern(evidence), intern(by))  # as the identity: one string for many entries
                return Entry(
                    bytes.fromhex(digest), intern(identity), Source(source), seen, expires, *said, at
                )
            except (ValueError, IdentityError) as error:
                raise IdentityError(f"catalogue entry is not valid: {error}", place=place) from None
        case _:
            raise IdentityError(f"a catalogue entry is a list of {_FIELDS} values", place=place)


def _json(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise IdentityError(
            "not a line of JSON: the catalogue is corrupt", place=Place(str(path), number, 1)
        ) from None
