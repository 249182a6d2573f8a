"""The gate: the loaded kernel programs, as one thing that is installed, asked and taken down.

SKELETON: the signatures hold; the bodies follow within the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.events import Batch

PIN_DIR: Final = Path("/sys/fs/bpf/menshen")
RUN_DIR: Final = Path("/run/menshen")
CAPACITY: Final = 8 << 20
CATALOGUE_SIZE: Final = 131_072


def is_loaded(pin_dir: Path = PIN_DIR) -> bool:
    """Whether a complete gate is pinned there."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Label:
    """Who a task is."""

    identity: int
    """0: unidentified."""
    row: int
    flags: int
    """LabelFlag."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A protected file that has more than one name."""

    inode: int
    device: int
    """As stat gives it."""
    generation: int
    """i_generation (FS_IOC_GETVERSION)."""


class Ring:
    """The consumer of one ring; only one at a time may read it."""

    def fileno(self) -> int:
        """For poll, epoll and selectors: readable when there may be records."""
        raise NotImplementedError

    def read(self, timeout: float | None = 0) -> list[bytes]:
        """The records that are there; if none, those that come within `timeout` seconds (None: wait)."""
        raise NotImplementedError

    def read_batch(self, timeout: float | None = 0) -> Batch:
        """The same as columns."""
        raise NotImplementedError


class Gate:
    """A loaded gate. Enforcement goes on when this object, or its process, is gone: use off() to end it."""

    denials: Ring
    events: Ring
    capacity: int
    """The largest image in bytes."""

    @classmethod
    def load(
        cls,
        object_path: Path,
        *,
        pin_dir: Path = PIN_DIR,
        run_dir: Path = RUN_DIR,
        capacity: int = CAPACITY,
        catalogue_size: int = CATALOGUE_SIZE,
        version: str = "",
    ) -> Gate:
        """Load, attach and pin every program, or none: LoadError names the program and the reason.

        No image is in force afterwards: everything is allowed until install().
        """
        raise NotImplementedError

    @classmethod
    def adopt(cls, *, pin_dir: Path = PIN_DIR, run_dir: Path = RUN_DIR) -> Gate:
        """Take over a running gate after a restart; GateError if there is none."""
        raise NotImplementedError

    def upgrade(self, object_path: Path, *, version: str = "") -> None:
        """Put new programs in the place of the old over the same maps, without a gap. All or nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of our file descriptors; the pins keep enforcement on."""
        raise NotImplementedError

    def off(self) -> None:
        """Disarm the guard, detach and unpin everything, and verify that nothing of ours is left."""
        raise NotImplementedError

    def metadata(self) -> dict[str, Any]:
        """What run_dir/gate.json says: object (sha256), version, programs, missing, loaded_at."""
        raise NotImplementedError

    # Policy images

    def install(self, image: bytes) -> int:
        """Put an image in force in one step and return its generation."""
        raise NotImplementedError

    def image(self) -> bytes | None:
        """The image in force, with its generation; None if there is none."""
        raise NotImplementedError

    @property
    def generation(self) -> int:
        """Of the image in force; 0 if there is none."""
        raise NotImplementedError

    # Who is who

    def set_credentials(self, add: Mapping[bytes, int], remove: Iterable[bytes] = ()) -> None:
        """Change the catalogue (sha256 -> identity id). TableFullError: nothing was changed."""
        raise NotImplementedError

    def credentials(self) -> dict[bytes, int]:
        """The catalogue as the kernel has it."""
        raise NotImplementedError

    def adopt_tasks(self, by_file: Mapping[tuple[int, int], int], by_pid: Mapping[int, int]) -> int:
        """Label the tasks that were there before us; how many were labelled.

        `by_file`: (st_dev, st_ino) of an executable -> identity id; `by_pid`: tgid -> identity id, first.
        """
        raise NotImplementedError

    def label_of(self, pid: int) -> Label | None:
        """The label of a process (tgid); None if it has none or is gone."""
        raise NotImplementedError

    # Protected files with more than one name

    def aliases(self) -> dict[Alias, int]:
        """The automaton state of each."""
        raise NotImplementedError

    def set_aliases(self, add: Mapping[Alias, int], remove: Iterable[Alias] = ()) -> None:
        """Change them. TableFullError: nothing was changed."""
        raise NotImplementedError

    # What happened

    def counters(self) -> dict[str, int]:
        """By name: denied, would_deny, denials_lost, ..."""
        raise NotImplementedError

    def rule_tallies(self, count: int) -> NDArray[np.void]:
        """dtype TALLY of the first `count` rules of the image in force."""
        raise NotImplementedError

    def row_tallies(self, count: int) -> NDArray[np.void]:
        """dtype TALLY of the first `count` rows."""
        raise NotImplementedError

    # The guard

    @property
    def guarded(self) -> bool:
        """Whether the guard is armed."""
        raise NotImplementedError

    def arm_guard(self, agent_identity: int) -> None:
        """From now on only tasks of this identity may touch the gate."""
        raise NotImplementedError

    def disarm_guard(self) -> None:
        """Let others touch the gate again."""
        raise NotImplementedError
