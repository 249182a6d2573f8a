"""The formats that strangers write: envelopes, statements, ELF notes, keys; bad input is refused."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection
from hypothesis import given
from hypothesis import strategies as st

from identity import dsse, elf, elf_note, keys, statement, strict_json, times
from identity.errors import IdentityError
from identity.keys import Algorithm
from identity.statement import Statement
from tests.unit.identity.helpers import DAY, NOW, key, tiny_elf

CLAIM = Statement("api", bytes(32), "payments/api", NOW, NOW + DAY, "ci/17")
ENVELOPE = dsse.seal(CLAIM.to_payload(), key())


def test_the_pre_authentication_encoding_is_that_of_the_dsse_specification() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_statement_is_in_toto_v1() -> None:
    value = json.loads(CLAIM.to_payload())
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["subject"] == [{"name": "api", "digest": {"sha256": "00" * 32}}]
    assert value["predicate"]["expires"] == times.format_time(NOW + DAY)
    assert statement.parse(CLAIM.to_payload()) == CLAIM


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A JSON value with one place changed; `...` takes the place away."""
    value = json.loads(json.dumps(value))
    place = value
    for step in path[:-1]:
        place = place[step]
    if new is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return value


BAD_STATEMENTS: list[tuple[tuple[str | int, ...], Any]] = [
    (("_type",), "https://in-toto.io/Statement/v0.1"),
    (("_type",), ...),
    (("_type",), 7),
    (("predicateType",), "https://slsa.dev/provenance/v1"),
    (("extra",), 1),
    (("subject",), []),
    (("subject",), {}),
    (("subject",), [1]),
    (("subject", 0, "name"), None),
    (("subject", 0, "name"), "a\nb"),
    (("subject", 0, "name"), "x" * 257),
    (("subject", 0, "uri"), "x"),
    (("subject", 0, "digest"), "00" * 32),
    (("subject", 0, "digest", "sha256"), "0" * 63),
    (("subject", 0, "digest", "sha256"), "AB" * 32),
    (("subject", 0, "digest", "sha256"), "00" * 33),
    (("subject", 0, "digest", "sha512"), "00" * 64),
    (("predicate",), None),
    (("predicate", "identity"), "Payments"),
    (("predicate", "identity"), ["payments/api"]),
    (("predicate", "identity"), ...),
    (("predicate", "admin"), True),
    (("predicate", "issued"), NOW),
    (("predicate", "issued"), "2027-01-15"),
    (("predicate", "issued"), "2027-13-15T00:00:00Z"),
    (("predicate", "issued"), "2027-01-15T00:00:00+01:00"),
    (("predicate", "issued"), "٢٠٢٧-01-15T00:00:00Z"),
    (("predicate", "expires"), "2020-01-15T00:00:00Z"),
    (("predicate", "expires"), "1969-01-15T00:00:00Z"),
    (("predicate", "builder"), 5),
    (("predicate", "builder"), "\x1b]0;x\x07"),
]


@pytest.mark.parametrize(("path", "new"), BAD_STATEMENTS)
def test_a_statement_that_deviates_is_refused(path: tuple[str | int, ...], new: Any) -> None:
    with pytest.raises(IdentityError):
        statement.parse(json.dumps(changed(json.loads(CLAIM.to_payload()), path, new)).encode())


SIGNATURE = json.loads(ENVELOPE.to_bytes())["signatures"][0]
BAD_ENVELOPES: list[tuple[tuple[str | int, ...], Any]] = [
    (("payloadType",), "text/plain"),
    (("payloadType",), None),
    (("payload",), ...),
    (("payload",), 5),
    (("payload",), "!!!!"),
    (("payload",), "YQ"),
    (("payload",), "YR=="),
    (("payload",), "YQ==\n"),
    (("extra",), 1),
    (("signatures",), []),
    (("signatures",), {}),
    (("signatures",), [SIGNATURE, SIGNATURE]),
    (("signatures",), [SIGNATURE | {"keyid": f"{n:064x}"} for n in range(9)]),
    (("signatures", 0), "x"),
    (("signatures", 0, "keyid"), ...),
    (("signatures", 0, "keyid"), ""),
    (("signatures", 0, "keyid"), "AB" * 32),
    (("signatures", 0, "sig"), 1),
    (("signatures", 0, "sig"), "-_=="),
    (("signatures", 0, "cert"), "x"),
]


