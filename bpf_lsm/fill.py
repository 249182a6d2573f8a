"""How full the kernel's bounded tables are: what is measured of a gate and of a watch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.ring import Ring


@dataclass(frozen=True, slots=True)
class Fill:
    """Entries of a map, or bytes of a ring that nobody has read yet."""

    used: int
    size: int


def of_maps(maps: Mapping[str, KernelMap], names: Iterable[str]) -> dict[str, Fill]:
    """Of hash maps, by name. Their entries are walked: a few milliseconds for a hundred thousand."""
    return {name: Fill(maps[name].count(), maps[name].shape.max_entries) for name in names}


def of_rings(*rings: Ring) -> dict[str, Fill]:
    """By name."""
    return {ring.name: Fill(ring.waiting, ring.size) for ring in rings}
