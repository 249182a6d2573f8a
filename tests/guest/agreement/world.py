"""The tree that accesses are made to, and the names that things in it go by.

A thing's canonical path is the one it is judged by. It may be reached through other names: a symlink, a bind
mount, a chroot. Hard links are several things with one inode.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.guest.agreement.script import Got, Script
from tests.guest.agreement.stage import TOOL, Actor, built

ROOT: Final = b"/srv/agree"
FOLDERS: Final = (b"a", b"ab", b"lib")
FILES: Final = (b"x", b"x.log", b"key")
NEW: Final = (b"n", b"n.log", b"ab2", b"q*")
IDENTITIES: Final = ("test/one", "test/two", "test/three")
FREE: Final = "test/free"
"""Has no policy of its own; Protections may name it."""

TOOL_FLAGS: Final = (
    "-nostdlib",
    "-nostartfiles",
    "-Wl,-n,--build-id=none",
    "-Wl,-z,noseparate-code",
    "-fno-asynchronous-unwind-tables",
)
GOOD: Final = b"good"
STRAY: Final = b"stray"
GOOD_SCRIPT: Final = b"good script"
STRAY_SCRIPT: Final = b"stray script"
ODD_SCRIPT: Final = b"odd script"
"""Identified, but what interprets it is not."""

ACTORS: Final = (
    Actor("one", "test/one"),
    Actor("two", "test/two"),
    Actor("three", "test/three"),
    Actor("free", FREE),
    Actor("none", None),
    Actor("one-private", "test/one"),
    Actor("none-private", None),
    Actor("two-jailed", "test/two"),
    Actor("free-jailed", FREE),
)
PRIVATE: Final = ("one-private", "none-private")
JAILED: Final = ("two-jailed", "free-jailed")
JAIL: Final = ROOT + b"/a"
INNER: Final = ROOT + b"/a/lib/mnt"
"""Where a tmpfs is mounted through the bind mount `alias`; by this name nobody reaches it."""

SYS: Final = {
    "read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "mprotect": 10, "munmap": 11, "ioctl": 16,
    "dup2": 33, "getpid": 39, "socket": 41, "connect": 42, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "bind": 49, "listen": 50, "kill": 62, "fcntl": 72, "truncate": 76, "ftruncate": 77, "chdir": 80,
    "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "chown": 92, "ptrace": 101, "syslog": 103, "getppid": 110, "mknod": 133,
    "setpriority": 141, "pivot_root": 155, "prctl": 157, "chroot": 161, "settimeofday": 164,
    "mount": 165, "umount2": 166, "init_module": 175, "quotactl": 179, "setxattr": 188,
    "removexattr": 197, "sched_setaffinity": 203, "clock_settime": 227, "clock_gettime": 228,
    "add_key": 248, "openat": 257, "linkat": 265, "unshare": 272, "utimensat": 280, "fallocate": 285,
    "accept4": 288, "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "renameat2": 316,
    "memfd_create": 319, "bpf": 321, "io_uring_setup": 425,
}  # fmt: skip


def program(kind: bytes, of: bytes = b"") -> bytes:
    """What is in an executable file; `of` makes it another file with the same meaning."""
    tool = built("tool.c", *TOOL_FLAGS)
    match kind:
        case b"good":
            return tool + b"good"
        case b"stray":
            return tool + b"stray" + of
        case b"good script":
            return b"#!" + ROOT + b"/tool\n# good\n"
        case b"stray script":
            return b"#!" + ROOT + b"/tool\n# stray\n"
        case b"odd script":
            return b"#!" + ROOT + b"/stray\n# odd\n"
    return b""


def tools() -> dict[str, list[bytes]]:
    """The programs of the tree that have an identity."""
    return {TOOL: [program(kind) for kind in (GOOD, GOOD_SCRIPT, ODD_SCRIPT)]}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something with a name. `inode` is told where there are several names of it."""

    path: bytes
    kind: str = "file"
    content: bytes = b""
    """Which program it is; empty for data."""
    inode: str = ""
    place: str = "/"
    """The file system: what is in another one cannot be linked or renamed to here."""
    foreign: bool = False

    @property
    def identified(self) -> bool:
        return self.content in (GOOD, GOOD_SCRIPT, ODD_SCRIPT)

    def at(self, path: bytes) -> Thing:
        """The same, elsewhere."""
        return replace(self, path=path)


