"""What a system call asks for, step by step as the hooks ask it, on top of the evaluator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from policies.evaluate import ALLOWED, Evaluator, Verdict
from policies.image import Builtin, Right, Special

LAST_CHOSEN: Final = 2
"""The descriptors up to this one are not judged at exec."""

GAINABLE: Final = (
    1 << Right.READ
    | 1 << Right.LIST
    | 1 << Right.WRITE
    | 1 << Right.APPEND
    | 1 << Right.ATTRIBUTES
    | 1 << Right.EXECUTE
    | 1 << Right.MAP_EXEC
)
"""Rights that moving a tree or linking a file could gain; compared between the old and the new place."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name of a file. `foreign`: not reached by pid 1's namespace; `alias`: a protected name's class."""

    path: bytes
    foreign: bool = False
    alias: int | None = None


def name(path: str | bytes | Name) -> Name:
    """A path as a Name."""
    if isinstance(path, Name):
        return path
    return Name(os.fsencode(path))


AnyName = str | bytes | Name


def first_denial(steps: Iterable[Verdict]) -> Verdict:
    """What the caller sees: the first enforced denial ends the call; else the first report is told."""
    told = ALLOWED
    for number, verdict in enumerate(steps):
        if verdict.enforced:
            return verdict
        if number == 0 or (verdict.reported and not told.reported):
            told = verdict
    return told


