"""Accesses of a life that give names: renames, links, and names for what has none."""

from __future__ import annotations

import errno
import os

from bpf_lsm.layout import Operation
from policies.operations import Name
from tests.guest.agreement.accesses import CWD, EXCHANGE, NOREPLACE
from tests.guest.agreement.judge import Step, View, label
from tests.guest.agreement.life import NAMESPACES, Life, Plan
from tests.guest.agreement.script import FORMAT, Got
from tests.guest.agreement.tree import Node, Spot


def rename(life: Life, actor: int, old: bytes, new: bytes, flags: int) -> None:
    """renameat2(2)."""

    def plan(view: View) -> Plan:
        one, other = (life.tree.last(NAMESPACES[actor], path) for path in (old, new))
        if isinstance(one, int) or isinstance(other, int):
            return Plan(errors=tuple(each for each in (one, other) if isinstance(each, int)))
        if errors := _cannot_rename(life, one, other, flags):
            return Plan(errors=errors)
        assert one.node
        (name, known), (target, known_target) = life.named(one), life.named(other)
        operations = view.operations(actor)
        folders = one.node.is_directory, bool(other.node and other.node.is_directory)
        if flags & EXCHANGE:
            verdicts = operations._exchange(name, target, *folders)
        else:
            verdicts = operations._rename(name, target, folders[0], other.node is not None)
        to = (Operation.RENAME_TO, known_target)
        steps = list(label(verdicts, (Operation.RENAME, known), to, to))
        late: list[int] = []
        if one.node is not other.node:
            if any(life.is_mount_point(actor, each.node) for each in (one, other)):
                late.append(errno.EBUSY)
            if other.node and not flags & EXCHANGE:
                if folders[0] != folders[1]:
                    late.append(errno.ENOTDIR if folders[0] else errno.EISDIR)
                elif other.node.children:
                    late.append(errno.ENOTEMPTY)
        return Plan(steps, tuple(late), lambda result, denied: _moved(life, one, other, flags, result))

    what = f"rename {old!r} to {new!r}{' (exchange)' if flags & EXCHANGE else ''}"
    life.act(actor, what, plan, "renameat2", CWD, old, CWD, new, flags)


def _cannot_rename(life: Life, one: Spot, other: Spot, flags: int) -> tuple[int, ...]:
    """Errors before any hook is asked."""
    errors: list[int] = []
    if one.parent is None or other.parent is None:
        errors += (errno.EBUSY, errno.EXDEV, errno.EINVAL)
    if one.mount is not other.mount:
        errors.append(errno.EXDEV)
    if one.node is None or (flags & EXCHANGE and other.node is None):
        errors.append(errno.ENOENT)
    if flags & NOREPLACE and other.node:
        errors.append(errno.EEXIST)
    if one.node and one.node.is_directory and life.tree.holds(one.node, other.parent):
        errors.append(errno.EINVAL)
    if other.node and other.node.is_directory and life.tree.holds(other.node, one.parent):
        errors += (errno.EINVAL, errno.ENOTEMPTY)
    return tuple(errors)


def _moved(life: Life, one: Spot, other: Spot, flags: int, result: int) -> None:
    if result < 0 or one.node is other.node:
        return
    assert one.parent
    assert other.parent
    assert one.node
    if flags & EXCHANGE:
        assert other.node
        life.tree.put(one.parent, one.name, other.node)
    else:
        if other.node:
            life.tree.remove(other.parent, other.name)
        del one.parent.children[one.name]
    life.tree.put(other.parent, other.name, one.node)


def link(life: Life, actor: int, old: bytes, new: bytes) -> None:
    """link(2)."""

    def plan(view: View) -> Plan:
        one = life.tree.find(NAMESPACES[actor], old)
        if isinstance(one, int) or one.node is None:
            return Plan(errors=(one if isinstance(one, int) else errno.ENOENT,))
        return _linking(life, view, actor, one, old=life.named(one), new=new)

    life.act(actor, f"link {old!r} to {new!r}", plan, "link", old, new)


def _linking(life: Life, view: View, actor: int, one: Spot, *, old: tuple[Name, bytes], new: bytes) -> Plan:
    (name, known), node = old, one.node
    assert node
    other = life.tree.last(NAMESPACES[actor], new)
    if isinstance(other, int):
        return Plan(errors=(other,))
    early = [errno.EEXIST] if other.node else []
    early += [errno.EXDEV] if other.mount is not one.mount else []
    if early:
        return Plan(errors=tuple(early))
    target, known_target = life.named(other)
    to = (Operation.LINK_TO, known_target)
    steps = list(label(view.operations(actor)._link(name, target), (Operation.LINK, known), to, to))

    def change(result: int, denied: bool) -> None:
        if not denied:
            life.relabel(view, node, name, target)
        if result >= 0:
            assert other.parent
            life.tree.put(other.parent, other.name, node)
            node.links += 1

    return Plan(steps, (errno.EPERM,) if node.is_directory else (), change)


def link_unnamed(life: Life, actor: int, folder: bytes, new: bytes) -> None:
    """A file without a name (O_TMPFILE) is given one."""

    def where() -> Spot | int:
        spot = life.tree.find(NAMESPACES[actor], folder)
        if isinstance(spot, int):
            return spot
        return errno.ENOENT if spot.node is None else spot

    def unnamed(spot: Spot) -> tuple[Name, bytes]:
        known = life.tree.known(spot)
        return Name(known.path + b"/#12", known.foreign), known.path + b"/#"

    def opening(view: View) -> Plan:
        spot = where()
        if isinstance(spot, int):
            return Plan(errors=(spot,))
        assert spot.node
        if not spot.node.is_directory:
            return Plan(errors=(errno.ENOTDIR,))
        name, known = unnamed(spot)
        verdict = view.operations(actor).open(name, os.O_RDWR | os.O_TMPFILE)
        return Plan([Step(verdict, Operation.OPEN, known)])

    def linking(view: View) -> Plan:
        spot = where()
        assert not isinstance(spot, int)
        nameless = Spot(spot.mount, None, b"", Node(is_directory=False, links=0))
        return _linking(life, view, actor, nameless, old=unnamed(spot), new=new)

    flags = os.O_RDWR | os.O_TMPFILE
    opened = life.act(actor, f"O_TMPFILE in {folder!r}", opening, "open", folder, flags, 0o644)
    script = life.scripts[-1]
    place = script.space(256)
    script.do(actor, FORMAT, place, b"/proc/self/fd/%d", Got(opened), only_if=opened)
    life.act(
        actor, f"linkat of that to {new!r}", linking, "linkat", CWD, place, CWD, new, 0x400,
        only_if=opened,
    )  # fmt: skip
    life.close(actor, opened)