def directories() -> list[bytes]:
    """The plain ones, parents first."""
    found = [ROOT]
    for level in (1, 2):
        found += [b"/".join((ROOT, *names)) for names in itertools.product(FOLDERS, repeat=level)]
    return found


LONG: Final = ROOT + b"/long" + b"".join(b"/" + bytes([0x61 + n]) * 230 for n in range(14))
"""Longer than what an event holds."""
DEEP: Final = ROOT + b"/deep" + b"/d" * 120
ODD: Final = (
    b"sp ace",
    b"new\nline",
    b"\xff\xfe",
    "ünï".encode(),
    b"st*r",
    b"q{a,b}",
    b"[k]ey",
    b"back\\slash",
)


def _things() -> Iterator[Thing]:
    for path in directories():
        yield Thing(path, "folder")
        for name in FILES:
            yield Thing(path + b"/" + name)
    for path in (ROOT, ROOT + b"/a", ROOT + b"/ab/lib", ROOT + b"/lib/a"):
        yield Thing(path + b"/tool", content=GOOD)
        yield Thing(path + b"/stray", content=STRAY)
    for path in (ROOT, ROOT + b"/ab", ROOT + b"/a/a"):
        yield Thing(path + b"/good.sh", content=GOOD_SCRIPT)
        yield Thing(path + b"/stray.sh", content=STRAY_SCRIPT)
    yield Thing(ROOT + b"/lib/odd.sh", content=ODD_SCRIPT)
    yield Thing(ROOT + b"/ab/empty", "folder")
    yield Thing(ROOT + b"/lib/lib/empty", "folder")
    for at, name in enumerate(ODD):
        folder = (ROOT + b"/a", ROOT + b"/lib/ab")[at % 2]
        yield Thing(folder + b"/" + name)
        yield Thing(folder + b"/" + name + b".d", "folder")
        yield Thing(folder + b"/" + name + b".d/x.log")
    for chain in (LONG, DEEP):
        names = chain[len(ROOT) + 1 :].split(b"/")
        for depth in range(1, len(names) + 1):
            yield Thing(ROOT + b"/" + b"/".join(names[:depth]), "way")
        yield Thing(chain + b"/x")
        yield Thing(chain + b"/x.log")
    yield Thing(ROOT + b"/a/hard", inode="hard")
    yield Thing(ROOT + b"/lib/hard.log", inode="hard")
    yield Thing(ROOT + b"/ab/second", inode="second")
    yield Thing(ROOT + b"/ab/ab/second", inode="second")
    yield Thing(ROOT + b"/a/ab/second.log", inode="second")
    yield Thing(ROOT + b"/tool2", content=GOOD, inode="tool2")
    yield Thing(ROOT + b"/lib/ab/tool2", content=GOOD, inode="tool2")
    yield Thing(ROOT + b"/a/fifo", "fifo")
    yield Thing(ROOT + b"/lib/ab/fifo", "fifo")
    # in the tmpfs
    tmp = ROOT + b"/tmp"
    yield Thing(tmp, "way")
    for path in (tmp, tmp + b"/a"):
        if path != tmp:
            yield Thing(path, "folder", place="tmp")
        for name in FILES:
            yield Thing(path + b"/" + name, place="tmp")
    yield Thing(tmp + b"/tool", content=GOOD, place="tmp")
    yield Thing(tmp + b"/hard", inode="tmp-hard", place="tmp")
    yield Thing(tmp + b"/a/hard.log", inode="tmp-hard", place="tmp")
    # a tmpfs that was mounted through the bind mount `alias`, and is known by where that is
    yield Thing(INNER, "way")
    yield Thing(INNER + b"/x", place="inner")
    yield Thing(INNER + b"/key", place="inner")


