"""Where events are missing: a sequence that had begun before then is told as incomplete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Gaps:
    """The newest gap of all, and of each of the `limit` sessions that had one last. Times are nanoseconds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lost: int | None = None
        self._newest = -1
        self._of: dict[int, int] = {}

    def of_all(self, now: int) -> None:
        """Events were lost, nobody knows whose."""
        self._newest = now

    def of_session(self, session: int, now: int) -> None:
        """Events of a session were lost."""
        self._of.pop(session, None)
        self._of[session] = now
        if len(self._of) > self.limit:
            oldest = next(iter(self._of))
            self._newest = max(self._newest, self._of.pop(oldest))

    def since(self, session: int, start: int) -> bool:
        """Whether something of a session may be missing since then."""
        return max(self._newest, self._of.get(session, -1)) >= start

    def found(self, lost: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Where more was lost than ever before. Events of another source than the kernel have 0 there."""
        if self._lost is None:
            self._lost = int(lost[0])
        if int(lost[0]) == self._lost == int(lost.max()) == int(lost.min()):
            return np.empty(0, np.intp)
        more = (lost - np.uint32(self._lost)).astype(np.int32)
        most = np.maximum.accumulate(np.append(np.int32(0), more))
        self._lost = (self._lost + int(most[-1])) % (1 << 32)
        return np.flatnonzero(more > most[:-1])
