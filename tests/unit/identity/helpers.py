"""What the identity tests share: keys made once, trust written as YAML, and small programs to sign."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from functools import lru_cache
from pathlib import Path

from identity import trust_file
from identity.keys import Algorithm, PrivateKey, generate
from identity.trust import Trust

NOW = 1_800_000_000
DAY = 86_400


def key(name: str = "payments", algorithm: Algorithm = Algorithm.ED25519) -> PrivateKey:
    """A key for the whole test run."""
    return _key(name, algorithm)


@lru_cache(maxsize=8)
def _key(name: str, algorithm: Algorithm) -> PrivateKey:
    assert name
    return generate(algorithm)


def key_yaml(signer: PrivateKey, identities: str = '["payments/*"]', more: str = "") -> str:
    """One entry of spec.keys."""
    pem = textwrap.indent(signer.public.pem.strip(), " " * 8)
    return f"    - publicKey: |\n{pem}\n      identities: {identities}\n" + textwrap.indent(more, " " * 6)


def root_yaml(*keys: str, name: str = "payments", more: str = "") -> str:
    """A trust root."""
    head = f"apiVersion: menshen/v1\nkind: TrustRoot\nmetadata: {{name: {name}}}\nspec:\n  keys:\n"
    return head + "".join(keys) + textwrap.indent(more, "  ")


def trust(*documents: str) -> Trust:
    """Trust from documents; by default the usual key for payments/*."""
    texts = documents or (root_yaml(key_yaml(key())),)
    roots = [root for text in texts for root in trust_file.parse(text.encode(), "trust.yaml", Path("/"))]
    return Trust(roots)


def program(directory: Path) -> Path:
    """A small real program of this machine, to sign and to run."""
    target = directory / "prog"
    shutil.copy("/bin/true", target)
    return target


@lru_cache(maxsize=1)
def tiny_elf() -> bytes:
    """The smallest whole ELF file with sections: header, one note, names, table."""
    import struct

    names = b"\0.shstrtab\0"
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    body = names.ljust(16, b"\0")
    table = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 64, len(names), 0, 0, 1, 0)
    head = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, 2, 1)
    return ident + head + body + table


def runs(path: Path) -> bool:
    """Whether a program still runs."""
    return subprocess.run([path], check=False).returncode == 0
