"""The initramfs that Debian would make of a guest: initramfs-tools in a tree of its own, and our scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.guest import apt, cache
from tests.guest.host import run
from tests.guest.image import in_tree
from tests.guest.kernels import Kernel
from tests.guest.progress import step

PACKAGES = ("initramfs-tools", "busybox", "kmod", "udev", "e2fsprogs", "zstd")
MODULES = ("ext4", "virtio_blk", "virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "crc32c_intel")
COMMANDLINE = "root=/dev/vda ro rootfstype=ext4"
CONFIGURATION = "etc/initramfs-tools"


def debian_initramfs(kernel: Kernel, scripts: Path) -> Path:
    """Of this kernel, with what lies in `scripts`/etc/initramfs-tools, as update-initramfs makes it."""
    ours = sorted(path for path in (scripts / CONFIGURATION).rglob("*") if path.is_file())
    contents = [item for path in ours for item in (str(path.relative_to(scripts)), path)]
    tree = _tree()
    key = cache.digest(tree.parent.name, kernel.release, MODULES, *contents, 1)

    def make(into: Path) -> None:
        with step(f"making Debian's initramfs for kernel {kernel.release}"):
            settings = into / "settings"
            shutil.copytree(tree / CONFIGURATION, settings)
            shutil.copytree(scripts / CONFIGURATION, settings, dirs_exist_ok=True)
            with (settings / "modules").open("a") as listed:
                listed.writelines(f"{name}\n" for name in MODULES)
            with (settings / "initramfs.conf").open("a") as configured:
                configured.write("MODULES=list\n")
            binds = {"/mnt/settings": settings, f"/usr/lib/modules/{kernel.release}": kernel.modules}
            binds |= {"/mnt/kernel": kernel.folder, "/mnt/into": into}
            script = (
                f"cp /mnt/kernel/config /boot/config-{kernel.release}; "
                f"mkinitramfs -d /mnt/settings -o /mnt/into/initramfs {kernel.release}"
            )
            in_tree(tree, script, binds, log=into / "log")

    return cache.made("debian-initramfs", key, make, keep=6, say=False) / "initramfs"


def _tree() -> Path:
    """A Debian 12 tree that has initramfs-tools."""

    def make(into: Path) -> None:
        (into / "sources.list").write_text(apt.source_lines(apt.machine_sources()))
        options = [f"--aptopt={line}" for line in apt.machine_settings()]
        options += ["--mode=root", "--variant=minbase", "--format=directory"]
        with step("building the Debian tree that makes initramfs (mmdebstrap, about a minute)"):
            options.append(f"--include={','.join(PACKAGES)}")
            run(["mmdebstrap", *options, "bookworm", into / "tree", into / "sources.list"], log=into / "log")

    return cache.made("initramfs-tools", cache.digest(PACKAGES, 1), make, keep=1, say=False) / "tree"
