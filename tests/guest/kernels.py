"""The kernel matrix: Debian's kernels, downloaded and unpacked; nothing of them is installed on the host."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.guest import apt, cache
from tests.guest.host import HostError, run
from tests.guest.progress import note, step

BACKPORTS = "trixie-backports"
PARTS = re.compile(r"linux-(image|binary|base|modules)-\d\S*")


@dataclass(frozen=True)
class Source:
    """Where a kernel of the matrix comes from: a Debian metapackage, in these suites."""

    name: str
    metapackage: str
    suites: str


SOURCES = {
    source.name: source
    for source in (
        Source("6.1", "linux-image-cloud-amd64", "bookworm"),
        Source("6.12", "linux-image-6.12-cloud-amd64", "bookworm"),
        Source("latest", "linux-image-cloud-amd64", BACKPORTS),
    )
}
NAMES = tuple(SOURCES)


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: `folder` holds vmlinuz, config and modules/RELEASE."""

    name: str
    release: str
    folder: Path

    @property
    def vmlinuz(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def modules(self) -> Path:
        return self.folder / "modules" / self.release


def kernel(name: str) -> Kernel:
    """The kernel called 6.1, 6.12 or latest; the one of the cache until `make clean`."""
    if name not in SOURCES:
        raise HostError(f"no kernel {name!r} in the matrix; there are {', '.join(NAMES)}")
    source = SOURCES[name]
    folder = cache.made("kernels", name, lambda into: _fetch(source, into), keep=len(NAMES), say=False)
    (modules,) = (folder / "modules").iterdir()
    return Kernel(name, modules.name, folder)


def archive(suites: str) -> apt.PrivateApt:
    """Debian's archive with these suites, up to date."""
    sources = apt.machine_sources("bookworm")
    if suites == BACKPORTS:
        sources = [(next(address for address, suite, _ in sources if suite == "bookworm"), BACKPORTS, "main")]
    private = apt.PrivateApt.create(suites, sources)
    private.update()
    return private


def _fetch(source: Source, into: Path) -> None:
    with step(f"downloading the {source.name} kernel from Debian"):
        private = archive(source.suites)
        packages, queue = list[str](), [source.metapackage]
        while queue:
            for name in private.depends(queue.pop()):
                if PARTS.fullmatch(name) and name not in packages:
                    packages.append(name)
                    queue.append(name)
        debs = private.download(packages, into / "debs")
    with step(f"unpacking {', '.join(packages)}"):
        for deb in debs:
            run(["dpkg-deb", "-x", deb, into / "tree"])
        _arrange(into)
    note(f"kernel {source.name} is {next((into / 'modules').iterdir()).name}")


def _arrange(into: Path) -> None:
    """Out of the package's tree: vmlinuz, config, modules/RELEASE, wherever this release keeps them."""
    tree = into / "tree"
    (modules,) = (folder for pattern in ("lib", "usr/lib") for folder in tree.glob(f"{pattern}/modules/*"))
    release = modules.name
    for wanted in ("vmlinuz", "config"):
        places = (tree / "boot" / f"{wanted}-{release}", modules / wanted)
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise HostError(f"the packages of kernel {release} hold no {wanted}")
        shutil.move(found, into / wanted)
    (into / "modules").mkdir()
    shutil.move(modules, into / "modules" / release)
    (into / "lib").symlink_to(".")
    run(["depmod", "-b", into, release])
    (into / "lib").unlink()
    shutil.rmtree(tree)
    shutil.rmtree(into / "debs")