@pytest.mark.parametrize(("path", "new"), BAD_ENVELOPES)
def test_an_envelope_that_deviates_is_refused(path: tuple[str | int, ...], new: Any) -> None:
    with pytest.raises(IdentityError):
        dsse.parse(json.dumps(changed(json.loads(ENVELOPE.to_bytes()), path, new)).encode())


BAD_JSON = [
    b"",
    b"{",
    b"[" * 30_000,
    b'{"a":' * 5_000,
    b'{"a":1,"a":2}',
    b'{"x":{"a":1,"a":1}}',
    b"NaN",
    b"-Infinity",
    b"1" * 10_000,
    b"\xff\xfe",
    b'"\xed\xa0\x80"',
    b"{} {}",
    b" " * 40_000,
]


@pytest.mark.parametrize("content", BAD_JSON, ids=range(len(BAD_JSON)))
def test_bad_json_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(IdentityError, match="it"):
        strict_json.parse(content, 32 << 10, "it")


@given(st.binary(max_size=400) | st.text(alphabet='{}[]":,0a\\u', max_size=80).map(str.encode))
def test_any_bytes_are_a_statement_and_an_envelope_or_are_refused(content: bytes) -> None:
    for parse in (dsse.parse, statement.parse):
        with pytest.raises(IdentityError):
            parse(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("YQ=="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {"payload": json_values, "payloadType": st.just(dsse.PAYLOAD_TYPE), "signatures": json_values}
    )
)
def test_any_json_in_an_envelope_is_read_or_refused(value: Any) -> None:
    with pytest.raises(IdentityError):
        dsse.parse(json.dumps(value).encode())


@given(st.sampled_from(["_type", "subject", "predicateType", "predicate"]), json_values)
def test_any_json_in_a_statement_is_read_or_refused(field: str, new: Any) -> None:
    with pytest.raises(IdentityError):
        statement.parse(json.dumps(json.loads(CLAIM.to_payload()) | {field: new}).encode())


def read_elf(content: bytes) -> None:
    """Everything that a verifier does with an ELF file's bytes."""
    with contextlib.suppress(IdentityError):
        elf_note.carries_note(elf.reader(content), len(content))
        elf_note.extract(content)


SIGNED_ELF = elf_note.embed(tiny_elf(), ENVELOPE.to_bytes())


@given(st.binary(max_size=300).map(lambda tail: b"\x7fELF\x02\x01\x01" + tail) | st.binary(max_size=100))
def test_any_bytes_are_an_elf_file_or_are_refused(content: bytes) -> None:
    read_elf(content)


