"""What is asked of the kernel beside bpf(): mounts that are nowhere, generations of inodes."""

from __future__ import annotations

import array
import fcntl
import os
import select
import subprocess
from pathlib import Path

import pytest

from bpf_lsm.handles import generation
from bpf_lsm.kept import keep, put_back

FS_IOC_GETVERSION = 0x80087601


def test_what_is_kept_outlives_an_unmount_and_can_be_put_back(tmp_path: Path) -> None:
    place = tmp_path / "bpf"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    try:
        (place / "menshen").mkdir()
        kept = keep(place)
        subprocess.run(["umount", "-l", place], check=True)
        assert not (place / "menshen").exists()
        put_back(kept, place)
        assert (place / "menshen").is_dir()
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_what_is_kept_can_be_polled_as_process_1_does_before_it_keeps_anything(tmp_path: Path) -> None:
    """It refused a descriptor that is O_PATH: EBADF."""
    kept = keep(tmp_path)
    with select.epoll() as poll:
        poll.register(kept)
    os.close(kept)


def test_a_generation_is_that_of_the_inode_and_no_right_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    number = array.array("i", [0, 0])
    with path.open() as stream:
        try:
            fcntl.ioctl(stream, FS_IOC_GETVERSION, number)
        except OSError:
            pytest.skip("this file system tells no generation")
    assert generation(path) == number[0] & 0xFFFFFFFF


def test_where_there_is_no_generation_it_is_0(tmp_path: Path) -> None:
    assert generation(tmp_path / "absent") == 0
    assert generation(Path("/proc/self/stat")) == 0
    assert generation(Path("/dev/shm")) == 0
