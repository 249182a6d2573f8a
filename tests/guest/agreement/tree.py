"""A file tree with mounts, links and namespaces as the kernel has it: what a path leads to, and by which
path a thing is judged. It is changed by what succeeded, and never set back.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

HOST: Final = 0
"""The number of process 1's mount namespace."""


@dataclass(eq=False, slots=True)
class Node:
    """An inode. A directory knows its one name; a file counts its names."""

    is_directory: bool
    content: bytes = b""
    links: int = 1
    children: dict[bytes, Node] = field(default_factory=dict)
    parent: Node | None = None
    name: bytes = b""


@dataclass(eq=False, slots=True)
class FileSystem:
    """A file system and what is mounted of it, the oldest first."""

    root: Node
    mounts: list[Mount] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Mount:
    """`root` of a file system as a namespace sees it: at `point` of the mount `under`, or as its root."""

    system: FileSystem
    root: Node
    namespace: int
    under: Mount | None = None
    point: Node | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a path leads: a name in a directory of a mount, and what is there; a mount's root has no name."""

    mount: Mount
    parent: Node | None
    name: bytes
    node: Node | None


@dataclass(frozen=True, slots=True)
class Known:
    """The path that a thing is judged by; `foreign`: process 1 does not reach it."""

    path: bytes
    foreign: bool


class Tree:
    """Everything below `base`, a directory of the host's first file system."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.systems = [FileSystem(Node(is_directory=True))]
        first = Mount(self.systems[0], self.systems[0].root, HOST)
        self.systems[0].mounts.append(first)
        self.roots = {HOST: first}

    # what a path leads to ----------------------------------------------------------------------------------

    def find(self, namespace: int, path: bytes) -> Spot | int:
        """What is there, and what is mounted on it; or an errno. A free name has no node."""
        spot = self.last(namespace, path)
        if isinstance(spot, int) or spot.node is None:
            return spot
        mount, node = self._through(spot.mount, spot.node)
        return spot if mount is spot.mount else Spot(mount, None, b"", node)

    def last(self, namespace: int, path: bytes) -> Spot | int:
        """The same for calls that take the last name as it is, whatever is mounted there."""
        mount = self.roots[namespace]
        names = [name for name in path[len(self.base) :].split(b"/") if name]
        if not names:
            return Spot(mount, None, b"", mount.root)
        mount, node = self._through(mount, mount.root)
        for name in names[:-1]:
            child = node.children.get(name)
            if child is None:
                return errno.ENOENT
            if not child.is_directory:
                return errno.ENOTDIR
            mount, node = self._through(mount, child)
        return Spot(mount, node, names[-1], node.children.get(names[-1]))

    def _through(self, mount: Mount, node: Node) -> tuple[Mount, Node]:
        while above := next((one for one in self.mounts() if one.under is mount and one.point is node), None):
            mount, node = above, above.root
        return mount, node

    def mounts(self) -> Iterator[Mount]:
        """Of all namespaces."""
        for system in self.systems:
            yield from system.mounts

    # by which path it is judged ----------------------------------------------------------------------------

    def known(self, spot: Spot) -> Known:
        """Up to the root of its file system, then on at the oldest mount of it in the host's namespace."""
        names: list[bytes] = []  # the innermost first
        foreign = False
        system, node = spot.mount.system, spot.node
        if node is None or not node.is_directory:
            names, node = [spot.name], spot.parent
        while True:
            assert node is not None
            passed = {node: len(names)}
            while node.parent is not None:
                names.append(node.name)
                node = node.parent
                passed[node] = len(names)
            showing = [mount for mount in system.mounts if mount.root in passed]
            home = next((mount for mount in showing if mount.namespace == HOST), None)
            foreign |= home is None
            mount = home or showing[0]
            del names[passed[mount.root] :]
            if mount.under is None:
                return Known(b"/".join((self.base, *reversed(names))), foreign)
            system, node = mount.under.system, mount.point

    # changes -----------------------------------------------------------------------------------------------

    def put(self, parent: Node, name: bytes, node: Node) -> None:
        """Give a node a name; one more if it has one."""
        parent.children[name] = node
        if node.is_directory:
            node.parent, node.name = parent, name

    def remove(self, parent: Node, name: bytes) -> None:
        """Take a name away; what other namespaces had mounted on a directory goes with it."""
        node = parent.children.pop(name)
        node.links -= 1
        for mount in [mount for mount in self.mounts() if mount.point is node]:
            self.unmount(mount)

    def mount(self, system: FileSystem, root: Node, where: Spot) -> None:
        """Mount on a directory that `find` led to."""
        if system not in self.systems:
            self.systems.append(system)
        assert where.node is not None
        system.mounts.append(Mount(system, root, where.mount.namespace, where.mount, where.node))

    def unmount(self, mount: Mount) -> None:
        """Lazily, with everything that is mounted below."""
        mount.system.mounts.remove(mount)
        for below in [each for each in self.mounts() if each.under is mount]:
            if below in below.system.mounts:
                self.unmount(below)

    def unshare(self, namespace: int) -> None:
        """A namespace of its own, a copy of the host's."""
        copies: dict[Mount, Mount] = {}
        for mount in [mount for mount in self.mounts() if mount.namespace == HOST]:
            copies[mount] = Mount(mount.system, mount.root, namespace, mount.under, mount.point)
            mount.system.mounts.append(copies[mount])
        for mount in copies.values():
            mount.under = copies[mount.under] if mount.under else None
        self.roots[namespace] = copies[self.roots[HOST]]

    def holds(self, outer: Node, inner: Node | None) -> bool:
        """Whether a directory is another one, or above it in the same file system."""
        while inner is not None and inner is not outer:
            inner = inner.parent
        return inner is outer
