#!/usr/bin/python3
"""In the guest: the system calls that no command makes.  call NAME ARGUMENT..."""

# ruff: noqa: PTH123, PTH208 - no more than it takes
from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_RECURSIVE, OPEN_TREE_CLONE, MOVE_EMPTY = -100, 0x8000, 1, 4
IDS = {"program": (11, 13), "map": (12, 14), "link": (31, 30)}
"""The bpf commands that give the next id, and a descriptor by id."""


def call(number: int, *arguments: bytes | int | None) -> int:
    words = [
        ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_long(int(one or 0)) for one in arguments
    ]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def bpf(command: int, *words: int) -> tuple[int, bytes]:
    attributes = ctypes.create_string_buffer(struct.pack(f"={len(words)}I", *words), 128)
    result = libc.syscall(ctypes.c_long(321), ctypes.c_long(command), attributes, ctypes.c_long(128))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result), attributes.raw


def exchange(one: str, other: str) -> None:
    call(316, AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), 2)


def move_mount(source: str, target: str) -> None:
    call(429, AT_FDCWD, source.encode(), AT_FDCWD, target.encode(), 0)


def attach(tree: int, target: str) -> None:
    call(429, tree, b"", AT_FDCWD, target.encode(), MOVE_EMPTY)


def mount_new(target: str) -> None:
    context = call(430, b"tmpfs", 0)
    call(431, context, 6, 0, 0, 0)
    attach(call(432, context, 0, 0), target)


def mount_clone(source: str, target: str) -> None:
    attach(call(428, AT_FDCWD, source.encode(), OPEN_TREE_CLONE), target)


def clone_and_drop(source: str) -> None:
    os.close(call(428, AT_FDCWD, source.encode(), OPEN_TREE_CLONE | AT_RECURSIVE))


def pivot_root(new: str, old: str) -> None:
    call(155, new.encode(), old.encode())


def by_id(kind: str) -> None:
    following, descriptor = IDS[kind]
    number, refused = 0, 0
    while True:
        try:
            number = struct.unpack_from("=I", bpf(following, number)[1], 4)[0]
        except FileNotFoundError:
            break
        try:
            bpf(descriptor, number)
        except PermissionError:
            refused += 1
    if refused:
        raise PermissionError(f"{refused} of kind {kind}")


def open_pin(path: str) -> int:
    name = ctypes.create_string_buffer(path.encode())
    address = ctypes.addressof(name)
    return bpf(7, address & 0xFFFFFFFF, address >> 32)[0]


def detach(path: str) -> None:
    bpf(34, open_pin(path))


def replace(path: str) -> None:
    """With the program of a link that is not ours: none, so a bad descriptor comes last."""
    bpf(29, open_pin(path), 999, 0, 0)


def tgkill(process: str) -> None:
    call(234, int(process), int(os.listdir(f"/proc/{process}/task")[-1]), signal.SIGKILL)


def pidfd_kill(process: str) -> None:
    signal.pidfd_send_signal(os.pidfd_open(int(process)), signal.SIGKILL)


def ptrace(process: str) -> None:
    call(101, 16, int(process), 0, 0)


def seize(process: str) -> None:
    call(101, 0x4206, int(process), 0, 0)


def write_memory(process: str) -> None:
    buffer = ctypes.create_string_buffer(8)
    vector = struct.pack("=QQ", ctypes.addressof(buffer), 8)
    with open(f"/proc/{process}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    call(311, int(process), vector, 1, struct.pack("=QQ", start, 8), 1, 0)


def pidfd_getfd(process: str) -> None:
    call(438, os.pidfd_open(int(process)), 3, 0)


def another_gate() -> None:
    """Loads all programs once more beside the gate, and takes them away."""
    os.execv(
        "/opt/menshen/bin/python",
        ["python", "-I", "-c", (
            "import bpf_lsm; from pathlib import Path; from bpf_lsm.gate import Gate\n"
            "where = Path(bpf_lsm.__file__).parent / 'objects/menshen.bpf.o'\n"
            "Gate.load(where, pin_dir=Path('/sys/fs/bpf/o'), run_dir=Path('/tmp/o'), capacity=65536).off()"
        )],
    )  # fmt: skip


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
