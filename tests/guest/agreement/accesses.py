"""Random accesses to the tree of `world`: what is done, what the evaluator is asked, how it is undone."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bpf_lsm.layout import Operation
from policies.image import Right, Special
from tests.guest.agreement import world
from tests.guest.agreement.judge import Effect, Question, Step, View, label
from tests.guest.agreement.script import Argument, Got, Script
from tests.guest.agreement.world import ACTORS, SYS, Thing

CWD: Final = -100
NOREPLACE, EXCHANGE = 1, 2
O_TMPFILE: Final = os.O_TMPFILE
OPEN_FLAGS: Final = (
    os.O_RDONLY,
    os.O_RDONLY,
    os.O_WRONLY,
    os.O_RDWR,
    os.O_WRONLY | os.O_APPEND,
    os.O_RDWR | os.O_APPEND,
    os.O_WRONLY | os.O_TRUNC,
    os.O_RDONLY | os.O_TRUNC,
    os.O_RDWR | os.O_APPEND | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_PATH,
)
CREATE_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    os.O_RDONLY | os.O_CREAT,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
)
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS = 1, 2, 0x20
F_SETFL: Final = 4
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
TCGETS: Final = 0x5401


ACL_NAME: Final = b"system.posix_acl_access"
ACL: Final = b"\x02\0\0\0" + b"".join(
    bytes((who, 0, may, 0)) + b"\xff" * 4 for who, may in ((1, 6), (4, 4), (0x20, 4))
)
"""Owner, group and others, as the permission bits say it already."""


def call(name: str, *arguments: Argument) -> tuple[str, tuple[Argument, ...]]:
    """A system call and its arguments."""
    return name, arguments


@dataclass(slots=True)
class Scene:
    """A script under way, with its questions in order."""

    rng: random.Random
    script: Script = field(default_factory=Script)
    items: list[Question | Effect] = field(default_factory=list)
    number: int = 0
    """Of the access that is being made."""
    pids: list[Got] = field(default_factory=list)
    """By actor, the lead first."""

    def ask(
        self,
        actor: int,
        what: str,
        call: str | int,
        *arguments: Argument,
        asked: Callable[[View], Iterator[Step]],
        natural: Sequence[int] = (),
        then: Callable[[View], None] | None = None,
        becomes: Callable[[View], int] | None = None,
        only_if: int | None = None,
        forked: bool = False,
    ) -> int:
        """A step that is judged."""
        number = SYS[call] if isinstance(call, str) else call
        step = self.script.do(actor, number, *arguments, only_if=only_if, forked=forked)
        self.items.append(
            Question(step, self.number, actor, what, asked, tuple(-each for each in natural), then, becomes)
        )
        return step

    def also(self, actor: int, call: str, *arguments: Argument, only_if: int | None = None) -> int:
        """A step that belongs to an access but decides nothing, or that undoes it."""
        return self.script.do(actor, SYS[call], *arguments, only_if=only_if)

    def effect(self, step: int, then: Callable[[View], None]) -> None:
        """What the lead's step means to later questions."""
        self.items.append(Effect(step, then))

    def close(self, actor: int, descriptor: int) -> None:
        """If it was opened."""
        self.also(actor, "close", Got(descriptor), only_if=descriptor)


@dataclass(frozen=True, slots=True)
class Reach:
    """A thing, and how one actor calls it now."""

    thing: Thing
    name: bytes

    def __str__(self) -> str:
        through = "" if self.name == self.thing.path else f" as {short(self.name)}"
        return short(self.thing.path) + through


def short(path: bytes) -> str:
    """For people."""
    return repr(path if len(path) < 200 else path[:100] + b"..." + path[-80:])[1:]


# One access each -----------------------------------------------------------------------------------------


