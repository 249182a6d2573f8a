"""What is measured, where, and against which bars: data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROOT: Final = "/bench"
DATA: Final = f"{ROOT}/data"
WORK: Final = f"{ROOT}/work"
PROGRAM: Final = f"{ROOT}/bin/program"
UNCONFINED: Final = f"{ROOT}/bin/unconfined"
"""The same program with another digest: an identity that no Policy names."""
CHILD: Final = f"{ROOT}/bin/child"
OTHER: Final = f"{ROOT}/other"
"""What no rule allows: denied to the confined."""
SECRET: Final = f"{DATA}/secret"
"""Under a Protection: denied to everybody else too."""
USER: Final = 1000
PORT: Final = 18080

DEPTHS: Final = {
    3: f"{DATA}/ledger",
    8: f"{DATA}/eu/north/2026/11/23/ledger",
    15: f"{DATA}/eu/north/2026/11/23/site/rack/unit/disk/part/tree/leaf/ledger",
}
"""By the number of components; names of two to six letters."""

# As the C program knows them.
C_PATHS: Final = {
    **{f"DEPTH_{depth}": path for depth, path in DEPTHS.items()},
    "NEW_FILE": f"{WORK}/new",
    "CHILD": CHILD,
    "UNIX_SOCKET": f"{WORK}/socket",
}

SUBJECT: Final = "bench/subject"
FREE: Final = "bench/free"
CHILD_IDENTITY: Final = "bench/child"

LARGE: Final = 1000
# What control.no_cache is for each state of the caches: bpf_lsm/src/maps.h.
WARM: Final = "warm"
COLD: Final = "cold"
NO_POLICY: Final = "no-policy"
"""Menshen's programs are attached and identities known, and no image is in force."""
"""Nothing is known of any file or directory: the whole path is walked each time, as the peers do."""
FRESH: Final = "fresh"
"""The file is new to the gate, the directory it lies in is not."""
STATES: Final = {WARM: 0, COLD: 2, FRESH: 1}
RULES: Final = (10, LARGE)
HUGE: Final = 10_000
"""Rules of the largest image, of POLICIES subjects: its opens may cost no more than with ten."""
POLICIES: Final = 200
IDENTITIES: Final = 1000
MANY: Final = f"identities-{IDENTITIES}"
"""The image with so many subjects, and LARGE rules for the measured one."""
CAPACITY: Final = 16 << 20
"""Bytes of an image slot: the largest image fits."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. The bars: issue 3. `units`: instructions of a batch, about."""

    name: str
    bar: float | None
    cold_bar: float | None = None
    resolves: bool = True
    """A path is looked up, so that cold is another thing than warm."""
    units: int = 16_000_000

    @property
    def is_open(self) -> bool:
        return self.name.startswith("open-")


SHORT: Final = 4_000_000
OPERATIONS: Final = (
    Operation("open-d3", 1.11, 1.30),
    Operation("open-d8", 1.09, 1.38),
    Operation("open-d15", 1.08, 1.48),
    Operation("create-unlink", 1.08),
    Operation("stat", 1.02, resolves=False, units=SHORT),
    Operation("read", 1.02, resolves=False, units=SHORT),
    Operation("fork-exec", 1.02),
    Operation("tcp-connect", 1.06, resolves=False),
    Operation("udp-sendto", 1.08, resolves=False, units=SHORT),
    Operation("bind", 1.18, resolves=False),
    Operation("unix-connect", 1.14),
    Operation("kill", 1.30, resolves=False, units=SHORT),
    Operation("pipe", 1.03, resolves=False, units=SHORT),
)
UNCONFINED_BAR: Final = 1.07
"""Of an open by an unconfined process."""

# The first bar (issue 2), which decides.
WARM_OPEN: Final = 1.15
FLAT: Final = 0.02
BATCHES: Final = 7
COMPILE_BAR: Final = 10.0
"""Seconds of processor time, for HUGE rules."""
SWAP_BAR: Final = 10.0
"""Milliseconds of guest time."""
MEMORY_BAR: Final = 48.0
"""MiB: both slots and everything else that is there for an image of HUGE rules."""
