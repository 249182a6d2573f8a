"""The demo's programs: compiled here, the service signed with a key made for this run."""

from __future__ import annotations

import lzma
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.demo.world import IDENTITY, MODULE
from tests.guest.host import run
from tests.guest.kernels import Kernel

SERVICE = Path(__file__).resolve().parent / "service"
MENSHEN = Path(sys.executable).parent / "menshen"
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE"]
ALONE = ["-Os", "-static", "-nostdlib", "-fno-stack-protector", "-fno-pic", "-s", "-Wl,-n,--build-id=none"]

TRUST = """\
apiVersion: menshen/v1
kind: TrustRoot
metadata: {{name: payments}}
spec:
  keys:
    - publicKey: |
{key}
      identities: ["payments/*"]
"""


@dataclass(frozen=True)
class Programs:
    """What was built."""

    service: bytes
    """Signed."""
    foothold: bytes
    trust: str
    """The trust root that says what the service's key may give."""


def build(folder: Path) -> Programs:
    """Compiles the service and the intruder's program, and signs the service as its build pipeline would."""
    service, foothold, key = folder / "payments-api", folder / "foothold", folder / "payments.key"
    run(["clang", *CFLAGS, "-pthread", SERVICE / "payments-api.c", SERVICE / "debug.c", "-o", service])
    run(["clang", *CFLAGS, *ALONE, SERVICE / "foothold.c", "-o", foothold])
    run([MENSHEN, "identity", "keygen", key])
    run([MENSHEN, "identity", "sign", service, "--key", key, "--as", IDENTITY, "--valid", "1d"])
    public = (folder / "payments.key.pub").read_text()
    trust = TRUST.format(key="\n".join(f"        {line}" for line in public.splitlines()))
    (folder / "trust.yaml").write_text(trust)
    run([MENSHEN, "identity", "verify", service, "--trust", folder / "trust.yaml"])
    return Programs(service.read_bytes(), foothold.read_bytes(), trust)


def module(kernel: Kernel) -> bytes:
    """A module of this kernel that is not loaded, as the kernel takes it."""
    (path,) = kernel.modules.rglob(f"{MODULE}.ko*")
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