def open_file(scene: Scene, actor: int, at: Reach, flags: int) -> None:
    thing = at.thing
    listing = thing.kind in ("folder", "way")
    natural = [errno.ENXIO] if thing.kind in ("fifo", "socket") else [errno.EISDIR] if listing else []

    def asked(view: View) -> Iterator[Step]:
        if flags & os.O_PATH:
            return
        verdict = view.operations(actor).open(view.name(thing), flags, is_directory=listing)
        yield Step(verdict, Operation.OPEN, thing.path)
        if flags & os.O_TRUNC:  # 6.1 asks the same again where the file is cut
            again = view.operations(actor).truncate(view.name(thing))
            yield Step(again, Operation.TRUNCATE, thing.path, optional=True)

    what = f"open {at} flags {flags:#o}"
    opened = scene.ask(
        actor, what, "open", at.name, flags | os.O_NONBLOCK, 0o644, asked=asked, natural=natural
    )
    scene.close(actor, opened)
    if flags & os.O_TRUNC and thing.content:
        world.make(scene.script, thing, only_if=opened)


def create_file(scene: Scene, actor: int, at: Reach, flags: int) -> None:
    def asked(view: View) -> Iterator[Step]:
        made = view.operations(actor)._open(view.name(at.thing), flags, False, False)
        yield from label(made, (Operation.CREATE, at.thing.path), (Operation.OPEN, at.thing.path))

    opened = scene.ask(actor, f"create {at} flags {flags:#o}", "open", at.name, flags, 0o644, asked=asked)
    scene.close(actor, opened)
    scene.also(0, "unlink", at.thing.path)


def create_unnamed(scene: Scene, actor: int, at: Reach, flags: int) -> None:
    path = at.thing.path + b"/#"

    def asked(view: View) -> Iterator[Step]:
        name = replace(view.name(at.thing), path=path + b"12", alias=None)
        yield Step(view.operations(actor).open(name, flags | O_TMPFILE), Operation.OPEN, path)

    opened = scene.ask(
        actor, f"O_TMPFILE in {at} flags {flags:#o}", "open", at.name, flags | O_TMPFILE, 0o644, asked=asked
    )
    scene.close(actor, opened)


def make_node(scene: Scene, actor: int, at: Reach, kind: str) -> None:
    path = at.thing.path

    def asked(view: View) -> Iterator[Step]:
        operations, name = view.operations(actor), view.name(at.thing)
        match kind:
            case "mkdir":
                yield Step(operations.mkdir(name), Operation.MKDIR, path)
            case "symlink":
                yield Step(operations.symlink(name), Operation.SYMLINK, path)
            case "file":
                yield Step(operations.create(name), Operation.CREATE, path)
            case _:
                if kind == "device":
                    yield Step(operations.special(Special.MKNOD), Operation.MKNOD, None, errno.EPERM)
                yield Step(operations.create(name), Operation.MKNOD, path)

    calls = {
        "mkdir": call("mkdir", at.name, 0o755),
        "symlink": call("symlink", b"nowhere", at.name),
        "file": call("mknod", at.name, 0o100644, 0),
        "fifo": call("mknod", at.name, 0o010644, 0),
        "socket": call("mknod", at.name, 0o140644, 0),
        "device": call("mknod", at.name, 0o020644, 0x103),
    }
    name, arguments = calls[kind]
    scene.ask(actor, f"make {kind} {at}", name, *arguments, asked=asked)
    scene.also(0, "rmdir" if kind == "mkdir" else "unlink", path)


def unlink(scene: Scene, actor: int, at: Reach) -> None:
    thing = at.thing

    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).unlink(view.name(thing)), Operation.UNLINK, thing.path)

    gone = scene.ask(actor, f"unlink {at}", "unlink", at.name, asked=asked)
    restore(scene, thing, gone)


def restore(scene: Scene, thing: Thing, gone: int) -> None:
    """The lead brings back what is gone: by its other name, or anew."""
    others = [
        each for each in world.THINGS if thing.inode and each.inode == thing.inode and each.path != thing.path
    ]
    if others:
        made = scene.also(0, "link", others[0].path, thing.path, only_if=gone)
        scene.effect(made, lambda view: view.linked(others[0], thing))
    else:
        scene.effect(gone, lambda view: view.renewed(thing))
        world.make(scene.script, thing, only_if=gone)


def rmdir(scene: Scene, actor: int, at: Reach) -> None:
    thing = at.thing

    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).rmdir(view.name(thing)), Operation.RMDIR, thing.path)

    gone = scene.ask(actor, f"rmdir {at}", "rmdir", at.name, asked=asked, natural=[errno.ENOTEMPTY])
    scene.also(0, "mkdir", thing.path, 0o755, only_if=gone)


