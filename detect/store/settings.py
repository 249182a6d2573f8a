"""What the store can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")


class Apart(Protocol):
    """Calls a function of ours with these arguments where Arrow may be in memory: in another process.

    OSError: its own, or that there was no answer. Any other error of its comes as some exception.
    """

    def __call__(self, function: Callable[..., T], *arguments: object) -> T:
        """What it answers."""


def here(function: Callable[..., T], *arguments: object) -> T:
    """In this process."""
    return function(*arguments)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How much is kept, and where."""

    folder: Path = Path("/var/lib/menshen/events")
    max_bytes: int = 4 << 30
    """Bytes of history; beyond them the oldest goes."""
    max_days: float = 30.0
    """Days of the host's being up, and of what lay between two boots, after which an event goes. A wall clock
    that is set while the host is up makes nothing older."""
    min_free: int = 256 << 20
    """Bytes that are left to others on the file system; below them the oldest goes."""
    queue_events: int = 65_536
    """Events that may wait for the disk. Beyond them new ones are not kept, and counted."""
    seal_events: int = 131_072
    """Events of one sealed piece before any are merged; this much is in memory."""
    seal_seconds: float = 600.0
    """Seconds after which fewer events are sealed too."""
    merge: int = 4
    """Neighbouring pieces of about one size that are merged into one."""
    merged_events: int = 1 << 19
    """Events beyond which a piece is merged no more. Merging holds so many in memory, about 80 bytes each."""