THINGS: Final = tuple(_things())
FOREIGN: Final = tuple(
    Thing(ROOT + b"/lib/private/" + name, place="private", foreign=True)
    for name in (b"x", b"key", b"a/x.log")
)
PLAIN: Final = tuple(thing for thing in THINGS if thing.kind == "file")
MOVABLE: Final = tuple(
    thing for thing in THINGS if thing.kind == "folder" and thing.path != ROOT and thing.place == "/"
)
STREAMS: Final = (ROOT + b"/a/s.sock", ROOT + b"/ab/lib/s.sock", ROOT + b"/tmp/s.sock")
DATAGRAMS: Final = (ROOT + b"/lib/d.sock", ROOT + b"/a/ab/d.sock")
ABSTRACT_STREAMS: Final = (b"@agree", b"@agree-b", b"@agree\xff\0z")
ABSTRACT_DATAGRAMS: Final = (b"@agree-d", b"@a")

LINKS: Final = {ROOT + b"/sl": b"a/a", ROOT + b"/ab/sx": b"../lib/x"}
ALIAS: Final = ROOT + b"/alias"
"""A bind mount of ROOT/a."""

AF_UNIX: Final = 1
STREAM, DATAGRAM = 1, 2
NONBLOCK: Final = os.O_NONBLOCK
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 1 << 12, 1 << 13, 1 << 14, 1 << 18


def unix_address(name: bytes) -> bytes:
    """struct sockaddr_un as it is passed; @ is an abstract name."""
    text = b"\0" + name[1:] if name.startswith(b"@") else name + b"\0"
    return AF_UNIX.to_bytes(2, "little") + text


def write_file(
    script: Script, actor: int, path: bytes, content: bytes, *, mode: int, only_if: int | None = None
) -> None:
    """Make the file, or give it its content again."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    made = script.do(actor, SYS["open"], path, flags, mode, only_if=only_if)
    if content:
        script.do(actor, SYS["write"], Got(made), script.data(content), len(content), only_if=made)
    script.do(actor, SYS["close"], Got(made), only_if=made)


def mode_of(thing: Thing) -> int:
    """Its permission bits."""
    return 0o755 if thing.content or thing.kind in ("folder", "way") else 0o644


def make(script: Script, thing: Thing, only_if: int | None = None) -> None:
    """The lead makes a thing anew."""
    if thing.kind in ("folder", "way"):
        script.do(0, SYS["mkdir"], thing.path, 0o755, only_if=only_if)
    elif thing.kind == "fifo":
        script.do(0, SYS["mknod"], thing.path, 0o010644, 0, only_if=only_if)
    else:
        content = program(thing.content, thing.path) if thing.content else b""
        write_file(script, 0, thing.path, content, mode=mode_of(thing), only_if=only_if)


SERVED: Final = (*STREAMS, *ABSTRACT_STREAMS, *DATAGRAMS, *ABSTRACT_DATAGRAMS)
SOCKETS: Final = {name: 300 + at for at, name in enumerate(SERVED)}
"""The lead's descriptors."""


