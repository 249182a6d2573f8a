"""The switches of the gate: struct control, in memory that we share with the programs."""

from __future__ import annotations

import mmap
import struct
from typing import Final

from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import CONTROL, place

_NATIVE: Final = {4: struct.Struct("@I"), 8: struct.Struct("@Q")}


class Control:
    """Each field is read and written with one aligned access. `active`, `epoch` and `catalogue` are changed
    by programs of the gate only, which can do it atomically."""

    def __init__(self, table: KernelMap) -> None:
        self._memory = mmap.mmap(
            table.fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0
        )
        self._memory.madvise(mmap.MADV_DONTFORK)  # as Ring's

    def __getitem__(self, name: str) -> int:
        offset, size = place(CONTROL, name)
        value: int = _NATIVE[size].unpack_from(self._memory, offset)[0]
        return value

    def __setitem__(self, name: str, value: int) -> None:
        offset, size = place(CONTROL, name)
        _NATIVE[size].pack_into(self._memory, offset, value)

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()
