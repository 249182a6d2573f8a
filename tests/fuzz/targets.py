"""What is fuzzed: by name, what is done with the bytes and which bytes to begin with."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bpf_lsm import events, held
from bpf_lsm.errors import GateError
from bpf_lsm.layout import EVENT
from identity import dsse, elf, elf_note, statement, trust_file
from identity.errors import IdentityError
from identity.statement import Statement
from policies import Evaluator, Operations, PolicyError, PolicyErrors, compile_documents
from policies.image import Right, Special
from policies.layout import HEADER
from policies.meta import decode as decode_meta
from policies.parse import clashes, parse_bytes
from policies.pattern import PatternError
from tests.policy_strategies import World, make_policies
from tests.unit.identity import helpers

ROOT: Final = Path(__file__).resolve().parents[2]
IMAGE_CAPACITY: Final = 1 << 16
WORDS: Final = tuple(
    word.encode()
    for word in (
        *(
            "apiVersion: menshen/v1",
            "kind: Policy",
            "kind: Protection",
            "files:",
            "network:",
            "exec:",
            "special:",
        ),
        *(
            "allow:",
            "deny:",
            "paths:",
            "cidr:",
            "unix:",
            "ports:",
            "/**",
            "{a,b}",
            "[!a-z]",
            "- ",
            "{",
            "}",
            "[",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """`run` raises on a fault only. `seeds` are files to begin with, and `words` what may be put in."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    max_bytes: int = 4096
    words: tuple[bytes, ...] = ()


def policy_yaml(data: bytes) -> None:
    """YAML to documents to an image that fits; every fault has a place in the text, and can be shown."""
    try:
        documents = parse_bytes(data, "fuzz.yaml")
        if errors := list(clashes(documents)):
            raise PolicyErrors.of(errors)
        image = compile_documents(documents, capacity=IMAGE_CAPACITY).image
    except PolicyErrors as group:
        lines = data.count(b"\n") + data.count(b"\r") + 1
        for error in group.errors:
            assert error.path in ("fuzz.yaml", ""), error
            assert 0 <= error.line <= lines + 1, error
            assert "\x1b" not in error.render()
        return
    assert len(image) <= IMAGE_CAPACITY
    assert Evaluator(image).meta.rows


def trust_yaml(data: bytes) -> None:
    """Trust roots; keys that are named by a path are looked for below a folder that is not there."""
    try:
        trust_file.parse(data, "fuzz.yaml", ROOT / "build/nowhere")
    except IdentityError as error:
        str(error)


def elf_notes(data: bytes) -> None:
    """A credential in an ELF file: found, told from an altered file, or taken out again."""
    read = elf.reader(data)
    try:
        parsed = elf.parse(read, len(data))
        for section in parsed.sections:
            elf.parse_notes(parsed.shape, elf.section_content(read, len(data), section, 1 << 16))
    except IdentityError as error:
        str(error)
    try:
        found = elf_note.extract(data)
        assert found is None or elf_note.embed(found.unsigned, found.envelope) == data
    except IdentityError as error:
        str(error)
    try:
        elf_note.remove(data)
    except IdentityError as error:
        str(error)


def statements(data: bytes) -> None:
    """An envelope, and what is signed in it; what is read is written again as the same."""
    try:
        envelope = dsse.parse(data)
        assert dsse.parse(envelope.to_bytes()) == envelope
        data = envelope.payload
    except IdentityError as error:
        str(error)
    try:
        claim = statement.parse(data)
        assert statement.parse(claim.to_payload()) == claim
    except IdentityError as error:
        str(error)


