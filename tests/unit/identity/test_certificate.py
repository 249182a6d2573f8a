"""Certificates of sequences: who may certify, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from identity import certificate, dsse, keys, trust_file
from identity.certificate import Certificate, Figures
from identity.errors import IdentityError
from identity.trust import Trust

FIGURES = Figures(1000, 0, 200_000, 300_000, 12, 2, 0, 0, "ab" * 32)
CERTIFICATE = Certificate("story", bytes(range(32)), 1_000_000, 2_000_000, FIGURES)
KEY = keys.generate(keys.Algorithm.ED25519)
OTHER = keys.generate(keys.Algorithm.P256)
NOW = 1_500_000
REVOKED = f"  revoked:\n    - {{sha256: {bytes(range(32)).hex()}, reason: it blocked a backup}}\n"


def trust(
    identities: str = '["menshen/certify"]', *, reserved: str = '["menshen/"]', more: str = ""
) -> Trust:
    """One root that names KEY."""
    pem = "".join(f"        {line}\n" for line in KEY.public.pem.splitlines())
    text = (
        "apiVersion: menshen/v1\nkind: TrustRoot\nmetadata: {name: security}\nspec:\n"
        f"  reserved: {reserved}\n{more}  keys:\n    - identities: {identities}\n      publicKey: |\n{pem}"
    )
    return Trust(trust_file.parse(text.encode(), "trust.yaml", Path()))


def test_what_is_sealed_holds_by_a_key_that_may_certify() -> None:
    found = certificate.verify(certificate.seal(CERTIFICATE, KEY), trust(), NOW)
    assert found.certificate == CERTIFICATE
    assert (found.root, found.expires) == ("security", 2_000_000)


@pytest.mark.parametrize(
    ("content", "root", "now", "message"),
    [
        (certificate.seal(CERTIFICATE, OTHER), trust(), NOW, "no trust root names"),
        (certificate.seal(CERTIFICATE, KEY), trust('["payments/*"]', reserved="[]"), NOW, "may not give"),
        (certificate.seal(CERTIFICATE, KEY), trust(), 2_000_000, "expired"),
        (certificate.seal(CERTIFICATE, KEY), trust(), 900_000, "valid from"),
        (
            certificate.seal(CERTIFICATE, KEY),
            trust(more=REVOKED),
            NOW,
            "it blocked a backup",
        ),
        (b"{}", trust(), NOW, "no field"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(content: bytes, root: Trust, now: float, message: str) -> None:
    with pytest.raises(IdentityError, match=message):
        certificate.verify(content, root, now)


def test_a_changed_figure_is_a_forgery() -> None:
    envelope = dsse.parse(certificate.seal(CERTIFICATE, KEY).strip())
    better = replace(CERTIFICATE, figures=replace(FIGURES, events=10**9)).to_payload()
    forged = replace(envelope, payload=better).to_bytes()
    with pytest.raises(IdentityError, match="forged or damaged"):
        certificate.verify(forged, trust(), NOW)


@pytest.mark.parametrize(
    "change",
    [{"events": -1}, {"events": True}, {"events": "many"}, {"history": "x"}, {"more": 1}, {"issued": "now"}],
)
def test_a_statement_of_another_shape_is_refused(change: dict[str, object]) -> None:
    value = json.loads(CERTIFICATE.to_payload())
    value["predicate"] |= change
    with pytest.raises(IdentityError):
        certificate.parse(json.dumps(value).encode())
