"""Signing and verifying: what a credential is worth, and every reason why it is worth nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from identity import dsse, elf_note
from identity.catalogue import Source
from identity.credential import Carrier, beside
from identity.errors import IdentityError
from identity.keys import Algorithm
from identity.sign import sign_file, unsign_file
from identity.statement import Statement
from identity.verify import Reason, Refused, Verified, verify_file
from tests.unit.identity.helpers import DAY, NOW, key, key_yaml, program, root_yaml, runs, tiny_elf, trust

OTHER = "other"


def sign(path: Path, identity: str = "payments/api", *, signer: str = "payments", **more: Any) -> None:
    times = {"issued": NOW, "expires": NOW + 30 * DAY}
    sign_file(path, key(signer), identity, **(times | more))


def verified(path: Path, *documents: str, now: float = NOW) -> Verified:
    result = verify_file(path, trust(*documents), now)
    assert isinstance(result, Verified), result
    return result


def refused(path: Path, *documents: str, now: float = NOW) -> Refused:
    result = verify_file(path, trust(*documents), now)
    assert isinstance(result, Refused), result
    assert result.sentence
    return result


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.sh"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signed_program_verifies_and_still_runs(tmp_path: Path, algorithm: Algorithm) -> None:
    path = program(tmp_path)
    before = path.read_bytes()
    signer = key("payments", algorithm)
    sign_file(path, signer, "payments/api", issued=NOW, expires=NOW + DAY, builder="ci/17")
    result = verified(path, root_yaml(key_yaml(signer)))
    assert (result.identity, result.carrier, result.builder) == ("payments/api", Carrier.EMBEDDED, "ci/17")
    assert result.signed_digest == hashlib.sha256(before).digest()
    assert result.file_digest == hashlib.sha256(path.read_bytes()).digest()
    assert runs(path)


def test_a_signed_script_carries_its_credential_beside_it(script: Path) -> None:
    sign(script)
    result = verified(script)
    assert result.carrier is Carrier.DETACHED
    assert result.signed_digest == result.file_digest == hashlib.sha256(script.read_bytes()).digest()
    assert runs(script)


def test_signing_keeps_owner_mode_and_capabilities(tmp_path: Path) -> None:
    path = program(tmp_path)
    path.chmod(0o4750)
    os.setxattr(path, "user.note", b"kept")
    sign(path)
    assert path.stat().st_mode & 0o7777 == 0o4750
    assert os.getxattr(path, "user.note") == b"kept"


def test_the_detached_credential_of_a_linked_script_is_beside_the_script_itself(script: Path) -> None:
    sign(script)
    link = script.parent / "elsewhere" / "run"
    link.parent.mkdir()
    link.symlink_to(script)
    assert verified(link).identity == "payments/api"


def test_signing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    path = program(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(path)
    sign(link)
    assert link.is_symlink()
    assert verified(path).identity == "payments/api"


def test_an_elf_file_can_be_signed_detached_with_the_same_signed_digest(tmp_path: Path) -> None:
    path = program(tmp_path)
    sign(path, detached=True)
    first = verified(path)
    assert first.carrier is Carrier.DETACHED
    sign(path)
    assert verified(path).signed_digest == first.signed_digest


def test_a_credential_inside_settles_it_and_the_one_beside_is_not_read(tmp_path: Path) -> None:
    path = program(tmp_path)
    sign(path)
    beside(path).write_bytes(b"junk")
    assert verified(path).carrier is Carrier.EMBEDDED
    with pytest.raises(IdentityError, match="carries a credential inside"):
        sign(path, detached=True)


def test_signing_again_replaces_the_credential_and_does_not_grow_the_file(tmp_path: Path) -> None:
    path = program(tmp_path)
    sign(path)
    size = path.stat().st_size
    sign(path, "payments/web")
    assert path.stat().st_size == size
    assert verified(path).identity == "payments/web"


def test_taking_the_credential_out_gives_back_the_very_file(tmp_path: Path) -> None:
    path = program(tmp_path)
    before = path.read_bytes()
    sign(path)
    assert unsign_file(path)
    assert path.read_bytes() == before
    assert not unsign_file(path)


def test_strip_keeps_the_note_and_the_file_is_refused_as_altered_until_signed_again(tmp_path: Path) -> None:
    path = program(tmp_path)
    sign(path)
    subprocess.run(["strip", path], check=True)
    shown = subprocess.run(["readelf", "-SW", path], check=True, capture_output=True, text=True).stdout
    assert ".note.menshen" in shown
    result = refused(path)
    assert result.reason is Reason.DIGEST_MISMATCH
    assert "strip" in result.sentence
    sign(path)
    assert verified(path).identity == "payments/api"
    assert runs(path)


def test_a_file_without_sections_can_carry_a_credential(tmp_path: Path) -> None:
    path = program(tmp_path)
    content = bytearray(path.read_bytes())
    content[40:48] = bytes(8)
    content[58:64] = bytes(6)
    path.write_bytes(content)
    sign(path)
    assert verified(path).identity == "payments/api"
    assert runs(path)
    unsign_file(path)
    assert path.read_bytes() == content


def test_a_modified_byte_anywhere_in_a_signed_elf_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(tiny_elf())
    sign(path)
    good = path.read_bytes()
    known = trust()
    assert isinstance(verify_file(path, known, NOW), Verified)
    for position in range(len(good)):
        for flip in (0x01, 0x20, 0xFF):
            path.write_bytes(good[:position] + bytes([good[position] ^ flip]) + good[position + 1 :])
            result = verify_file(path, known, NOW)
            assert isinstance(result, Refused), f"byte {position} of {len(good)} xor {flip:#x}"


def test_a_byte_added_anywhere_or_taken_away_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(tiny_elf())
    sign(path)
    good = path.read_bytes()
    known = trust()
    for position in range(len(good) + 1):
        for changed in (good[:position] + b"\0" + good[position:], good[:position] + good[position + 1 :]):
            if changed != good:
                path.write_bytes(changed)
                assert isinstance(verify_file(path, known, NOW), Refused), (
                    f"at byte {position} of {len(good)}"
                )


def test_a_signed_elf_truncated_at_every_boundary_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(tiny_elf())
    sign(path)
    good = path.read_bytes()
    known = trust()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        result = verify_file(path, known, NOW)
        assert isinstance(result, Refused)
        assert result.reason in (Reason.NO_CREDENTIAL, Reason.MALFORMED)


def test_a_modified_byte_in_a_signed_script_or_its_credential_is_detected(script: Path) -> None:
    sign(script)
    known = trust()
    for path in (script, beside(script)):
        good = path.read_bytes()
        for position in range(len(good)):
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            assert isinstance(verify_file(script, known, NOW), Refused), f"byte {position} of {path}"
        path.write_bytes(good)
    assert isinstance(verify_file(script, known, NOW), Verified)


def test_a_key_may_not_give_a_name_outside_its_patterns(script: Path) -> None:
    sign(script, "billing/api")
    result = refused(script)
    assert result.reason is Reason.NAME_NOT_GIVEN
    assert "billing/api" in result.sentence
    assert "payments/*" in result.sentence


def test_a_reserved_name_is_given_only_by_a_root_that_opens_it(script: Path) -> None:
    sign(script, "os/bash")
    assert refused(script).reason is Reason.NAME_NOT_GIVEN
    opened = root_yaml(key_yaml(key(), '["os/*"]'), more='reserved: ["os/"]\n')
    assert verified(script, opened).identity == "os/bash"


TIMES: list[tuple[str, float, str, Reason | None]] = [
    ("within", NOW + DAY, "", None),
    ("last second", NOW + 30 * DAY - 1, "", None),
    ("statement expired", NOW + 30 * DAY, "", Reason.EXPIRED),
    ("clock a little behind", NOW - 200, "", None),
    ("issued in the future", NOW - DAY, "", Reason.NOT_YET_VALID),
    ("key expired", NOW + 2 * DAY, "expires: 2027-01-16T00:00:00Z\n", Reason.KEY_NOT_VALID),
    ("key not yet valid", NOW, "notBefore: 2027-02-01\n", Reason.KEY_NOT_VALID),
    ("issued before the key was valid", NOW + 20 * DAY, "notBefore: 2027-02-01\n", Reason.KEY_NOT_VALID),
]


@pytest.mark.parametrize(("what", "now", "more", "reason"), TIMES, ids=[row[0] for row in TIMES])
def test_times_of_statement_and_key_are_kept(
    script: Path, what: str, now: float, more: str, reason: Reason | None
) -> None:
    sign(script)
    document = root_yaml(key_yaml(key(), more=more))
    if reason is None:
        verified(script, document, now=now)
    else:
        assert refused(script, document, now=now).reason is reason, what


BEGUN: list[tuple[str, float, str, Reason | None]] = [
    ("statement and key had begun", NOW + 20 * DAY, "", None),
    ("key had begun", NOW, "notBefore: 2027-01-15\n", None),
    ("statement had not begun", NOW - DAY, "", Reason.NOT_YET_VALID),
    ("key had not begun", NOW, "notBefore: 2027-02-01\n", Reason.KEY_NOT_VALID),
]


@pytest.mark.parametrize(("what", "reached", "more", "reason"), BEGUN, ids=[row[0] for row in BEGUN])
def test_what_had_begun_by_this_hosts_clock_does_not_end_when_the_clock_is_set_back(
    script: Path, what: str, reached: float, more: str, reason: Reason | None
) -> None:
    sign(script)
    known = trust(root_yaml(key_yaml(key(), more=more)))
    result = verify_file(script, known, NOW - 700 * DAY, reached=reached)
    assert (result.reason if isinstance(result, Refused) else None) is reason, what


def test_what_has_expired_stays_so_whatever_the_clock_has_shown(script: Path) -> None:
    sign(script)
    result = verify_file(script, trust(), NOW + 40 * DAY, reached=NOW)
    assert isinstance(result, Refused)
    assert result.reason is Reason.EXPIRED


def test_the_credential_lapses_when_the_key_does(script: Path) -> None:
    sign(script)
    document = root_yaml(key_yaml(key(), more="expires: 2027-01-20\n"))
    assert verified(script, document).expires == 1_800_403_200


def revoking(field: str, value: str, since: str = "") -> str:
    return root_yaml(
        key_yaml(key()), more=f'revoked:\n  - {{{field}: "{value}", {since} reason: "stolen laptop"}}\n'
    )


REVOKED: list[tuple[str, Callable[[Verified], str]]] = [
    ("keyId", lambda good: good.key_id),
    ("sha256", lambda good: good.file_digest.hex()),
    ("sha256", lambda good: good.signed_digest.hex()),
    ("statement", lambda good: good.statement_digest.hex()),
]


@pytest.mark.parametrize(("field", "value"), REVOKED)
def test_what_is_revoked_gives_no_identity(
    tmp_path: Path, field: str, value: Callable[[Verified], str]
) -> None:
    path = program(tmp_path)
    sign(path)
    named = value(verified(path))
    result = refused(path, revoking(field, named))
    assert result.reason is Reason.REVOKED
    assert "stolen laptop" in result.sentence
    assert refused(path, revoking(field, named, "since: 2027-01-01,")).reason is Reason.REVOKED
    assert verified(path, revoking(field, named, "since: 2027-01-20,")).expires == 1_800_403_200


def test_a_revocation_in_one_root_holds_against_every_other(script: Path) -> None:
    sign(script)
    other = root_yaml(
        key_yaml(key(OTHER)),
        name="other",
        more=f"revoked: [{{keyId: {key().public.key_id}, reason: lost}}]\n",
    )
    assert refused(script, root_yaml(key_yaml(key())), other).reason is Reason.REVOKED


def test_grants_of_one_key_in_two_roots_add_up(script: Path) -> None:
    sign(script, "web/shop")
    second = root_yaml(key_yaml(key(), '["web/*"]'), name="web")
    assert verified(script, root_yaml(key_yaml(key())), second).root == "web"


def test_an_unknown_key_is_named(script: Path) -> None:
    sign(script, signer=OTHER)
    result = refused(script)
    assert result.reason is Reason.UNKNOWN_KEY
    assert key(OTHER).public.key_id in result.sentence


def test_a_signature_under_another_key_s_id_is_bad(script: Path) -> None:
    sign(script, signer=OTHER)
    value = json.loads(beside(script).read_bytes())
    value["signatures"][0]["keyid"] = key().public.key_id
    beside(script).write_text(json.dumps(value))
    assert refused(script).reason is Reason.BAD_SIGNATURE


def test_a_credential_copied_from_another_file_is_a_digest_mismatch(script: Path, tmp_path: Path) -> None:
    sign(script)
    thief = tmp_path / "thief.sh"
    thief.write_text("#!/bin/sh\nrm -rf /\n")
    beside(thief).write_bytes(beside(script).read_bytes())
    assert refused(thief).reason is Reason.DIGEST_MISMATCH


def test_an_embedded_credential_moved_to_another_program_is_a_digest_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(tiny_elf())
    sign(path)
    found = elf_note.extract(path.read_bytes())
    assert found is not None
    thief = tmp_path / "thief"
    thief.write_bytes(elf_note.embed(Path("/bin/true").read_bytes(), found.envelope))
    assert refused(thief).reason is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize("spaces", [b" ", b"\n"])
def test_an_embedded_envelope_in_another_spelling_is_refused(tmp_path: Path, spaces: bytes) -> None:
    claim = Statement("tiny", hashlib.sha256(tiny_elf()).digest(), "payments/api", NOW, NOW + DAY)
    envelope = dsse.seal(claim.to_payload(), key()).to_bytes().replace(b":", b":" + spaces)
    path = tmp_path / "tiny"
    path.write_bytes(elf_note.embed(tiny_elf(), envelope))
    assert refused(path).reason is Reason.MALFORMED


def test_one_good_signature_of_several_is_enough(script: Path) -> None:
    sign(script)
    known = dsse.parse(beside(script).read_bytes())
    second = dsse.seal(known.payload, key(OTHER))
    both = dsse.Envelope(known.payload, second.signatures + known.signatures)
    beside(script).write_bytes(both.to_bytes())
    assert verified(script).key_id == key().public.key_id


def test_of_several_refusals_the_nearest_to_success_is_told(script: Path) -> None:
    sign(script, "billing/api")
    known = dsse.parse(beside(script).read_bytes())
    second = dsse.seal(known.payload, key(OTHER))
    beside(script).write_bytes(dsse.Envelope(known.payload, second.signatures + known.signatures).to_bytes())
    assert refused(script).reason is Reason.NAME_NOT_GIVEN


def test_without_a_credential_there_is_no_identity(tmp_path: Path) -> None:
    assert refused(program(tmp_path)).reason is Reason.NO_CREDENTIAL


@pytest.mark.parametrize("name", ["missing", "dir", "fifo", "a\0b", "x" * 300])
def test_what_cannot_be_read_is_refused_without_waiting(tmp_path: Path, name: str) -> None:
    if name == "dir":
        (tmp_path / name).mkdir()
    if name == "fifo":
        os.mkfifo(tmp_path / name)
    assert refused(tmp_path / name).reason in (Reason.UNREADABLE, Reason.MALFORMED)


def test_an_elf_file_with_a_broken_section_table_can_have_a_detached_credential(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    path.write_bytes(tiny_elf()[:100])
    assert refused(path).reason is Reason.MALFORMED
    sign(path, detached=True)
    assert verified(path).carrier is Carrier.DETACHED


def test_what_was_verified_becomes_a_catalogue_entry_under_the_kernel_s_digest(tmp_path: Path) -> None:
    path = program(tmp_path)
    sign(path)
    entry = verified(path).entry()
    assert entry.digest == hashlib.sha256(path.read_bytes()).digest()
    assert (entry.identity, entry.source, entry.expires) == ("payments/api", Source.SIGNED, NOW + 30 * DAY)


BAD_SIGNING: list[tuple[str, dict[str, Any]]] = [
    ("Payments/API", {}),
    ("payments/api", {"expires": NOW}),
    ("payments/api", {"builder": "a\x1b[31m"}),
]


@pytest.mark.parametrize(("name", "more"), BAD_SIGNING)
def test_what_could_not_be_verified_is_not_signed(script: Path, name: str, more: dict[str, Any]) -> None:
    with pytest.raises(IdentityError):
        sign(script, name, **more)
    assert not beside(script).exists()


def test_an_object_file_carries_no_credential_inside(tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    content = bytearray(tiny_elf())
    content[16] = 1
    path.write_bytes(content)
    with pytest.raises(IdentityError, match="detached"):
        sign(path)
