"""What a credential or a public key says of itself, unchecked, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from identity import credential, dsse, keys, statement
from identity.dsse import MAX_ENVELOPE_BYTES
from identity.errors import IdentityError
from identity.files import read_limited
from identity.times import format_time


def describe(path: Path) -> dict[str, Any] | None:
    """The claims of a file's credential, of a .menshen file, or of a public key; None if there is nothing."""
    try:
        found = credential.find(path)
    except OSError as error:
        raise IdentityError(f"cannot read {path}: {error.strerror}") from None
    if found is not None:
        return _claims(found.envelope) | {
            "carrier": found.carrier.value,
            "file sha256": found.file_digest.hex(),
            "file as signed": found.signed_digest.hex(),
        }
    if path.name.endswith(credential.SUFFIX):
        return _claims(read_limited(path, MAX_ENVELOPE_BYTES, "credential").rstrip(b"\n")) | {
            "kind": "detached credential"
        }
    if path.suffix in (".pub", ".pem"):
        key = keys.load_public(path)
        return {"kind": "public key", "algorithm": key.algorithm.value, "key id": key.key_id}
    return None


def _claims(content: bytes) -> dict[str, Any]:
    envelope = dsse.parse(content)
    claim = statement.parse(envelope.payload)
    shown = {
        "kind": "credential",
        "identity": claim.identity,
        "name when signed": claim.name,
        "sha256 signed": claim.digest.hex(),
        "issued": format_time(claim.issued),
        "expires": format_time(claim.expires),
        "builder": claim.builder or "-",
        "statement": statement.statement_digest(envelope.payload).hex(),
    }
    return shown | {"signed by key": ", ".join(one.key_id for one in envelope.signatures)}
