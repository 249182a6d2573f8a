"""The statement that a credential makes: these bytes are this identity, from then until then (in-toto v1)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from identity import strict_json
from identity.errors import IdentityError
from identity.names import check_name
from identity.times import format_time, parse_time

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:menshen:identity:v1"
MAX_STATEMENT_BYTES = 16 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed. `digest` is the sha256 of the file as it is without its embedded credential."""

    name: str
    """The file's name when it was signed; for people only."""
    digest: bytes
    identity: str
    issued: int
    expires: int
    builder: str = ""

    def __post_init__(self) -> None:
        check_name(self.identity)
        if self.expires <= self.issued:
            raise IdentityError("the statement expires before it is issued")

    def to_payload(self) -> bytes:
        """The statement as JSON, for an envelope."""
        predicate = {
            "identity": self.identity,
            "issued": format_time(self.issued),
            "expires": format_time(self.expires),
        }
        if self.builder:
            predicate["builder"] = self.builder
        value = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.name, "digest": {"sha256": self.digest.hex()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def statement_digest(payload: bytes) -> bytes:
    """What a trust root names to revoke one statement: the sha256 of the envelope's payload."""
    return hashlib.sha256(payload).digest()


def parse(payload: bytes) -> Statement:
    """Read a statement; every deviation is refused."""
    what = "the statement"
    value = strict_json.parse(payload, MAX_STATEMENT_BYTES, what)
    parts = strict_json.fields(value, what, frozenset({"_type", "subject", "predicateType", "predicate"}))
    if parts["_type"] != STATEMENT_TYPE:
        raise IdentityError(f"{what} is not an in-toto v1 statement")
    if parts["predicateType"] != PREDICATE_TYPE:
        raise IdentityError(f"{what} is not about an identity (predicateType is not {PREDICATE_TYPE})")
    if not isinstance(parts["subject"], list) or len(parts["subject"]) != 1:
        raise IdentityError(f"{what} is not about exactly one subject")
    subject = strict_json.fields(
        parts["subject"][0], "the statement's subject", frozenset({"name", "digest"})
    )
    digests = strict_json.fields(subject["digest"], "the subject's digest", frozenset({"sha256"}))
    digest = strict_json.text(digests["sha256"], "the subject's sha256", 64)
    if not _DIGEST.match(digest):
        raise IdentityError("the subject's sha256 is not 64 lower-case hexadecimal digits")
    predicate = strict_json.fields(
        parts["predicate"],
        "the statement's predicate",
        frozenset({"identity", "issued", "expires"}),
        frozenset({"builder"}),
    )
    return Statement(
        name=strict_json.text(subject["name"], "the subject's name"),
        digest=bytes.fromhex(digest),
        identity=check_name(strict_json.text(predicate["identity"], "identity")),
        issued=parse_time(strict_json.text(predicate["issued"], "issued")),
        expires=parse_time(strict_json.text(predicate["expires"], "expires")),
        builder=strict_json.text(predicate.get("builder", ""), "builder"),
    )
