"""Signing keys: ed25519 and P-256, in PEM files, named by the sha256 of their SubjectPublicKeyInfo.

Importing this costs some 60 ms (cryptography): a command line imports it in the command that needs it.
"""

from __future__ import annotations

import enum
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from identity.errors import IdentityError
from identity.files import read_limited

MAX_PEM_BYTES = 16 << 10


class Algorithm(enum.StrEnum):
    """What keys we make and accept."""

    ED25519 = "ed25519"
    P256 = "p256"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures."""

    key_id: str
    algorithm: Algorithm
    pem: str
    _key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message`; P-256 signatures are DER over SHA-256."""
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs."""

    public: PublicKey
    _key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS8, encrypted where there is a passphrase."""
        lock: form.KeySerializationEncryption = (
            form.BestAvailableEncryption(passphrase) if passphrase else form.NoEncryption()
        )
        return self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock)


def generate(algorithm: Algorithm = Algorithm.ED25519) -> PrivateKey:
    """A new key pair."""
    if algorithm is Algorithm.ED25519:
        return _private(ed25519.Ed25519PrivateKey.generate())
    return _private(ec.generate_private_key(ec.SECP256R1()))


def save_pair(key: PrivateKey, path: Path, passphrase: bytes | None = None) -> Path:
    """Write the private key to `path` (0600) and the public one to `path`.pub; neither may exist."""
    public = path.with_name(path.name + ".pub")
    for target in (path, public):
        if target.exists() or target.is_symlink():
            raise IdentityError(f"{target} is there already: keys are not overwritten")
    _write_new(path, key.pem(passphrase), 0o600)
    _write_new(public, key.public.pem.encode(), 0o644)
    return public


def load_private(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key that others cannot read."""
    content = read_limited(path, MAX_PEM_BYTES, "private key")
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        raise IdentityError(f"private key {path} is open to everyone", hint=f"chmod 600 {path}")
    try:
        return _private(form.load_pem_private_key(content, passphrase))
    except TypeError:
        need = "needs no passphrase" if passphrase else "needs a passphrase"
        raise IdentityError(f"private key {path} {need}") from None
    except (ValueError, UnsupportedAlgorithm):
        problem = "the passphrase is wrong or the file damaged" if passphrase else "not a PEM private key"
        raise IdentityError(f"cannot read private key {path}: {problem}") from None


def load_public(path: Path) -> PublicKey:
    """Read a public key."""
    return parse_public(read_limited(path, MAX_PEM_BYTES, "public key"), str(path))


def parse_public(pem: bytes, what: str = "public key") -> PublicKey:
    """A public key from PEM."""
    try:
        return _public(form.load_pem_public_key(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        hint = "the text of a .pub file: -----BEGIN PUBLIC KEY----- ... -----END PUBLIC KEY-----"
        raise IdentityError(f"{what} is not a PEM public key", hint=hint) from None


def _private(key: Any) -> PrivateKey:
    public = _public(key.public_key())
    return PrivateKey(public, key)


def _public(key: Any) -> PublicKey:

    if isinstance(key, ed25519.Ed25519PublicKey):
        algorithm = Algorithm.ED25519
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = Algorithm.P256
    else:
        raise IdentityError("this kind of key is not supported", hint="an ed25519 or P-256 key")
    info = form.PublicFormat.SubjectPublicKeyInfo
    key_id = hashlib.sha256(key.public_bytes(form.Encoding.DER, info)).hexdigest()
    return PublicKey(key_id, algorithm, key.public_bytes(form.Encoding.PEM, info).decode(), key)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, mode)
    except OSError as error:
        raise IdentityError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
