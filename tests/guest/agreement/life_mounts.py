"""Accesses of a life that mount and unmount."""

from __future__ import annotations

import errno

from bpf_lsm.layout import Operation
from policies.image import Special
from tests.guest.agreement import world
from tests.guest.agreement.judge import Effect, Step, View
from tests.guest.agreement.life import NAMESPACES, Life, Plan
from tests.guest.agreement.tree import HOST, FileSystem, Node, Spot

MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8


def mount(life: Life, actor: int, path: bytes, source: bytes | None) -> None:
    """A tmpfs, or a bind mount of a directory."""

    def plan(view: View) -> Plan:
        spot = life.tree.find(NAMESPACES[actor], path)
        if isinstance(spot, int) or spot.node is None or not spot.node.is_directory:
            return Plan(errors=(_no_directory(spot),))
        steps = _mounting(
            life, view, actor, spot, operation=Operation.MOUNT, concerns_others=NAMESPACES[actor] == HOST
        )
        if source is None:
            system = FileSystem(Node(is_directory=True))
            root = system.root
        else:
            shown = life.tree.find(NAMESPACES[actor], source)
            if isinstance(shown, int) or shown.node is None or not shown.node.is_directory:
                return Plan(steps, (_no_directory(shown),))
            system, root = shown.mount.system, shown.node
        return Plan(
            steps,
            change=lambda result, denied: life.tree.mount(system, root, spot) if result >= 0 else None,
        )

    nothing = life.scripts[-1].text(b"")
    if source is None:
        what = f"mount a tmpfs on {path!r}"
        life.act(actor, what, plan, "mount", b"agree", path + b"/.", b"tmpfs", 0, 0)
    else:
        what = f"bind {source!r} to {path!r}"
        life.act(actor, what, plan, "mount", source + b"/.", path + b"/.", nothing, world.MS_BIND, 0)


def _mounting(
    life: Life, view: View, actor: int, *spots: Spot, operation: Operation, concerns_others: bool
) -> list[Step]:
    operations = view.operations(actor)
    steps = [Step(operations.special(Special.MOUNT), operation, None, errno.EPERM)]
    for name, known in map(life.named, spots if concerns_others else ()):
        steps.append(Step(operations.mount_over(name), operation, known))
    return steps


def unmount(life: Life, actor: int, path: bytes) -> None:
    """umount2(2), lazily."""

    def plan(view: View) -> Plan:
        spot = life.tree.find(NAMESPACES[actor], path)
        if isinstance(spot, int) or spot.node is None:
            return Plan(errors=(spot if isinstance(spot, int) else errno.ENOENT,))
        mount = spot.mount
        if mount.under is None or spot.node is not mount.root:
            return Plan(errors=(errno.EINVAL,))
        place = Spot(mount.under, None, b"", mount.point)
        places = [place, spot] if any(one.under is mount for one in life.tree.mounts()) else [place]
        steps = _mounting(
            life, view, actor, *places, operation=Operation.UMOUNT, concerns_others=mount.namespace == HOST
        )
        return Plan(steps, change=lambda result, denied: life.tree.unmount(mount) if result >= 0 else None)

    life.act(actor, f"unmount {path!r}", plan, "umount2", path, MNT_DETACH | UMOUNT_NOFOLLOW)


def move_mount(life: Life, old: bytes, new: bytes) -> None:
    """The lead moves a mount."""
    nothing = life.scripts[-1].text(b"")
    step = life.scripts[-1].do(0, world.SYS["mount"], old, new + b"/.", nothing, world.MS_MOVE, 0)
    life.told.append(f"lead: move the mount {old!r} to {new!r}")

    def moved(view: View) -> None:
        one, other = life.tree.find(HOST, old), life.tree.find(HOST, new)
        assert not isinstance(one, int)
        assert not isinstance(other, int)
        one.mount.under, one.mount.point = other.mount, other.node

    life.items[-1].append(Effect(step, moved))


def _no_directory(spot: Spot | int) -> int:
    if isinstance(spot, int):
        return spot
    return errno.ENOENT if spot.node is None else errno.ENOTDIR