def set_up(actors: Sequence[Actor] = ACTORS) -> Script:
    """The script that makes the tree, mounts and sockets."""
    script = Script()
    nothing = script.text(b"")
    script.do(0, SYS["mkdir"], b"/srv", 0o755)
    script.do(0, SYS["mount"], nothing, b"/", nothing, MS_REC | MS_PRIVATE, 0)
    first: dict[str, bytes] = {}
    for thing in THINGS:
        if thing.path == ROOT + b"/tmp":
            script.do(0, SYS["mkdir"], thing.path, 0o755)
            script.do(0, SYS["mount"], b"agree", thing.path, b"tmpfs", 0, 0)
        elif thing.path == INNER:
            script.do(0, SYS["mkdir"], thing.path, 0o755)
            script.do(0, SYS["mkdir"], ALIAS, 0o755)
            script.do(0, SYS["mount"], ROOT + b"/a", ALIAS, nothing, MS_BIND, 0)
            script.do(0, SYS["mount"], b"agree", ALIAS + b"/lib/mnt", b"tmpfs", 0, 0)
        elif thing.place == "inner":
            make(script, thing.at(thing.path.replace(ROOT + b"/a/", ALIAS + b"/", 1)))
        elif thing.inode and thing.inode in first:
            script.do(0, SYS["link"], first[thing.inode], thing.path)
        else:
            make(script, thing)
            if thing.inode:
                first[thing.inode] = thing.path
    for link, target in LINKS.items():
        script.do(0, SYS["symlink"], target, link)
    for name in (*STREAMS, *ABSTRACT_STREAMS):
        _serve(script, name, STREAM)
    for name in (*DATAGRAMS, *ABSTRACT_DATAGRAMS):
        _serve(script, name, DATAGRAM)
    script.do(0, SYS["mkdir"], ROOT + b"/lib/private", 0o755)
    script.do(0, SYS["mkdir"], ROOT + b"/lib/other", 0o755)
    for number, actor in enumerate(actors, 1):
        if actor.name in PRIVATE:
            _seclude(script, number)
        if actor.name in JAILED:
            script.do(number, SYS["chroot"], JAIL)
            script.do(number, SYS["chdir"], b"/")
    return script


def _serve(script: Script, name: bytes, kind: int) -> None:
    address = unix_address(name)
    size = len(address) - (0 if name.startswith(b"@") else 1)
    socket = script.do(0, SYS["socket"], AF_UNIX, kind | NONBLOCK, 0)
    script.do(0, SYS["bind"], Got(socket), script.data(address), size)
    if kind == STREAM:
        script.do(0, SYS["listen"], Got(socket), 4096)
    script.do(0, SYS["dup2"], Got(socket), SOCKETS[name])
    script.do(0, SYS["close"], Got(socket))


def _seclude(script: Script, number: int) -> None:
    """A mount namespace of its own, with a tmpfs that nobody else sees and a bind mount."""
    nothing = script.text(b"")
    private = ROOT + b"/lib/private"
    script.do(number, SYS["unshare"], 0x00020000)
    script.do(number, SYS["mount"], nothing, b"/", nothing, MS_REC | MS_PRIVATE, 0)
    script.do(number, SYS["mount"], b"agree", private, b"tmpfs", 0, 0)
    script.do(number, SYS["mkdir"], private + b"/a", 0o755)
    for thing in FOREIGN:
        write_file(script, number, thing.path, b"", mode=0o644)
    script.do(number, SYS["mount"], ROOT + b"/ab", ROOT + b"/lib/other", nothing, MS_BIND, 0)


def names(actor: Actor, path: bytes, place: str) -> dict[str, bytes]:
    """How an actor may call the thing with this canonical path, by the way there."""
    if actor.name in JAILED:
        return {"jail": path[len(JAIL) :]} if path.startswith(JAIL + b"/") and place == "/" else {}
    if path.startswith(INNER):
        return {"alias": ALIAS + path[len(JAIL) :]}
    found = {"plain": path}
    if len(path) > 3000:
        return found
    if path.startswith(JAIL + b"/"):
        found["alias"] = ALIAS + path[len(JAIL) :]
    if path.startswith(JAIL + b"/a/"):
        found["link"] = ROOT + b"/sl" + path[len(JAIL + b"/a") :]
    if path.startswith(ROOT + b"/ab/") and actor.name in PRIVATE:
        found["other"] = ROOT + b"/lib/other" + path[len(ROOT + b"/ab") :]
    found["root"] = b"/proc/self/root" + path
    found["dots"] = ROOT + b"/lib/.." + path[len(ROOT) :]
    return found
