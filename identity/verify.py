"""Verifying a file: the identity that its credential gives it, or the reason why it has none."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from pathlib import Path

from identity import credential, dsse, elf_note, statement
from identity.catalogue import Entry, Source
from identity.credential import Carrier, Credential
from identity.dsse import Envelope
from identity.errors import IdentityError
from identity.statement import Statement
from identity.times import format_time
from identity.trust import Grant, Revocation, Revoked, Trust

CLOCK_SKEW = 300
"""Seconds by which a signer's clock may be ahead of this host's."""


class Reason(enum.StrEnum):
    """Why a file has no identity."""

    UNREADABLE = "unreadable"
    NO_CREDENTIAL = "no-credential"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    BAD_SIGNATURE = "bad-signature"
    DIGEST_MISMATCH = "digest-mismatch"
    REVOKED = "revoked"
    NAME_NOT_GIVEN = "name-not-given"
    KEY_NOT_VALID = "key-not-valid"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Verified:
    """A file whose credential holds."""

    path: Path
    identity: str
    carrier: Carrier
    signed_digest: bytes
    file_digest: bytes
    statement_digest: bytes
    key_id: str
    root: str
    issued: int
    expires: int
    """When the credential lapses: the statement, the key, or by an announced revocation."""
    builder: str

    def entry(self) -> Entry:
        """What the catalogue keeps of it."""
        return Entry(
            digest=self.file_digest,
            identity=self.identity,
            source=Source.SIGNED,
            path=str(self.path),
            expires=self.expires,
            evidence=f"key:{self.key_id} statement:{self.statement_digest.hex()}",
            by=self.root,
            at=self.issued,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that has no identity, and why."""

    path: Path
    reason: Reason
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


class RefusedError(Exception):
    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def verify_file(
    path: Path, trust: Trust, now: float | None = None, *, reached: float = 0.0
) -> Verified | Refused:
    """Judge a file by its credential. What is hashed is what was read through one descriptor.

    `reached`: a time, in seconds since the epoch, that this host's clock has shown before, as when the file
    was last changed. What had begun by then does not end because the clock was set back.
    """
    moment = time.time() if now is None else now
    try:
        found = credential.find(path)
        if found is None:
            return Refused(
                path, Reason.NO_CREDENTIAL, "it carries no credential, and there is none beside it"
            )
        return _verify(path, found, trust, moment, max(moment, reached))
    except RefusedError as refusal:
        return Refused(path, refusal.reason, str(refusal))
    except elf_note.AlteredError as error:
        return Refused(path, Reason.DIGEST_MISMATCH, error.message)
    except IdentityError as error:
        return Refused(path, Reason.MALFORMED, error.message)
    except OSError as error:
        return Refused(path, Reason.UNREADABLE, f"it cannot be read: {error.strerror}")
    except ValueError:
        return Refused(path, Reason.UNREADABLE, "it cannot be read: not a file name")


def _verify(path: Path, found: Credential, trust: Trust, now: float, reached: float) -> Verified:
    envelope = dsse.parse(found.envelope)
    if found.carrier is Carrier.EMBEDDED and envelope.to_bytes() != found.envelope:
        raise IdentityError("the embedded envelope is not in its one proper spelling")
    signers = signers_of(envelope, trust)
    claim = statement.parse(envelope.payload)
    statement_digest = statement.statement_digest(envelope.payload)
    if claim.digest != found.signed_digest:
        raise RefusedError(
            Reason.DIGEST_MISMATCH,
            f"its content is not what was signed as {claim.identity} (signed sha256 {claim.digest.hex()}, "
            f"found {found.signed_digest.hex()})",
        )
    names = [
        (Revoked.STATEMENT, statement_digest.hex()),
        (Revoked.FILE, found.signed_digest.hex()),
        (Revoked.FILE, found.file_digest.hex()),
    ]
    for kind, value in names:
        refuse_revoked(trust.revocation(kind, value, now))
    grant = find_grant(signers, claim, trust, now, reached)
    check_times(claim, now, reached)
    names.append((Revoked.KEY, grant.key.key_id))
    ends = [trust.revoked_from(kind, value) for kind, value in names]
    return Verified(
        path=path,
        identity=claim.identity,
        carrier=found.carrier,
        signed_digest=found.signed_digest,
        file_digest=found.file_digest,
        statement_digest=statement_digest,
        key_id=grant.key.key_id,
        root=grant.root,
        issued=claim.issued,
        expires=min(end for end in (claim.expires, grant.expires, *ends) if end is not None),
        builder=claim.builder,
    )


