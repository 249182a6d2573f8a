"""What was received and the screen has not looked at yet. Bounded: the oldest go, and are counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

KEPT: Final = 20_000
"""Messages that wait for the screen at most, and lines that a view keeps."""


class Buffer:
    """Written by the workers, emptied by the screen ten times a second."""

    def __init__(self, room: int = KEPT) -> None:
        self._waiting: deque[Any] = deque(maxlen=room)
        self._lock = threading.Lock()
        self._received = 0
        self._dropped = 0

    def put(self, messages: Iterable[Any], lost: int = 0) -> None:
        """Messages of one stream, and how many of it the server had to leave out."""
        items = list(messages)
        with self._lock:
            room = (self._waiting.maxlen or 0) - len(self._waiting)
            self._dropped += max(0, len(items) - room) + lost
            self._received += len(items)
            self._waiting.extend(items)

    def take(self) -> list[Any]:
        """Everything that waits."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken

    @property
    def received(self) -> int:
        """Messages since the start."""
        return self._received

    @property
    def dropped(self) -> int:
        """Messages that this terminal was too slow for."""
        return self._dropped
