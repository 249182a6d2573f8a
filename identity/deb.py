"""What is inside a .deb: the sha256 of its files, from bytes that were checked before being unpacked."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from identity.errors import IdentityError
from identity.files import read_limited

MAX_DEB = 1 << 30
_AR_MAGIC = b"!<arch>\n"
_AR_HEAD = 60
_OPENERS = {"data.tar": "r|", "data.tar.gz": "r|gz", "data.tar.xz": "r|xz", "data.tar.bz2": "r|bz2"}


def checked_contents(path: Path, digest: bytes, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The sha256 of the wanted files in a .deb, if the .deb itself has the sha256 that is vouched for.

    Paths are as in the package: absolute, links not followed. Hard links within the package are files too.
    """
    content = read_limited(path, MAX_DEB, "package")
    if hashlib.sha256(content).digest() != digest:
        raise IdentityError(f"{path.name} is not the package that the signed metadata vouches for")
    name, data = _data_member(content)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode=_OPENERS[name]) as archive:  # type: ignore[call-overload]
            for member in archive:
                inside = "/" + member.name.removeprefix("./").lstrip("/")
                if member.islnk():
                    target = "/" + member.linkname.removeprefix("./").lstrip("/")
                    if target in found:
                        found[inside] = found[target]
                elif member.isreg() and wanted(inside):
                    stream = archive.extractfile(member)
                    if stream is not None:
                        found[inside] = hashlib.file_digest(stream, "sha256").digest()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise IdentityError(f"{path.name} cannot be unpacked: {error}") from None
    return found


def index(directories: list[Path]) -> dict[tuple[str, str, str], Path]:
    """The .debs of some directories by (package, version, architecture), as apt names its files."""
    found: dict[tuple[str, str, str], Path] = {}
    for directory in directories:
        for path in sorted(directory.glob("*.deb")):
            parts = unquote(path.stem).split("_")
            if len(parts) == 3:
                found[(parts[0], parts[1], parts[2])] = path
    return found


def _data_member(content: bytes) -> tuple[str, bytes]:
    if not content.startswith(_AR_MAGIC):
        raise IdentityError("the package is not a .deb")
    at = len(_AR_MAGIC)
    while at + _AR_HEAD <= len(content):
        head = content[at : at + _AR_HEAD]
        name = head[:16].decode("ascii", "replace").strip().rstrip("/")
        size_text = head[48:58].strip()
        if not size_text.isdigit():
            break
        size = int(size_text)
        if name.startswith("data.tar"):
            if name not in _OPENERS:
                raise IdentityError(
                    f"the package's {name} is packed in a way that this program does not read"
                )
            return name, content[at + _AR_HEAD : at + _AR_HEAD + size]
        at += _AR_HEAD + size + (size & 1)
    raise IdentityError("the package has no data")
