"""Builds the suites: the selftests from Debian's source of each kernel, LTP's groups from a tree of LTP."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.guest import kernels
from tests.guest.conformance.groups import groups
from tests.guest.host import HostError, run
from tests.guest.progress import note, step

RUNTEST = "runtest/menshen"
"""Of the built copy of LTP: a line for each test, `GROUP NAME COMMAND`."""
CALLS = "testcases/kernel/syscalls"
UNUSED = ("Documentation", "drivers", "fs", "sound")
"""Of a kernel's tree: neither headers that user space gets nor selftests."""
LTP_NEEDS = "autoconf, automake, m4, pkg-config, bison, flex, make, gcc and libcap-dev"


def landlock(name: str, into: Path) -> None:
    """Landlock's selftests as they are in the source of the matrix's kernel `name`."""
    version = ".".join(kernels.kernel(name).release.split(".")[:2])
    archive = kernels.archive(kernels.SOURCES[name].suites)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with step(f"downloading linux-source-{version} {archive.version(f'linux-source-{version}')}"):
            (deb,) = archive.download([f"linux-source-{version}"], work)
            run(["dpkg-deb", "-x", deb, work])
        tree = work / "tree"
        tree.mkdir()
        with step("unpacking it"):
            unused = [f"--exclude=linux-source-{version}/{one}" for one in UNUSED]
            packed = work / f"usr/src/linux-source-{version}.tar.xz"
            run(["tar", "-xf", packed, "-C", tree, "--strip-components=1", *unused])
        selftests = tree / "tools/testing/selftests/landlock"
        with step("building Landlock's selftests"):
            run(["make", "-C", tree, "headers"])
            run(["make", "-C", selftests, f"KHDR_INCLUDES=-isystem {tree / 'usr/include'}"])
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        for path in selftests.iterdir():
            if os.access(path, os.X_OK):
                shutil.copy2(path, into)
    note(f"{into} holds {', '.join(sorted(path.name for path in into.iterdir()))}")


def ltp(tree: Path, into: Path) -> None:
    """The groups of LTP that are named in groups.txt, what they need, and the list of their tests."""
    with step(f"building LTP; it needs {LTP_NEEDS}"):
        if not (tree / "configure").exists():
            run(["make", "-C", tree, "autotools"])
        run(["./configure", f"--prefix={into}"], cwd=tree)
        for folder in (tree / "lib", tree / "libs"):
            run(["make", f"-j{os.cpu_count()}", "-C", folder])
        for group in ("testcases/lib", *(f"{CALLS}/{group}" for part in groups().values() for group in part)):
            if not (tree / group).is_dir():
                raise HostError(f"this tree of LTP has no {group}: README.md says which has")
            run(["make", f"-j{os.cpu_count()}", "-C", tree / group])
            # not side by side: it would install what is not built yet
            run(["make", "-C", tree / group, "install"])
    programs = (
        path for path in (into / "testcases/bin").iterdir() if path.read_bytes().startswith(b"\x7fELF")
    )
    run(["strip", *programs])
    lines = list(_tests(tree, into))
    (into / RUNTEST).parent.mkdir(exist_ok=True)
    (into / RUNTEST).write_text("\n".join([*lines, ""]))
    note(f"{into / RUNTEST} lists {len(lines)} tests")


def _tests(tree: Path, into: Path) -> Iterator[str]:
    """LTP's own list, of which those remain that are built from our groups."""
    group_of = {
        path.name: group
        for part in groups().values()
        for group in part
        for path in (tree / CALLS / group).rglob("*")
        if path.is_file() and os.access(path, os.X_OK) and (into / "testcases/bin" / path.name).exists()
    }
    for line in (tree / "runtest/syscalls").read_text().splitlines():
        words = line.split()
        if len(words) > 1 and not line.startswith("#") and words[1] in group_of:
            yield f"{group_of[words[1]]} {line}"
