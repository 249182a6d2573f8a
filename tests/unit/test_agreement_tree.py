"""The tree that the lives are judged by leads where the kernel's does."""

from __future__ import annotations

from tests.guest.agreement.tree import HOST, FileSystem, Node, Spot, Tree

BASE = b"/srv/agree"


def test_a_mount_on_the_base_hides_what_is_below_until_it_is_gone() -> None:
    tree = Tree(BASE)
    tool = Node(is_directory=False)
    tree.put(tree.systems[0].root, b"tool", tool)
    base = tree.find(HOST, BASE)
    assert isinstance(base, Spot)
    system = FileSystem(Node(is_directory=True))
    tree.mount(system, system.root, base)

    hidden = tree.find(HOST, BASE + b"/tool")
    assert isinstance(hidden, Spot)
    assert hidden.node is None
    assert tree.known(hidden).path == BASE + b"/tool"

    tree.unmount(system.mounts[0])
    shown = tree.find(HOST, BASE + b"/tool")
    assert isinstance(shown, Spot)
    assert shown.node is tool
