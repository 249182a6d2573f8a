"""Runs events.c: so many events of one kind, by a program of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bpf_lsm.observation import Type
from tests.unit.bpf_lsm.compiling import HERE

SOURCE: Final = HERE / "events.c"


@dataclass(frozen=True)
class Kind:
    """What the generator does on one word, and what must be seen of it."""

    word: str
    type: Type
    count: int
    """A prime, so that no multiple of something else passes for it."""
    detail: int | None = None
    result: int | None = 0
    path: str = ""
    """Of the first record; {folder} and {exe} stand for the generator's."""


KINDS: Final = (
    Kind("exec", Type.EXEC, 101, detail=2, path="{exe}"),
    Kind("exec-failed", Type.EXEC, 103, result=-2, path="/nowhere/at/all"),
    Kind("fork", Type.FORK, 107, detail=0),
    Kind("fork-user", Type.FORK, 293, detail=0x1000_0000),
    Kind("thread", Type.FORK, 109),
    Kind("credentials", Type.CREDENTIALS, 113),
    Kind("login", Type.LOGIN, 127),
    Kind("file-create", Type.FILE_CREATE, 131, detail=0o100640, path="{folder}/file-0"),
    Kind("mkdir", Type.FILE_CREATE, 137, detail=0o40700, path="{folder}/file-0"),
    Kind("mknod", Type.FILE_CREATE, 139, detail=0o10600, path="{folder}/file-0"),
    Kind("mknod-plain", Type.FILE_CREATE, 271, detail=0o100600, path="{folder}/file-0"),
    Kind("file-write", Type.FILE_WRITE, 149, detail=0o1001, path="{folder}/file-0"),
    Kind("file-open", Type.FILE_OPEN, 151, detail=0, path="{folder}/file-0"),
    Kind("file-delete", Type.FILE_DELETE, 157, detail=0, path="{folder}/file-0"),
    Kind("rmdir", Type.FILE_DELETE, 163, detail=1, path="{folder}/file-0"),
    Kind("file-rename", Type.FILE_RENAME, 167, detail=0, path="{folder}/file-0"),
    Kind("file-link", Type.FILE_LINK, 173, detail=0, path="{folder}/file-0"),
    Kind("symlink", Type.FILE_LINK, 179, detail=1, path="a/target"),
    Kind("file-chmod", Type.FILE_CHMOD, 181, detail=0o600, path="{folder}/file-0"),
    Kind("fchmod", Type.FILE_CHMOD, 191, detail=0o600, path="{folder}/file-0"),
    Kind("memfd", Type.MEMFD, 193, detail=1, result=None, path="memfd:a-name"),
    Kind("connect", Type.CONNECT, 197, detail=1, result=-111),
    Kind("connect6", Type.CONNECT, 199, detail=1, result=None),
    Kind("connect-unix", Type.CONNECT, 211, detail=1, result=-2, path="/nowhere/socket"),
    Kind("accept", Type.ACCEPT, 223, detail=1, result=None),
    Kind("bind", Type.BIND, 227, detail=1),
    Kind("listen", Type.LISTEN, 229, detail=7),
    Kind("sendto", Type.SENDTO, 233, detail=2),
    Kind("sendmsg", Type.SENDTO, 239, detail=2),
    Kind("raw-socket", Type.RAW_SOCKET, 241, detail=2 << 16 | 3, result=None),
    Kind("ptrace", Type.PTRACE, 251, detail=2),
    Kind("bpf", Type.BPF, 257, detail=5, result=None),
    Kind("kill", Type.KILL, 263, detail=23),
    Kind("mount", Type.MOUNT, 269, detail=2, path="{folder}"),
)

URING: Final = (
    Kind("uring-delete", Type.FILE_DELETE, 277, detail=0, path="{folder}/file-0"),
    # io_uring tries without waiting first: O_NONBLOCK is set, and a connection is in progress.
    Kind("uring-write", Type.FILE_WRITE, 281, detail=0o4001, path="{folder}/file-0"),
    Kind("uring-connect", Type.CONNECT, 283, detail=1, result=-115),
)
"""What tracepoints do not see."""


@contextmanager
def generating(program: Path, word: str, count: int, folder: Path) -> Iterator[Callable[[], int]]:
    """The generator, ready; the function lets it go on, waits for its end and gives its process id."""
    process = subprocess.Popen(
        [program, word, str(count), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def go() -> int:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(60) == 0
        return process.pid

    try:
        assert process.stdout.readline() == b"ready\n"
        yield go
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def compiled(folder: Path) -> Path:
    """The generator as a static program, which runs in guests too."""
    target = folder / "menshen-events"
    command: list[str | Path] = ["clang", "-O1", "-Wall", "-static", "-pthread", "-o", target, SOURCE]
    subprocess.run(command, check=True)
    return target