def signers_of(envelope: Envelope, trust: Trust) -> list[str]:
    """The trusted keys whose signatures hold."""
    known = [one for one in envelope.signatures if trust.grants(one.key_id)]
    if not known:
        ids = ", ".join(one.key_id for one in envelope.signatures)
        raise RefusedError(Reason.UNKNOWN_KEY, f"it is signed by a key that no trust root names: {ids}")
    message = envelope.signed_bytes
    good = [one.key_id for one in known if trust.grants(one.key_id)[0].key.verifies(one.value, message)]
    if not good:
        raise RefusedError(
            Reason.BAD_SIGNATURE, f"its signature is not that of the key {known[0].key_id}: forged or damaged"
        )
    return good


def find_grant(signers: list[str], claim: Statement, trust: Trust, now: float, reached: float = 0.0) -> Grant:
    """The first grant that gives the name now; otherwise the refusal of the signer that came nearest."""
    begun = max(now, reached)
    refusals: list[RefusedError] = []
    for key_id in signers:
        try:
            refuse_revoked(trust.revocation(Revoked.KEY, key_id, now))
            grants = [grant for grant in trust.grants(key_id) if grant.gives(claim.identity)]
            if not grants:
                raise _not_given(key_id, claim.identity, trust)
            valid = [grant for grant in grants if _in_window(grant, claim, now, begun)]
            if not valid:
                raise _window_refusal(grants[0], claim, now)
            return valid[0]
        except RefusedError as refusal:
            refusals.append(refusal)
    order = list(Reason)
    raise max(refusals, key=lambda refusal: order.index(refusal.reason))


def _not_given(key_id: str, identity: str, trust: Trust) -> RefusedError:
    given = sorted({pattern for grant in trust.grants(key_id) for pattern in grant.identities})
    return RefusedError(
        Reason.NAME_NOT_GIVEN,
        f"the key {key_id} may not give the name {identity}; it may give {', '.join(given)}",
    )


def _in_window(grant: Grant, claim: Statement, now: float, begun: float) -> bool:
    return (grant.not_before is None or min(begun, claim.issued) >= grant.not_before) and (
        grant.expires is None or max(now, claim.issued) < grant.expires
    )


def _window_refusal(grant: Grant, claim: Statement, now: float) -> RefusedError:
    if grant.expires is not None and (now >= grant.expires or claim.issued >= grant.expires):
        what = f"expired at {format_time(grant.expires)}"
    else:
        what = f"is valid from {format_time(grant.not_before or 0)} only"
    return RefusedError(
        Reason.KEY_NOT_VALID,
        f"the key {grant.key.key_id} of trust root {grant.root} {what}, "
        f"and the statement was issued at {format_time(claim.issued)}",
    )


def check_times(claim: Statement, now: float, reached: float = 0.0) -> None:
    if claim.issued > max(now, reached) + CLOCK_SKEW:
        raise RefusedError(
            Reason.NOT_YET_VALID,
            f"its statement is valid from {format_time(claim.issued)} only: is the clock right?",
        )
    if now >= claim.expires:
        raise RefusedError(
            Reason.EXPIRED, f"its statement expired at {format_time(claim.expires)}: sign the program again"
        )


def refuse_revoked(revocation: Revocation | None) -> None:
    if revocation is None:
        return
    what = {Revoked.KEY: "the key", Revoked.FILE: "the file", Revoked.STATEMENT: "the statement"}[
        revocation.kind
    ]
    raise RefusedError(
        Reason.REVOKED,
        f"{what} {revocation.value} is revoked by trust root {revocation.root}: {revocation.reason}",
    )
