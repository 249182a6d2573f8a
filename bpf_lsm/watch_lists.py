"""What the watch's lists look like in the kernel: masks of types, allow lists, files watched for reading."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm import tables
from bpf_lsm.collection import EXE_KEY_BYTES, READ_WORDS
from bpf_lsm.errors import GateError
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.observation import Type
from bpf_lsm.siphash import siphash128

_NUMBER: Final = struct.Struct("=Q")
_BITS: Final = struct.Struct("=I")
_GOLDEN: Final = 0x9E3779B97F4A7C15


def mask(types: Collection[Type]) -> NDArray[np.uint64]:
    """The bits of these types, as the programs test them."""
    words = [0, 0]
    for one in types:
        words[one >> 6] |= 1 << (one & 63)
    return np.array(words, "<u8")


def exe_rows(entries: Mapping[bytes, Collection[Type]]) -> dict[bytes, bytes]:
    """Rows of `allowed_exes`: a path of a program, or a folder with a slash at its end."""
    rows = {}
    for path, types in entries.items():
        if not path.startswith(b"/") or len(path) >= EXE_KEY_BYTES or b"\0" in path:
            raise GateError(
                f"{path!r} cannot be in an allow list",
                hint=f"an absolute path of at most {EXE_KEY_BYTES - 1} bytes, a folder with / at its end",
            )
        text = path if path.endswith(b"/") else path + b"\0"
        rows[_BITS.pack(len(text) * 8) + text.ljust(EXE_KEY_BYTES, b"\0")] = mask(types).tobytes()
    return rows


def number_rows(entries: Mapping[int, Collection[Type]]) -> dict[bytes, bytes]:
    """Rows of `allowed_digests` and `allowed_subjects`."""
    return {_NUMBER.pack(number): mask(types).tobytes() for number, types in entries.items()}


def read_rows(entries: Collection[bytes], key: tuple[int, int]) -> dict[bytes, bytes]:
    """Rows of `reads`."""
    for entry in entries:
        inner = entry.removeprefix(b"/").removesuffix(b"/")
        if not inner or b"\0" in entry or (b"/" in inner and not entry.startswith(b"/")):
            raise GateError(
                f"{entry!r} cannot be watched for reading",
                hint="an absolute path, a name, or either of a folder with / at its end",
            )
    return {siphash128(key, entry): _BITS.pack(1) for entry in entries}


def read_filters(entries: Collection[bytes]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The bits for a first look: names of files, names of folders."""
    names, folders = np.zeros(READ_WORDS, "<u8"), np.zeros(READ_WORDS, "<u8")
    for entry in entries:
        bits = folders if entry.endswith(b"/") else names
        name = entry.rstrip(b"/").rpartition(b"/")[2]
        at = (int.from_bytes(name[:8], "little") * _GOLDEN & (1 << 64) - 1) >> 52
        bits[at >> 6] |= np.uint64(1 << (at & 63))
    return names, folders


def replace(table: KernelMap, rows: Mapping[bytes, bytes]) -> None:
    """Make a table hold these rows and no others. TableFullError: nothing was changed."""
    tables.change(table, rows, [key for key in keys(table) if key not in rows])


def keys(table: KernelMap) -> list[bytes]:
    """What is in it now."""
    return list(table.items())
