"""What is known of a segment without opening it, and the names of the store's files.

A segment is named after the journals that it was made of: `000017-000024`, the first and the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "catalogue.json"
ENTRY: Final = "entry.json"
TEMPORARY: Final = ".new"


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment. Times are nanoseconds of CLOCK_BOOTTIME of the boot."""

    name: str
    boot: str
    events: int
    size: int
    first: int
    last: int
    clock: int
    """Added to `last`: nanoseconds since 1970."""
    age_mark: int
    """The store's own clock when the youngest event was sealed; see Catalogue.now."""

    @property
    def journals(self) -> tuple[int, int]:
        """Numbers of the first and the last journal that are in it."""
        first, _, last = self.name.partition("-")
        return int(first), int(last)


@dataclass(frozen=True, slots=True)
class Listing:
    """All segments in the order of their journals, and what is known of the store as a whole."""

    segments: tuple[Entry, ...] = ()
    elapsed: int = 0
    wall: int = 0
    boot: str = ""


def segment_name(first: int, last: int) -> str:
    return f"{first:06}-{last:06}"


def boot_text(raw: bytes) -> str:
    """A boot id as the kernel writes it."""
    return str(uuid.UUID(bytes=raw))


def journal_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.journal"


def journals(folder: Path) -> dict[int, Path]:
    """The journals that are there, by number."""
    return {int(path.stem): path for path in sorted(folder.glob("*.journal")) if path.stem.isdigit()}


def read_listing(folder: Path) -> Listing:
    """ValueError if it cannot be read as one; OSError."""
    try:
        raw = json.loads((folder / FILE).read_text())
        entries = tuple(entry_of(one) for one in raw.pop("segments"))
        return Listing(entries, **raw)
    except FileNotFoundError:
        return Listing()
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder / FILE}: {error}") from None


def entry_of(raw: dict[str, Any]) -> Entry:
    found = Entry(**raw)
    if not all(part.isdigit() for part in found.name.split("-")) or len(found.name.split("-")) != 2:
        raise ValueError(f"{found.name!r} is no segment")
    return found


def write_file(path: Path, text: str) -> None:
    with path.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def write_listing(folder: Path, listing: Listing) -> None:
    """Replace the list as a whole."""
    new = folder / (FILE + TEMPORARY)
    write_file(new, json.dumps(asdict(listing)))
    rename(new, folder / FILE)


def write_entry(folder: Path, entry: Entry) -> None:
    """Beside the segment's files: the list can be made again from what is there."""
    write_file(folder / ENTRY, json.dumps(asdict(entry)))


def rename(new: Path, place: Path) -> None:
    """Give a file or folder its name. That is done even if the disk cannot keep it yet: the next time may."""
    new.rename(place)
    with contextlib.suppress(OSError):
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
