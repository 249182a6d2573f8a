"""In the guest: `mount --rbind /sys x/y` beside `umount -l x`, until the bpffs has left its place."""

from __future__ import annotations

import ctypes
import json
import os
import time
from multiprocessing import Process
from pathlib import Path

MS_BIND, MS_REC, MNT_DETACH = 4096, 16384, 2
MANY = 500
"""Mounts below /sys, so that copying them takes its time."""
TRIES = 40
libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    if libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"{source} on {target}")


def lengthen() -> None:
    """Many mounts below /sys."""
    mount("none", "/sys/kernel/debug", "tmpfs", 0)
    for number in range(MANY):
        folder = f"/sys/kernel/debug/{number}"
        Path(folder).mkdir()
        mount(folder, folder, None, MS_BIND)


def tried(number: int, pause: float | None) -> tuple[bool, float]:
    """Whether the place could be unmounted, and how long the copy took; None: when it is whole."""
    place = f"/mnt/x{number}"
    Path(place).mkdir()
    mount("none", place, "tmpfs", 0)
    Path(f"{place}/y").mkdir()
    began = time.monotonic()
    maker = Process(target=mount, args=("/sys", f"{place}/y", None, MS_BIND | MS_REC))
    maker.start()
    if pause is None:
        maker.join()
    else:
        time.sleep(pause)
    took = time.monotonic() - began
    gone = libc.umount2(place.encode(), MNT_DETACH) == 0
    maker.join()
    return gone, took


def identity() -> str:
    """Of the mount at the pins' place."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next((line.split()[0] for line in lines if line.split()[4] == "/sys/fs/bpf"), "")


def main() -> None:
    lengthen()
    before = identity()
    gone, window = tried(0, None)
    assert not gone, "the guard lets a whole copy go"
    won = 0
    for number in range(1, TRIES + 1):
        tried(number, window * number / TRIES)
        if identity() != before:
            won = number
            break
    print(json.dumps({"window": window, "won": won, "there": os.path.isdir("/sys/fs/bpf/menshen")}))  # noqa: PTH112


main()
