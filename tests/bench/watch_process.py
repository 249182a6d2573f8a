"""The process of tests/bench/watch_memory.py: `menshen-watch` as it is, whose events come through a pipe."""

from __future__ import annotations

import pickle
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Final

import numpy as np

from bpf_lsm.observation import OBSERVATION, Raw
from enforcer.watch import run, source

AHEAD: Final = 4
"""Batches that may wait here: the pipe holds the bench back, as no kernel would be."""


class PipedSource(source.KernelSource):
    """The kernel's programs run and their rings are emptied, but what is judged comes from a pipe."""

    _waiting: queue.Queue[Raw] | None = None

    def read(self, timeout: float) -> Raw:
        """What came through the pipe."""
        super().read(0)
        if self._waiting is None:
            self._waiting = queue.Queue(AHEAD)
            threading.Thread(target=_receive, args=(sys.stdin.buffer, self._waiting), daemon=True).start()
        try:
            return self._waiting.get(timeout=timeout)
        except queue.Empty:
            return Raw(np.empty(0, OBSERVATION), ())


def _receive(pipe: IO[bytes], waiting: queue.Queue[Raw]) -> None:
    while True:
        try:
            waiting.put(pickle.load(pipe))
        except EOFError:
            return


if __name__ == "__main__":
    source.KernelSource = PipedSource  # type: ignore[misc]  # the watch imports the name when it starts
    sys.exit(run.run(Path(sys.argv[1])))
