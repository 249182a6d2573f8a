"""A tiny first root of our own: busybox, the few modules that reach the disk, and switch_root."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from tests.guest import cache
from tests.guest.host import HostError, run
from tests.guest.kernels import Kernel

BUSYBOX = Path("/bin/busybox")
# In this order. What a kernel has built in, or does not have, is passed over, except for the first two.
NEEDED = ("virtio_blk", "ext4")
WANTED = (
    "crc32c_generic",
    "crc32c_intel",
    "virtio_pci",
    *NEEDED,
    "virtio_console",
    "virtio_net",
    "virtio_rng",
)

INIT = """\
#!/bin/busybox sh
# Load the modules that were put here, mount the root disk, go there.
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
while read -r module; do
    /bin/busybox insmod "/modules/$module" || echo "initramfs: $module was not loaded"
done < /modules/order
tries=0
until /bin/busybox mount -t ext4 -o "$(/bin/busybox cat /rootflags)" /dev/vda /root; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || exec /bin/busybox sh
    /bin/busybox sleep 0.1
done
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /usr/lib/systemd/systemd
"""


def initramfs(kernel: Kernel) -> Path:
    """The initramfs for `kernel`, from the cache or made now."""
    if not BUSYBOX.exists():
        raise HostError("busybox-static is not installed here: run `make setup`")
    key = cache.digest(kernel.release, INIT, WANTED, Path(__file__), BUSYBOX)
    return cache.made("initramfs", key, lambda into: _make(kernel, into), keep=6, say=False) / "initramfs"


def _make(kernel: Kernel, into: Path) -> None:
    tree = into / "tree"
    for folder in ("bin", "modules"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    (tree / "rootflags").write_text("rw,noatime")
    order = resolve(kernel.modules)
    for path in order:
        data = (kernel.modules / path).read_bytes()
        name = Path(path).name.removesuffix(".xz")
        (tree / "modules" / name).write_bytes(lzma.decompress(data) if path.endswith(".xz") else data)
    names = [Path(path).name.removesuffix(".xz") for path in order]
    (tree / "modules/order").write_text("".join(f"{name}\n" for name in names))
    run(["sh", "-c", f"cd '{tree}' && find . | cpio --quiet -o -H newc -R 0:0 > '{into / 'initramfs'}'"])
    shutil.rmtree(tree)


def resolve(modules: Path) -> list[str]:
    """The files of the wanted modules and all that they need, in an order in which they load."""
    needs: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
        files[_name(path)] = path
    builtin = {_name(line) for line in (modules / "modules.builtin").read_text().split()}
    order: list[str] = []
    for name in WANTED:
        path = files.get(name, "")
        if path:
            # modules.dep lists what a module needs with the deepest last
            order += [part for part in [*reversed(needs[path]), path] if part not in order]
        elif name in NEEDED and name not in builtin:
            raise HostError(f"the kernel in {modules} has no {name}, so it cannot reach its disk")
    return order


def _name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")
