"""Waiting until no program that runs now can still hold what it read before."""

from __future__ import annotations

import os
import struct

from bpf_lsm import libbpf


class Grace:
    """A map of maps whose update waits for every running program.

    The kernel does so on purpose (maybe_wait_bpf_programs in kernel/bpf/syscall.c, since 4.20).
    membarrier(MEMBARRIER_CMD_GLOBAL) would not do: it returns at once where one processor is online, and
    there a preempted program can be in the middle; and it is refused on nohz_full kernels.
    It does not wait for sleepable programs: those may not read what is guarded so.
    """

    def __init__(self) -> None:
        self._inner = libbpf.call(
            "cannot create a map", "bpf_map_create", libbpf.MAP_TYPE_ARRAY, b"menshen_inner", 4, 4, 1, None
        )
        options = struct.pack("=QIIIIIIQII", 48, 0, 0, 0, 0, self._inner, 0, 0, 0, 0)
        self._outer = libbpf.call(
            "cannot create a map of maps", "bpf_map_create",
            libbpf.MAP_TYPE_ARRAY_OF_MAPS, b"menshen_grace", 4, 4, 1, options,
        )  # fmt: skip

    def wait(self) -> None:
        """Return when every program that was running has ended."""
        key, value = struct.pack("=I", 0), struct.pack("=I", self._inner)
        libbpf.call(
            "cannot wait for the programs that run", "bpf_map_update_elem", self._outer, key, value, 0
        )

    def close(self) -> None:
        """Let go of the maps."""
        os.close(self._outer)
        os.close(self._inner)
