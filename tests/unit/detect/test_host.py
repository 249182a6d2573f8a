"""What was there before the watch is read from /proc and from the tree of control groups."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from detect.host import Host, container_of
from detect.processes import Known

ID = b"5f1c" * 16


@pytest.mark.parametrize(
    ("folder", "container"),
    [
        (b"docker-" + ID + b".scope", ID),
        (ID, ID),
        (b"cri-containerd-" + ID + b".scope", ID),
        (b"libpod-" + ID + b".scope", ID),
        (b"cri-containerd:abc:" + ID, ID),
        (b"nginx.service", b""),
        (b"x" + ID, b""),
        (ID + b"\n", b""),
    ],
)
def test_a_container_is_known_by_the_name_of_its_control_group(folder: bytes, container: bytes) -> None:
    assert container_of(folder) == container


def test_this_process_is_found_in_proc() -> None:
    known = Host().process(os.getpid())
    assert known is not None
    assert known.exe == os.fsencode(Path("/proc/self/exe").readlink())
    assert known.args.split(b"\0") == [os.fsencode(each) for each in sys.orig_argv]


def test_a_process_that_is_gone_is_none_and_one_without_a_program_has_no_exe(tmp_path: Path) -> None:
    assert Host(tmp_path).process(4) is None
    (tmp_path / "proc/4").mkdir(parents=True)
    (tmp_path / "proc/4/cmdline").write_bytes(b"a\0b\0")
    assert Host(tmp_path).process(4) == Known(b"", b"a\0b")


def test_control_groups_are_walked_when_one_is_new_and_not_more_often_than_each_second(
    tmp_path: Path,
) -> None:
    now = 0.0
    host = Host(tmp_path, lambda: now)
    pod = tmp_path / "sys/fs/cgroup/machine.slice" / f"libpod-{ID.decode()}.scope" / "container"
    pod.mkdir(parents=True)
    assert host.container(pod.stat().st_ino) == ID
    assert host.container(pod.parents[2].stat().st_ino) == b""
    late = tmp_path / "sys/fs/cgroup/late.service"
    late.mkdir()
    assert host.container(late.stat().st_ino) is None
    now = 2.0
    assert host.container(late.stat().st_ino) == b""
