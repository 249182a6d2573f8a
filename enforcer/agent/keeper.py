"""The thread that has the pins' mount back when somebody took it out of the tree."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bpf_lsm import kept
from bpf_lsm.errors import GateError

MOUNTS: Final = Path("/proc/self/mountinfo")

log = logging.getLogger("menshen.keeper")


class Keeper:
    """Looks at each change of the mounts, and holds a clone of the one that matters.

    We hold the hooks while we live. What is out of the tree is gone with the last who holds it, and not found
    by the next agent.
    """

    def __init__(self, folder: Path, notice: Callable[[str], None]) -> None:
        """`folder` is the root of the bpffs that the pins are on."""
        self._folder = folder
        self._notice = notice
        self._device = folder.stat().st_dev
        self._spare = kept.clone(folder)
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin looking; it ends with the process."""
        self._thread.start()

    def check(self) -> bool:
        """Put the mount back if it is gone; whether it was."""
        try:
            if self._folder.stat().st_dev == self._device:
                return False
            kept.attach(self._spare, self._folder)
            used, self._spare = self._spare, kept.clone(self._folder)
            os.close(used)
        except (OSError, GateError) as error:
            log.critical("%s was unmounted, which takes tampering, and is not back: %s", self._folder, error)
            return False
        log.critical("%s was unmounted, which takes tampering: it is mounted again", self._folder)
        self._notice(f"{self._folder} was unmounted, which takes tampering: it is mounted again")
        return True

    def _run(self) -> None:
        changes = select.poll()
        with MOUNTS.open("rb") as mounts:
            changes.register(mounts.fileno(), select.POLLPRI)
            self.check()
            while True:
                changes.poll()
                self.check()
