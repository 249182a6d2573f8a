"""How the C library keeps memory that was given back to it: in its heap, or not at all.

A compiled policy, a slot of the gate and what the compiler needs meanwhile are megabytes, wanted once.
By default glibc takes larger and larger blocks from its heap, between which little lives on and nothing is
returned. The environment cannot say it: under the guard the agent is started with AT_SECURE.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
BLOCK: Final = 128 << 10
"""Bytes from which a block is mapped for itself, and goes back to the kernel when it is freed."""


def return_blocks() -> None:
    """Hold no more than is in use, at the cost of a system call for each large block. Before any thread."""
    libc = ctypes.CDLL(None)
    for option, value in ((_MMAP_THRESHOLD, BLOCK), (_TRIM_THRESHOLD, BLOCK), (_ARENA_MAX, 1)):
        libc.mallopt(option, value)
