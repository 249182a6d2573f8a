"""The clocks of the host. A test has its own."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Final

_STEP: Final = 1_000_000_000
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """CLOCK_BOOTTIME, on which events are, the wall, and which boot this is."""

    def __init__(self) -> None:
        self.boot = uuid.UUID(BOOT_ID.read_text().strip())
        self._offset: int | None = None

    def boottime(self) -> int:
        """Nanoseconds since the host was started; never set."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall(self) -> int:
        """Nanoseconds since 1970, as the host believes."""
        return time.time_ns()

    def offset(self) -> int:
        """What makes CLOCK_BOOTTIME wall time. It stays until the wall was set by a second or more."""
        found = self.wall() - self.boottime()
        if self._offset is None or abs(found - self._offset) >= _STEP:
            self._offset = found
        return self._offset