@dataclass(frozen=True, slots=True)
class Operations:
    """System calls of one subject (its row)."""

    evaluator: Evaluator
    row: int

    def judge(self, path: AnyName, *rights: Right) -> Verdict:
        """All `rights` on one name at once."""
        where = name(path)
        number, _ = self.evaluator.classify(where.path)
        wanted = sum(1 << right for right in rights)
        return self.evaluator.decide(self.row, number, wanted, foreign=where.foreign, alias=where.alias)

    def open(self, path: AnyName, flags: int, *, is_directory: bool = False, exists: bool = True) -> Verdict:
        """open(2); `exists` False with O_CREAT makes the name first."""
        return first_denial(self._open(path, flags, is_directory, exists))

    def _open(self, path: AnyName, flags: int, is_directory: bool, exists: bool) -> Iterator[Verdict]:
        if not exists and flags & os.O_CREAT:
            yield self.judge(path, Right.CREATE)
        rights: list[Right] = []
        access = flags & os.O_ACCMODE
        if access in (os.O_RDONLY, os.O_RDWR):
            rights.append(Right.LIST if is_directory else Right.READ)
        if access in (os.O_WRONLY, os.O_RDWR):
            rights.append(Right.APPEND if flags & os.O_APPEND else Right.WRITE)
        if flags & os.O_TRUNC:
            rights.append(Right.WRITE)
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            rights.append(Right.CREATE)
        yield self.judge(path, *dict.fromkeys(rights))

    def create(self, path: AnyName) -> Verdict:
        """mknod(2) of a regular file, mkfifo(3), or the socket that bind(2) makes."""
        return self.judge(path, Right.CREATE)

    def hold(self, path: AnyName, flags: int, *, is_directory: bool = False) -> Verdict:
        """Receiving a descriptor that was opened so."""
        return self.open(path, flags & (os.O_ACCMODE | os.O_APPEND), is_directory=is_directory)

    def inherit(self, path: AnyName, flags: int, descriptor: int, *, is_directory: bool = False) -> Verdict:
        """An exec that makes the caller this subject, with a descriptor that was opened so. Input, output and
        errors are what the caller chose for it."""
        return self.hold(path, flags, is_directory=is_directory) if descriptor > LAST_CHOSEN else ALLOWED

    def mkdir(self, path: AnyName) -> Verdict:
        """mkdir(2)."""
        return self.judge(path, Right.CREATE)

    def symlink(self, path: AnyName) -> Verdict:
        """symlink(2); `path` is the link."""
        return self.judge(path, Right.CREATE)

    def unlink(self, path: AnyName) -> Verdict:
        """unlink(2)."""
        return self.judge(path, Right.DELETE)

    def rmdir(self, path: AnyName) -> Verdict:
        """rmdir(2)."""
        return self.judge(path, Right.DELETE)

    def truncate(self, path: AnyName) -> Verdict:
        """truncate(2)."""
        return self.judge(path, Right.WRITE)

    def attributes(self, path: AnyName) -> Verdict:
        """chmod(2), chown(2), utimensat(2), setxattr(2) and the like."""
        return self.judge(path, Right.ATTRIBUTES)

    def ioctl(self, path: AnyName) -> Verdict:
        """ioctl(2) on a device."""
        return self.judge(path, Right.IOCTL)

    def mount_over(self, path: AnyName) -> Verdict:
        """mount(2) over an object, or umount(2) of it: Protections of it and of everything below it.

        Both hide or uncover what is below. Who may mount at all is `special`.
        """
        where = name(path)
        number, state = self.evaluator.classify(where.path)
        return first_denial(
            self.evaluator.denial(self.row, one, 1 << Right.MOUNT, foreign=where.foreign)
            for one in (number, self.evaluator.subtree(state))
        )

    def rename(
        self, old: AnyName, new: AnyName, *, is_directory: bool = False, replaces: bool = False
    ) -> Verdict:
        """rename(2)."""
        return first_denial(self._rename(name(old), name(new), is_directory, replaces))

    def exchange(
        self, old: AnyName, new: AnyName, *, old_is_directory: bool = False, new_is_directory: bool = False
    ) -> Verdict:
        """renameat2(2) with RENAME_EXCHANGE: both ways."""
        return first_denial(self._exchange(name(old), name(new), old_is_directory, new_is_directory))

    def _exchange(
        self, old: Name, new: Name, old_is_directory: bool, new_is_directory: bool
    ) -> Iterator[Verdict]:
        for each in (old, new):
            yield self.judge(each, Right.RENAME, Right.CREATE)
        if old_is_directory:
            yield from self._move(old, new)
        if new_is_directory:
            yield from self._move(new, old)

    def _rename(self, old: Name, new: Name, is_directory: bool, replaces: bool) -> Iterator[Verdict]:
        yield self.judge(old, Right.RENAME)
        yield self.judge(new, Right.CREATE, *((Right.DELETE,) if replaces else ()))
        if is_directory:
            yield from self._move(old, new)

    def _move(self, old: Name, new: Name) -> Iterator[Verdict]:
        """Where other rules hold below, all of a directory must be free to go, to come, and gain nothing."""
        evaluator, row = self.evaluator, self.row
        old_state, new_state = evaluator.state(old.path), evaluator.state(new.path)
        if evaluator.inside(old_state) == evaluator.inside(new_state) and old.foreign == new.foreign:
            return
        below_old, below_new = evaluator.subtree(old_state), evaluator.subtree(new_state)
        yield evaluator.decide(row, below_old, 1 << Right.RENAME, foreign=old.foreign)
        yield evaluator.decide(row, below_new, 1 << Right.CREATE, foreign=new.foreign)
        held = evaluator.cell(row, below_old, foreign=old.foreign).allow
        gained = evaluator.cell(row, below_new, foreign=new.foreign).any
        if gained & ~held & GAINABLE:
            yield evaluator.builtin(row, Builtin.GAIN, Right.RENAME)

    def link(self, old: AnyName, new: AnyName) -> Verdict:
        """link(2)."""
        return first_denial(self._link(name(old), name(new)))

    def _link(self, old: Name, new: Name) -> Iterator[Verdict]:
        yield self.judge(old, Right.LINK)
        yield self.judge(new, Right.CREATE)
        evaluator, row = self.evaluator, self.row
        held = evaluator.cell(row, evaluator.classify(old.path)[0], foreign=old.foreign).allow
        gained = evaluator.cell(row, evaluator.classify(new.path)[0], foreign=new.foreign).allow
        if gained & ~held & GAINABLE:
            yield evaluator.builtin(row, Builtin.GAIN, Right.LINK)

    def execute(self, path: AnyName, *, identified: bool) -> Verdict:
        """execve(2) of a file; `identified` whether its credential checks."""
        return first_denial(self._code(name(path), identified, Right.EXECUTE, Right.WAIVE_EXECUTE_UNSIGNED))

    def executes_as_self(self, path: AnyName) -> bool:
        """Whether a program at this path keeps the subject's identity."""
        where = name(path)
        number, _ = self.evaluator.classify(where.path)
        allow = self.evaluator.cell(self.row, number, foreign=where.foreign).allow
        return self.evaluator.confined(self.row) and bool(allow >> Right.EXEC_AS_SELF & 1)

    def map_exec(self, path: AnyName, *, identified: bool) -> Verdict:
        """mmap(2) or mprotect(2) of a file as code."""
        return first_denial(self._code(name(path), identified, Right.MAP_EXEC, Right.WAIVE_MAP_UNSIGNED))

    def _code(self, where: Name, identified: bool, right: Right, waiver: Right) -> Iterator[Verdict]:
        yield self.judge(where, right)
        number, _ = self.evaluator.classify(where.path)
        allow = self.evaluator.cell(self.row, number, foreign=where.foreign).allow
        if not identified and not allow >> waiver & 1:
            yield self.evaluator.builtin(self.row, Builtin.UNIDENTIFIED_PROGRAM, right)

    def connect(self, endpoint: bytes) -> Verdict:
        """connect(2), sendto(2) and the like; see `endpoint.encode`."""
        number, _ = self.evaluator.classify(endpoint)
        return self.evaluator.decide(self.row, number, 1 << Right.CONNECT)

    def listen(self, endpoint: bytes) -> Verdict:
        """bind(2) or listen(2) on an endpoint."""
        number, _ = self.evaluator.classify(endpoint)
        return self.evaluator.decide(self.row, number, 1 << Right.LISTEN)

    def keep(self, peer: bytes, own: bytes) -> Verdict:
        """A connection that is there: if the subject may listen at its own end, it may have been accepted."""
        return self.connect(peer) if self.listen(own).reported else ALLOWED

    def unix_connect(self, where: AnyName, *, kin: bool = False) -> Verdict:
        """connect(2) or sendto(2) to a socket's path, or to `@` and an abstract name.

        `kin`: this subject bound it itself. Then only what is denied by name is.
        """
        if not kin:
            return self.judge(where, Right.CONNECT)
        number, _ = self.evaluator.classify(name(where).path)
        return self.evaluator.denial(self.row, number, 1 << Right.CONNECT, foreign=name(where).foreign)

    def unix_listen(self, where: AnyName) -> Verdict:
        """bind(2) to a path, which creates it: one question for both; or to an abstract name."""
        if name(where).path.startswith(b"@"):
            return self.judge(where, Right.LISTEN)
        return self.judge(where, Right.CREATE, Right.LISTEN)

    def special(self, special: Special, target: str | int | None = None) -> Verdict:
        """A special right, toward another identity where it has one."""
        return self.evaluator.special(self.row, special, target)

    def capability(self, number: int) -> Verdict:
        """A capability by its number."""
        return self.evaluator.capability(self.row, number)

    def jit(self) -> Verdict:
        """Anonymous, written or writable memory made executable."""
        return self.evaluator.jit(self.row)