def rename(
    scene: Scene, actor: int, old: Reach, new: Reach, *, replaces: Thing | None, flags: int = 0
) -> None:
    is_directory = old.thing.kind == "folder"

    def asked(view: View) -> Iterator[Step]:
        target = view.name(replaces or new.thing)
        made = view.operations(actor)._rename(view.name(old.thing), target, is_directory, bool(replaces))
        yield from label(
            made,
            (Operation.RENAME, old.thing.path),
            (Operation.RENAME_TO, new.thing.path),
            (Operation.RENAME_TO, new.thing.path),
        )

    what = f"rename {'folder ' if is_directory else ''}{old} to {'existing ' if replaces else ''}{new}"
    done = scene.ask(actor, what, "renameat2", CWD, old.name, CWD, new.name, flags, asked=asked)
    if replaces and replaces.inode and replaces.inode == old.thing.inode:
        return  # the same file: the kernel does nothing
    scene.also(0, "rename", new.thing.path, old.thing.path, only_if=done)
    if replaces:
        scene.effect(done, lambda view: view.renewed(replaces))
        world.make(scene.script, replaces, only_if=done)


def exchange(scene: Scene, actor: int, old: Reach, new: Reach) -> None:
    folders = [each.thing.kind == "folder" for each in (old, new)]

    def asked(view: View) -> Iterator[Step]:
        one, other = view.name(old.thing), view.name(new.thing)
        made = view.operations(actor)._exchange(one, other, *folders)
        yield from label(
            made,
            (Operation.RENAME, old.thing.path),
            (Operation.RENAME_TO, new.thing.path),
            (Operation.RENAME_TO, new.thing.path),
        )

    what = f"exchange {old} and {new} (folders: {folders})"
    done = scene.ask(actor, what, "renameat2", CWD, old.name, CWD, new.name, EXCHANGE, asked=asked)
    scene.also(0, "renameat2", CWD, old.thing.path, CWD, new.thing.path, EXCHANGE, only_if=done)


def link(scene: Scene, actor: int, old: Reach, new: Reach) -> None:
    def asked(view: View) -> Iterator[Step]:
        made = view.operations(actor)._link(view.name(old.thing), view.name(new.thing))
        yield from label(
            made,
            (Operation.LINK, old.thing.path),
            (Operation.LINK_TO, new.thing.path),
            (Operation.LINK_TO, new.thing.path),
        )

    scene.ask(
        actor,
        f"link {old} to {new}",
        "link",
        old.name,
        new.name,
        asked=asked,
        then=lambda view: view.linked(old.thing, new.thing),
    )
    scene.also(0, "unlink", new.thing.path)


def truncate(scene: Scene, actor: int, at: Reach) -> None:
    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).truncate(view.name(at.thing)), Operation.TRUNCATE, at.thing.path)

    done = scene.ask(actor, f"truncate {at}", "truncate", at.name, 0, asked=asked)
    if at.thing.content:
        world.make(scene.script, at.thing, only_if=done)


def attributes(scene: Scene, actor: int, at: Reach, kind: str) -> None:
    thing = at.thing
    operation = {
        "chmod": Operation.CHMOD,
        "chown": Operation.CHOWN,
        "give": Operation.CHOWN,
        "touch": Operation.UTIMES,
        "utimes": Operation.UTIMES,
    }.get(kind, Operation.SETXATTR)

    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).attributes(view.name(thing)), operation, thing.path)

    old, now = (each.to_bytes(8, "little") + bytes(8) for each in (1000000, 0))
    calls = {
        "chmod": call("chmod", at.name, world.mode_of(thing)),
        "chown": call("chown", at.name, 0, 0),
        "give": call("chown", at.name, 1000, 0),
        "touch": call("utimensat", CWD, at.name, 0, 0),
        "utimes": call("utimensat", CWD, at.name, scene.script.data(old + now), 0),
        "setxattr": call("setxattr", at.name, b"user.agree", b"x", 1, 0),
        "removexattr": call("removexattr", at.name, b"user.nothing"),
        "acl": call("setxattr", at.name, ACL_NAME, scene.script.data(ACL), len(ACL), 0),
        "no-acl": call("removexattr", at.name, ACL_NAME),
    }
    name, arguments = calls[kind]
    natural = [errno.EOPNOTSUPP, errno.ENODATA]
    done = scene.ask(actor, f"{kind} {at}", name, *arguments, asked=asked, natural=natural)
    if kind == "setxattr":
        scene.also(0, "removexattr", thing.path, b"user.agree", only_if=done)
    if kind == "give":
        scene.also(0, "chown", thing.path, 0, 0, only_if=done)
    if kind == "acl":
        scene.also(0, "removexattr", thing.path, ACL_NAME, only_if=done)
        scene.also(0, "chmod", thing.path, world.mode_of(thing), only_if=done)


