"""The demo's programs: compiled here, the service signed with a key made for this run."""

from __future__ import annotations

import lzma
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.demo.world import CERTIFIER, IDENTITY, MODULE
from tests.guest.host import run
from tests.guest.kernels import Kernel

SERVICE = Path(__file__).resolve().parent / "service"
MENSHEN = Path(sys.executable).parent / "menshen"
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE"]
ALONE = ["-Os", "-static", "-nostdlib", "-fno-stack-protector", "-fno-pic", "-s", "-Wl,-n,--build-id=none"]

TRUST = """\
apiVersion: menshen/v1
kind: TrustRoot
metadata: {{name: {root}}}
spec:{reserved}
  keys:
    - publicKey: |
{key}
      identities: ["{identities}"]
"""


@dataclass(frozen=True)
class Programs:
    """What was built."""

    service: bytes
    """Signed."""
    foothold: bytes
    certify_key: bytes
    """The private key of whoever certifies sequences."""
    trust: dict[str, str]
    """The trust roots by name: what the service's key may give, and who may certify."""


def build(folder: Path) -> Programs:
    """Compiles the service and the intruder's program, and signs the service as its build pipeline would."""
    service, foothold, key = folder / "payments-api", folder / "foothold", folder / "payments.key"
    run(["clang", *CFLAGS, "-pthread", SERVICE / "payments-api.c", SERVICE / "debug.c", "-o", service])
    run(["clang", *CFLAGS, *ALONE, SERVICE / "foothold.c", "-o", foothold])
    certify_key = folder / "security.key"
    trust = {"payments": _trust(key, "payments/*"), "security": _trust(certify_key, CERTIFIER)}
    run([MENSHEN, "identity", "sign", service, "--key", key, "--as", IDENTITY, "--valid", "1d"])
    (folder / "trust.yaml").write_text(trust["payments"])
    run([MENSHEN, "identity", "verify", service, "--trust", folder / "trust.yaml"])
    return Programs(service.read_bytes(), foothold.read_bytes(), certify_key.read_bytes(), trust)


def _trust(key: Path, identities: str) -> str:
    """Makes a key; the trust root that lets it give these names."""
    run([MENSHEN, "identity", "keygen", key])
    public = "\n".join(f"        {line}" for line in Path(f"{key}.pub").read_text().splitlines())
    reserved = '\n  reserved: ["menshen/"]' if identities == CERTIFIER else ""
    return TRUST.format(root=key.stem, key=public, identities=identities, reserved=reserved)


def module(kernel: Kernel) -> bytes:
    """A module of this kernel that is not loaded, as the kernel takes it."""
    (path,) = kernel.modules.rglob(f"{MODULE}.ko*")
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
