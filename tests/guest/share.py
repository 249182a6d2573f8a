"""A folder of the host for a guest: an ext4 picture of it on a read-only disk, always of one size."""

from __future__ import annotations

from pathlib import Path

from tests.guest import cache
from tests.guest.host import HostError, run
from tests.guest.machine import SHARE_SIZE

PLACE = "/mnt/share"
MOUNT = ["sh", "-c", f"blockdev --flushbufs /dev/vdb && mount -o ro,noload /dev/vdb {PLACE}"]


def empty() -> Path:
    """The disk of a guest that shares nothing."""
    path = cache.root() / "empty.share"
    if not path.exists():
        with path.open("wb") as handle:
            handle.truncate(SHARE_SIZE)
    return path


def picture(folder: Path, into: Path) -> Path:
    """A disk with what `folder` holds now."""
    if not folder.is_dir():
        raise HostError(f"SHARE: {folder} is not a folder")
    with into.open("wb") as handle:
        handle.truncate(SHARE_SIZE)
    run(
        [
            "mkfs.ext4",
            "-q",
            "-F",
            "-O",
            "^has_journal",
            "-m",
            "0",
            "-N",
            "200000",
            "-d",
            folder.resolve(),
            into,
        ]
    )
    return into
