"""The generation of an inode, which tells it from a later one of the same number. Nothing is opened."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_MAX_HANDLE: Final = 128
_GENERATIONS: Final = {
    0x01: struct.Struct("=4xI"),  # FILEID_INO32_GEN: ext4, f2fs, xfs with small numbers
    0x81: struct.Struct("=8xI"),  # FILEID_INO64_GEN: xfs
    0x4D: struct.Struct("=16xI"),  # FILEID_BTRFS_WITHOUT_PARENT
}
"""Where i_generation is in a file handle, by the handle's type (include/linux/exportfs.h)."""

_libc = ctypes.CDLL(None, use_errno=True)


def generation(path: Path) -> int:
    """i_generation of what `path` names (not of what a symbolic link there names); 0 where there is none, and
    on tmpfs, which uses no number twice.

    A handle is asked for, not a descriptor: so no right on the file is needed.
    """
    handle = ctypes.create_string_buffer(struct.pack("=Ii", _MAX_HANDLE, 0), 8 + _MAX_HANDLE)
    mount = ctypes.c_int()
    if _libc.name_to_handle_at(_AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0) != 0:
        return 0
    size, kind = struct.unpack_from("=Ii", handle.raw)
    layout = _GENERATIONS.get(kind)
    if layout is None or size != layout.size:  # tmpfs has a longer one of the first type
        return 0
    number: int = layout.unpack_from(handle.raw, 8)[0]
    return number