def images(data: bytes) -> None:
    """Bytes as an image whose hash is right: refused, or every question has an answer."""
    if len(data) >= HEADER.itemsize:  # else nothing behind the hash would ever be reached
        header = np.frombuffer(data, HEADER, 1).copy()
        header["size"] = len(data)
        header["generation"] = header["hash"] = 0
        digest = hashlib.sha256(header.tobytes() + data[HEADER.itemsize :]).digest()
        header["hash"] = np.frombuffer(digest, np.uint8)
        data = header.tobytes() + data[HEADER.itemsize :]
    try:
        evaluator = Evaluator(data)
    except PolicyError:
        return
    for row in (*range(min(4, len(evaluator.rows))), evaluator.row("test/one"), evaluator.row(None)):
        operations = Operations(evaluator, row)
        for path in (b"/", b"/srv/data", b"/srv/data/a/x.log", b"\x04\x06\x00\x50\x7f\x00\x00\x01", b"@a"):
            operations.judge(path, *(right for right in Right if right < Right.WAIVE_EXECUTE_UNSIGNED))
            operations.rename(path, b"/etc/x", is_directory=True)
            operations.link(path, b"/etc/x")
            operations.mount_over(path)
        evaluator.special(row, Special.KILL, "test/one")
        evaluator.capability(row, 3)
        evaluator.jit(row)
    with contextlib.suppress(ValueError, PatternError):
        evaluator.protected_roots()


def descriptions(data: bytes) -> None:
    """The part of an image that people read."""
    try:
        decode_meta(data)
    except ValueError as error:
        str(error)


def ring_records(data: bytes) -> None:
    """One record of a ring, and the same bytes as what an iterator wrote."""
    with contextlib.suppress(GateError):
        assert len(os.fsencode(events.decode(data).path)) <= len(data) - events.SIZE
    with contextlib.suppress(GateError):
        assert sum(events.SIZE + len(os.fsencode(one.path)) for one in held.records(data)) == len(data)


def _yaml_seeds() -> Iterator[bytes]:
    for folder in ("policies/library", "tests/demo"):
        yield from (path.read_bytes() for path in sorted((ROOT / folder).rglob("*.yaml")))
    for seed in range(8):
        yield make_policies(random.Random(seed), World(), rules=4).encode()


def _trust_seeds() -> Iterator[bytes]:
    signer = helpers.key()
    yield helpers.root_yaml(helpers.key_yaml(signer)).encode()
    more = "notBefore: 2026-01-01T00:00:00Z\nexpires: 2027-01-01\n"
    yield helpers.root_yaml(helpers.key_yaml(signer, "[a/*, b/c]", more), more="reserved: [os]\n").encode()


def _elf_seeds() -> Iterator[bytes]:
    unsigned = helpers.tiny_elf()
    yield unsigned
    yield elf_note.embed(unsigned, next(_statement_seeds()))


def _statement_seeds() -> Iterator[bytes]:
    claim = Statement("prog", bytes(32), "payments/api", helpers.NOW, helpers.NOW + helpers.DAY)
    yield dsse.seal(claim.to_payload(), helpers.key()).to_bytes()
    yield claim.to_payload()


def _image_seeds() -> Iterator[bytes]:
    for seed in range(6):
        documents = parse_bytes(make_policies(random.Random(seed), World(), rules=2).encode(), "seed.yaml")
        yield compile_documents(documents).image


def _description_seeds() -> Iterator[bytes]:
    for image in _image_seeds():
        header = np.frombuffer(image, HEADER, 1)[0]
        yield image[int(header["off_meta"]) :][: int(header["meta_size"])]


def _record_seeds() -> Iterator[bytes]:
    for operation, kind, family, path in (
        (1, 1, 0, b"/etc/shadow"),
        (22, 2, 4, b""),
        (19, 3, 6, b"/bin/\xff"),
        (64, 1, 0, b"/etc/shadow"),
    ):
        record = EVENT(operation=operation, kind=kind, family=family, path_size=len(path))
        yield bytes(record) + path


TARGETS: Final = {
    "yaml": Target(policy_yaml, _yaml_seeds, 2048, WORDS),
    "trust": Target(trust_yaml, _trust_seeds, 2048),
    "elf": Target(elf_notes, _elf_seeds, 8192),
    "statement": Target(statements, _statement_seeds, 4096),
    "image": Target(images, _image_seeds, 1 << 16),
    "description": Target(descriptions, _description_seeds, 1 << 14),
    "event": Target(ring_records, _record_seeds, 1 << 14),
}
