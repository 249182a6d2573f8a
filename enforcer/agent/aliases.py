"""Protected files that have more than one name already: the kernel only sees links that are made from now on.

The other name of such a file would be judged by its own path. So before an image comes into force the folders
that its protections speak of are searched, and what has more than one name is given to the gate. The agent
may list every folder for that (subject.h, refresh()) and opens no file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpf_lsm.tables import Alias

MOUNTS = Path("/proc/self/mountinfo")
VIRTUAL = {
    *("proc", "sysfs", "cgroup", "cgroup2", "bpf", "debugfs", "tracefs", "securityfs", "pstore", "efivarfs"),
    *("configfs", "devpts", "mqueue", "binfmt_misc", "fusectl", "selinuxfs", "autofs", "nsfs", "rpc_pipefs"),
}

ClassesOf = Callable[[Sequence[str]], Sequence[int | None]]
"""Of each path its object class if something is denied there; None for a path that nothing protects."""

_AT_ONCE = 1024
"""Files that are asked for in one call."""


def search(roots: Iterable[Path], classes_of: ClassesOf) -> dict[Alias, int]:
    """Files with several names, of which at least one is protected. The first protected name counts."""
    from bpf_lsm.handles import generation  # noqa: PLC0415 - needed where a gate is
    from bpf_lsm.tables import Alias  # noqa: PLC0415

    found: dict[Alias, int] = {}
    linked = _linked(_outermost(roots))
    while some := list(islice(linked, _AT_ONCE)):
        numbers = classes_of([str(path) for path, _ in some])
        for (path, status), number in zip(some, numbers, strict=True):
            if number is not None:
                found.setdefault(Alias(status.st_ino, status.st_dev, generation(path)), number)
    return found


def _outermost(roots: Iterable[Path]) -> list[Path]:
    """Without folders that lie in another one of them."""
    kept: list[Path] = []
    for root in sorted(set(roots)):
        if not any(root == other or other in root.parents for other in kept):
            kept.append(root)
    return kept


def _linked(roots: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    passed_over = _virtual_mounts()
    for root in roots:
        if not passed_over.isdisjoint(map(str, (root, *root.parents))):
            continue
        yield from _if_linked(root)
        for parent, folders, names in os.walk(root):
            folders[:] = [name for name in folders if os.path.join(parent, name) not in passed_over]  # noqa: PTH118 - per folder
            for name in names:
                yield from _if_linked(Path(parent, name))


def _virtual_mounts() -> frozenset[str]:
    """Where file systems are mounted that have no files of their own, only views of the kernel."""
    found = set()
    for line in MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
        fields, _, source = line.partition(" - ")
        if source.split(" ", 1)[0] in VIRTUAL:
            found.add(fields.split(" ")[4])
    return frozenset(found)


def _if_linked(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        status = path.lstat()
    except OSError:
        return
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        yield path, status
