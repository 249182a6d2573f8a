"""Certificates of sequences on this host, and what was taken back: the files of one folder.

NAME.certificate is a certificate; NAME.revoked says why the sequence NAME does not block any more, whatever
its certificate says.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from identity import certificate as certificates
from identity import strict_json, trust_file
from identity.certificate import Certificate
from identity.errors import IdentityError
from identity.files import read_limited, write_atomically
from identity.times import format_time
from identity.trust import Trust

log = logging.getLogger("menshen.certificates")

CERTIFICATE: Final = ".certificate"
REVOKED: Final = ".revoked"


@dataclass(frozen=True, slots=True)
class Certified:
    """Digests of sequences: that may block; that might have, and why not any more; ids of what is revoked."""

    digests: frozenset[bytes] = frozenset()
    lapsed: dict[bytes, str] = field(default_factory=dict)
    revoked: dict[int, str] = field(default_factory=dict)


def sequence_id(digest: bytes) -> int:
    """The number that the kernel knows a sequence by."""
    return int.from_bytes(digest[:8], "little")


def read(folder: Path, trust_folder: Path, now: float | None = None) -> Certified:
    """What holds now. A file that cannot be read or believed certifies nothing, and is told in the log."""
    moment = time.time() if now is None else now
    trust = _trust(trust_folder)
    digests: set[bytes] = set()
    lapsed: dict[bytes, str] = {}
    revoked: dict[int, str] = {}
    for path in sorted(folder.glob(f"*{CERTIFICATE}")) if folder.is_dir() else ():
        try:
            content = read_limited(path, certificates.MAX_BYTES, "certificate")
            reached = path.stat().st_ctime
            claim = certificates.claimed(content)
        except (IdentityError, OSError) as error:
            log.warning("%s certifies nothing: %s", path, error)
            continue
        reason = _revocation(path.with_suffix(REVOKED))
        if reason is not None:
            lapsed[claim.digest] = f"it was revoked: {reason}"
            revoked[sequence_id(claim.digest)] = reason
            continue
        try:
            holds = certificates.verify(content, trust, moment, reached=reached)
            digests.add(holds.certificate.digest)
        except IdentityError as error:
            log.warning("%s does not hold: %s", path, error)
            lapsed[claim.digest] = f"its certificate does not hold: {error.message}"
    return Certified(frozenset(digests - lapsed.keys()), lapsed, revoked)


def fault(content: bytes, trust_folder: Path) -> str:
    """Why a certificate does not hold on this host; empty if it does."""
    try:
        certificates.verify(content, _trust(trust_folder), time.time())
    except IdentityError as error:
        return error.message
    return ""


def _trust(folder: Path) -> Trust:
    try:
        return trust_file.load((folder,)) if folder.exists() else Trust()
    except IdentityError as error:
        log.error("no certificate is believed, since the trust roots cannot be read: %s", error)
        return Trust()


def _revocation(path: Path) -> str | None:
    """The reason; a revocation that cannot be read is one all the same."""
    if not path.exists():
        return None
    try:
        value = strict_json.parse(path.read_bytes(), certificates.MAX_BYTES, "the revocation")
        return strict_json.text(value["reason"], "its reason", 4096)
    except (IdentityError, OSError, KeyError, TypeError):
        return f"{path} cannot be read"


def keep(folder: Path, sequence: str, content: bytes) -> Path:
    """Put a certificate where it counts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sequence}{CERTIFICATE}"
    write_atomically(path, content)
    return path


def revoke(folder: Path, sequence: str, reason: str, now: float | None = None) -> Certificate:
    """Take a certificate back: the sequence blocks again only when somebody removes NAME.revoked by hand."""
    path = folder / f"{sequence}{CERTIFICATE}"
    if not path.exists():
        raise IdentityError(
            f"there is no certificate of sequence {sequence} in {folder}",
            hint="menshen policy show lists the sequences that are in force",
        )
    claim = certificates.claimed(read_limited(path, certificates.MAX_BYTES, "certificate"))
    moment = time.time() if now is None else now
    value: dict[str, Any] = {"sequence": sequence, "reason": reason, "time": format_time(moment)}
    write_atomically(path.with_suffix(REVOKED), json.dumps(value).encode() + b"\n")
    return claim
