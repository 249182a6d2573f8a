"""A mount of the bpffs that is nowhere in the tree: while somebody holds it the pins live, come what may."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from typing import Final

from bpf_lsm.errors import KernelError

_AT_FDCWD: Final = -100
_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_OPEN_TREE_CLONE: Final = 1
_FROM_DESCRIPTOR: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def clone(folder: Path) -> int:
    """A descriptor (O_PATH) of a clone of the mount that `folder` is on."""
    return _call(
        f"cannot clone the mount of {folder}",
        _OPEN_TREE, _AT_FDCWD, os.fsencode(folder), _OPEN_TREE_CLONE | os.O_CLOEXEC,
    )  # fmt: skip


def attach(mount: int, folder: Path) -> None:
    """Mount at `folder` what clone() gave."""
    what = f"cannot mount {folder}"
    _call(what, _MOVE_MOUNT, mount, b"", _AT_FDCWD, os.fsencode(folder), _FROM_DESCRIPTOR)


def keep(folder: Path) -> int:
    """A descriptor that holds a clone of the mount that `folder` is on, for process 1.

    It is a socket in which the clone's own descriptor waits: that one is O_PATH, which process 1 refuses.
    """
    mount = clone(folder)
    try:
        ours, kept = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, kept:
            socket.send_fds(ours, [b"mount"], [mount])
            return kept.detach()
    finally:
        os.close(mount)


def put_back(kept: int, folder: Path) -> None:
    """Mount at `folder` what keep() gave; `kept` is closed, and empty in whoever else holds it."""
    with socket.socket(fileno=kept) as held:
        _, mounts, _, _ = socket.recv_fds(held, 16, 1, socket.MSG_DONTWAIT)
    for mount in mounts:
        try:
            attach(mount, folder)
        finally:
            os.close(mount)


def _call(what: str, number: int, *arguments: int | bytes) -> int:
    words = [ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_long(one) for one in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise KernelError(what, ctypes.get_errno())
    return result