def opened_first(scene: Scene, actor: int, at: Reach, flags: int, what: str) -> int:
    """An open that is judged like any other and that something else is done with."""
    thing = at.thing

    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).open(view.name(thing), flags), Operation.OPEN, thing.path)

    return scene.ask(actor, f"open {at} {what}", "open", at.name, flags | os.O_NONBLOCK, asked=asked)


def set_flags(scene: Scene, actor: int, at: Reach) -> None:
    """FS_IOC_SETFLAGS is a change of attributes."""
    thing = at.thing

    def asked(view: View) -> Iterator[Step]:
        verdict = view.operations(actor).attributes(view.name(thing))
        yield Step(verdict, Operation.IOCTL, thing.path)
        # from 6.17 on it is asked again where the flags are set
        yield Step(verdict, Operation.SETXATTR, thing.path, optional=True)

    opened = opened_first(scene, actor, at, os.O_RDONLY, "to set its flags")
    flags = scene.script.space(8)
    scene.also(actor, "ioctl", Got(opened), FS_IOC_GETFLAGS, flags, only_if=opened)
    scene.ask(
        actor, f"set flags of {at}", "ioctl", Got(opened), FS_IOC_SETFLAGS, flags,
        asked=asked, only_if=opened, natural=[errno.EOPNOTSUPP, errno.ENOTTY],
    )  # fmt: skip
    scene.close(actor, opened)


def no_append(scene: Scene, actor: int, at: Reach) -> None:
    """An appending descriptor: clearing O_APPEND, cutting the file and a shared mapping are writes."""
    thing = at.thing
    flags = os.O_RDWR | os.O_APPEND
    opened = opened_first(scene, actor, at, flags, "to append")

    def asked(operation: Operation) -> Callable[[View], Iterator[Step]]:
        def ask(view: View) -> Iterator[Step]:
            yield Step(view.operations(actor).judge(view.name(thing), Right.WRITE), operation, thing.path)

        return ask

    kind = scene.rng.choice(("fcntl", "ftruncate", "mmap"))
    if kind == "fcntl":
        scene.ask(
            actor, f"clear O_APPEND of {at}", "fcntl", Got(opened), F_SETFL, 0,
            asked=asked(Operation.FCNTL), only_if=opened,
        )  # fmt: skip
    elif kind == "ftruncate":
        size = len(world.program(thing.content, thing.path)) if thing.content else 0
        scene.ask(
            actor, f"ftruncate {at}", "ftruncate", Got(opened), size,
            asked=asked(Operation.TRUNCATE), only_if=opened,
        )  # fmt: skip
    else:
        mapped = scene.ask(
            actor, f"map {at} shared to write", "mmap", 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
            Got(opened), 0, asked=asked(Operation.MMAP), only_if=opened,
        )  # fmt: skip
        scene.also(actor, "munmap", Got(mapped), 4096, only_if=mapped)
    scene.close(actor, opened)


def device_ioctl(scene: Scene, actor: int) -> None:
    thing = Thing(scene.rng.choice((b"/dev/null", b"/dev/zero")), "device")
    if ACTORS[actor - 1].name in world.JAILED:
        return
    at = Reach(thing, thing.path)
    opened = opened_first(scene, actor, at, os.O_RDONLY, "for an ioctl")

    def asked(view: View) -> Iterator[Step]:
        yield Step(view.operations(actor).ioctl(view.name(thing)), Operation.IOCTL, thing.path)

    scene.ask(
        actor, f"ioctl on {at}", "ioctl", Got(opened), TCGETS, scene.script.space(64),
        asked=asked, only_if=opened, natural=[errno.ENOTTY],
    )  # fmt: skip
    scene.close(actor, opened)