@given(st.lists(st.tuples(st.integers(0, len(SIGNED_ELF) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_signed_elf_gives_no_other_content(changes: list[tuple[int, int]]) -> None:
    content = bytearray(SIGNED_ELF)
    for position, value in changes:
        content[position] = value
    read_elf(bytes(content))
    if content == SIGNED_ELF:
        return
    try:
        found = elf_note.extract(bytes(content))
    except IdentityError:
        return
    assert found is None or (found.unsigned, found.envelope) != (tiny_elf(), ENVELOPE.to_bytes())


@pytest.mark.parametrize("length", range(0, len(tiny_elf()) + 1))
def test_an_elf_truncated_at_every_boundary_is_read_or_refused_and_never_signed_as_whole(length: int) -> None:
    content = tiny_elf()[:length]
    read_elf(content)
    if length < len(tiny_elf()):
        with pytest.raises(IdentityError):
            elf_note.embed(content, b"{}")


@given(st.integers(0, 63), st.integers(0, 2**32 - 1))
def test_an_elf_header_full_of_lies_is_refused(at: int, lie: int) -> None:
    content = bytearray(SIGNED_ELF)
    content[at : at + 4] = lie.to_bytes(4, "little")
    read_elf(bytes(content[: len(SIGNED_ELF)]))


def test_other_tools_see_the_note(tmp_path: Path) -> None:
    path = tmp_path / "signed"
    path.write_bytes(SIGNED_ELF)
    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".note.menshen")
        assert isinstance(section, NoteSection)
        notes = [(note["n_name"], note["n_descdata"]) for note in section.iter_notes()]
    assert notes[0] == ("menshen", ENVELOPE.to_bytes())


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_both_widths_and_byte_orders_carry_notes(wide: bool, big_endian: bool) -> None:
    shape = elf.Shape(">" if big_endian else "<", wide)
    ident = b"\x7fELF" + bytes([1 + wide, 1 + big_endian, 1]).ljust(12, b"\0")
    content = ident + shape.header.pack(3, 8, 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0) + b"code"
    signed = elf_note.embed(content, b"{}")
    assert elf_note.extract(signed) == elf_note.Extracted(b"{}", content)


def test_two_credential_sections_are_refused() -> None:
    shape = elf.Shape("<", wide=True)
    content = SIGNED_ELF
    table = int.from_bytes(content[40:48], "little")
    count = int.from_bytes(content[60:62], "little")
    last = content[table + (count - 1) * shape.section.size :]
    twice = bytearray(content + last)
    twice[60:62] = (count + 1).to_bytes(2, "little")
    with pytest.raises(IdentityError, match="2 sections"):
        elf_note.extract(bytes(twice))


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_key_pair_is_kept_private_and_read_back(
    tmp_path: Path, algorithm: Algorithm, passphrase: bytes | None
) -> None:
    made = key("kept", algorithm)
    public = keys.save_pair(made, tmp_path / "k", passphrase)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert keys.load_private(tmp_path / "k", passphrase).public == made.public == keys.load_public(public)
    assert keys.load_public(public).verifies(made.sign(b"x"), b"x")
    assert not keys.load_public(public).verifies(made.sign(b"x"), b"y")
    assert not keys.load_public(public).verifies(b"", b"x")


def test_the_key_id_is_the_sha256_of_the_subject_public_key_info() -> None:
    der = base64.b64decode("".join(key().public.pem.splitlines()[1:-1]))
    assert key().public.key_id == hashlib.sha256(der).hexdigest()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    keys.save_pair(key(), tmp_path / "k")
    with pytest.raises(IdentityError, match="not overwritten"):
        keys.save_pair(key(), tmp_path / "k")
    (tmp_path / "k").unlink()
    with pytest.raises(IdentityError, match="not overwritten"):
        keys.save_pair(key(), tmp_path / "k")


def test_an_open_private_key_is_refused(tmp_path: Path) -> None:
    keys.save_pair(key(), tmp_path / "k")
    (tmp_path / "k").chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        keys.load_private(tmp_path / "k")


PASSPHRASES: list[tuple[bytes | None, bytes | None, str]] = [
    (b"right", None, "needs a passphrase"),
    (b"right", b"wrong", "passphrase is wrong"),
    (None, b"any", "needs no passphrase"),
]


@pytest.mark.parametrize(("locked", "given_", "message"), PASSPHRASES)
def test_a_wrong_passphrase_is_told(
    tmp_path: Path, locked: bytes | None, given_: bytes | None, message: str
) -> None:
    keys.save_pair(key(), tmp_path / "k", locked)
    with pytest.raises(IdentityError, match=message):
        keys.load_private(tmp_path / "k", given_)


def test_other_kinds_of_key_are_refused() -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(IdentityError, match="ed25519 or P-256"):
        keys.parse_public(pem)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=100).map(
        lambda b: b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(b) + b"\n-----END PUBLIC KEY-----\n"
    )
)
def test_any_bytes_are_a_public_key_or_are_refused(content: bytes) -> None:
    with pytest.raises(IdentityError):
        keys.parse_public(content)


SPANS = [("90d", 90 * DAY), ("12h", 43_200), ("1y", 365 * DAY), ("2w", 14 * DAY), ("5m", 300), ("9s", 9)]


@pytest.mark.parametrize(("text", "seconds"), SPANS)
def test_spans_are_read(text: str, seconds: int) -> None:
    assert times.parse_span(text) == seconds


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_is_refused(text: str) -> None:
    for parse in (times.parse_time, times.parse_span):
        with contextlib.suppress(IdentityError):
            assert parse(text) >= 0
