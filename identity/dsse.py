"""DSSE envelopes: a payload and signatures over its type and bytes, parsed strictly."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from identity import strict_json
from identity.errors import IdentityError

if TYPE_CHECKING:
    from identity.keys import PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES = 32 << 10
MAX_SIGNATURES = 8
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature and the id of the key that is said to have made it."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it. Nothing in it is true before a signature was checked."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed_bytes(self) -> bytes:
        """What the signatures are over: DSSE's pre-authentication encoding."""
        return pae(PAYLOAD_TYPE, self.payload)

    def to_bytes(self) -> bytes:
        """The one spelling that is embedded in a file."""
        value = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": one.key_id, "sig": base64.b64encode(one.value).decode()} for one in self.signatures
            ],
        }
        return json.dumps(value, separators=(",", ":")).encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each with its length before it."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, key: PrivateKey) -> Envelope:
    """A payload signed by one key."""
    signature = Signature(key.public.key_id, key.sign(pae(PAYLOAD_TYPE, payload)))
    return Envelope(payload, (signature,))


def parse(content: bytes) -> Envelope:
    """Read an envelope; every deviation is refused."""
    what = "the credential's envelope"
    value = strict_json.parse(content, MAX_ENVELOPE_BYTES, what)
    parts = strict_json.fields(value, what, frozenset({"payload", "payloadType", "signatures"}))
    if parts["payloadType"] != PAYLOAD_TYPE:
        raise IdentityError(f"{what} does not hold an in-toto statement (payloadType is not {PAYLOAD_TYPE})")
    signatures = parts["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise IdentityError(f"{what} does not have 1 to {MAX_SIGNATURES} signatures")
    parsed = tuple(_signature(one, what) for one in signatures)
    if len({one.key_id for one in parsed}) != len(parsed):
        raise IdentityError(f"{what} has two signatures of one key")
    return Envelope(_base64(parts["payload"], f"{what}: payload"), parsed)


def _signature(value: Any, what: str) -> Signature:
    parts = strict_json.fields(value, f"{what}: a signature", frozenset({"keyid", "sig"}))
    key_id = parts["keyid"]
    if not isinstance(key_id, str) or not _KEY_ID.match(key_id):
        raise IdentityError(f"{what}: a keyid is not 64 lower-case hexadecimal digits")
    return Signature(key_id, _base64(parts["sig"], f"{what}: sig"))


def _base64(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        raise IdentityError(f"{what} is not a string")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise IdentityError(f"{what} is not base64") from None
    if base64.b64encode(content).decode() != value:
        raise IdentityError(f"{what} is not base64 in its one proper spelling")
    return content
