"""Certificates of sequences: who states that this sequence, as it stands, had no match in which history.

An in-toto statement in a DSSE envelope, like a credential. A key may certify if a trust root lets it give the
name CERTIFIER, which is reserved: the root has to open it explicitly.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from identity import dsse, strict_json
from identity.errors import IdentityError
from identity.names import check_name
from identity.statement import STATEMENT_TYPE, Statement, statement_digest
from identity.times import format_time, parse_time
from identity.trust import Revoked, Trust
from identity.verify import RefusedError, check_times, find_grant, refuse_revoked, signers_of

if TYPE_CHECKING:
    from identity.keys import PrivateKey

CERTIFIER: Final = "menshen/certify"
PREDICATE_TYPE: Final = "urn:menshen:certificate:v1"
MAX_BYTES: Final = 16 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the history was, and what the sequence made of it. Hours are in thousandths."""

    events: int
    lost: int
    host_millihours: int
    session_millihours: int
    sessions: int
    boots: int
    matches: int
    """Times that it came true by its tags."""
    blocks: int
    """Times that the kernel would have denied something."""
    history: str
    """sha256 over the history's events in their order."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is signed. `digest` is that of the sequence's document."""

    sequence: str
    digest: bytes
    issued: int
    expires: int
    figures: Figures

    def to_payload(self) -> bytes:
        """The statement as JSON, for an envelope."""
        value = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.sequence, "digest": {"sha256": self.digest.hex()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "issued": format_time(self.issued),
                "expires": format_time(self.expires),
                **asdict(self.figures),
            },
        }
        return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Holds:
    """A certificate that holds: by which key and root, and until when."""

    certificate: Certificate
    key_id: str
    root: str
    expires: int


def seal(certificate: Certificate, key: PrivateKey) -> bytes:
    """The certificate signed, as it is kept in a file."""
    payload = certificate.to_payload()
    if parse(payload) != certificate:
        raise IdentityError("the certificate cannot be read back as it was meant")
    return dsse.seal(payload, key).to_bytes() + b"\n"


def verify(content: bytes, trust: Trust, now: float, *, reached: float = 0.0) -> Holds:
    """A certificate that holds now; IdentityError says why it does not. `reached` as in `verify_file`."""
    try:
        envelope = dsse.parse(content.strip())
        good = signers_of(envelope, trust)
        certificate = parse(envelope.payload)
        claim = Statement(
            certificate.sequence, certificate.digest, CERTIFIER, certificate.issued, certificate.expires
        )
        refuse_revoked(trust.revocation(Revoked.STATEMENT, statement_digest(envelope.payload).hex(), now))
        refuse_revoked(trust.revocation(Revoked.FILE, certificate.digest.hex(), now))
        grant = find_grant(good, claim, trust, now, reached)
        check_times(claim, now, reached)
    except RefusedError as refusal:
        raise IdentityError(str(refusal)) from None
    expires = min(end for end in (certificate.expires, grant.expires) if end is not None)
    return Holds(certificate, grant.key.key_id, grant.root, expires)


def claimed(content: bytes) -> Certificate:
    """What a certificate says, whoever says it: nothing of it is true before `verify`."""
    return parse(dsse.parse(content.strip()).payload)


def parse(payload: bytes) -> Certificate:
    """Read a certificate; every deviation is refused."""
    what = "the certificate"
    value = strict_json.parse(payload, MAX_BYTES, what)
    parts = strict_json.fields(value, what, frozenset({"_type", "subject", "predicateType", "predicate"}))
    if parts["_type"] != STATEMENT_TYPE or parts["predicateType"] != PREDICATE_TYPE:
        raise IdentityError(f"{what} is not a statement about a sequence")
    if not isinstance(parts["subject"], list) or len(parts["subject"]) != 1:
        raise IdentityError(f"{what} is not about exactly one sequence")
    subject = strict_json.fields(parts["subject"][0], f"{what}'s subject", frozenset({"name", "digest"}))
    digests = strict_json.fields(subject["digest"], f"{what}'s digest", frozenset({"sha256"}))
    names = frozenset(Figures.__dataclass_fields__)
    predicate = strict_json.fields(parts["predicate"], f"{what}'s predicate", names | {"issued", "expires"})
    return Certificate(
        sequence=check_name(strict_json.text(subject["name"], "the sequence's name")),
        digest=bytes.fromhex(_sha256(digests["sha256"])),
        issued=parse_time(strict_json.text(predicate["issued"], "issued")),
        expires=parse_time(strict_json.text(predicate["expires"], "expires")),
        figures=Figures(
            **{name: _number(predicate[name], name) for name in names - {"history"}},
            history=_sha256(predicate["history"]),
        ),
    )


def _sha256(value: Any) -> str:
    text = strict_json.text(value, "a sha256", 64)
    if not _DIGEST.match(text):
        raise IdentityError("a sha256 is not 64 lower-case hexadecimal digits")
    return text


def _number(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise IdentityError(f"{what} is not a number")
    return value
