"""The root image: Debian 12 with real services, kernel modules and Menshen's dependencies, one ext4 file.

Four layers, each cached by what it is made from: the Debian tree, the Python environment with Menshen's
dependencies, the kernels' modules, and the image of them all. Menshen itself comes on top, see layer.py.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

from tests.guest import apt, cache
from tests.guest.host import run
from tests.guest.kernels import Kernel
from tests.guest.progress import step

HERE = Path(__file__).resolve().parent
ROOTFS = HERE / "rootfs"


def _words(name: str) -> tuple[str, ...]:
    lines = (HERE / name).read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


PACKAGES = _words("packages.txt")
MASKED = _words("masked.txt")
# A guest starts nothing that nobody asked for: services wait, disabled, for the test that wants them.
DISABLED = ("nginx", "redis-server", "ssh", "cron")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
PIP_QUIET = ["--quiet", "--disable-pip-version-check"]


def debian() -> Path:
    """A Debian 12 tree with the packages above, as Debian ships them."""
    key = cache.digest("debian", sorted(PACKAGES), LEFT_OUT, 1)
    return cache.made("debian", key, _debian, keep=1, say=False) / "tree"


def _debian(into: Path) -> None:
    (into / "sources.list").write_text(apt.source_lines(apt.machine_sources()))
    options = [f"--aptopt={line}" for line in apt.machine_settings()]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    with step("building the Debian 12 tree (mmdebstrap, about a minute)"):
        options += [
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(PACKAGES)}",
            "--customize-hook=rm -f $1/etc/apt/sources.list $1/etc/apt/apt.conf.d/99mmdebstrap",
        ]
        run(["mmdebstrap", *options, "bookworm", into / "tree", into / "sources.list"], log=into / "log")
    (into / "tree/opt/menshen").mkdir()


def dependencies() -> list[str]:
    """What Menshen itself depends on, as its pyproject.toml says."""
    project = tomllib.loads((cache.REPOSITORY / "pyproject.toml").read_text())["project"]
    return sorted(project["dependencies"])


def environment() -> Path:
    """/opt/menshen with Menshen's dependencies, as `pip install` leaves it; Menshen itself comes later."""
    key = cache.digest("environment", debian().parent.name, dependencies(), 1)
    return cache.made("environment", key, _environment, keep=1, say=False) / "menshen"


def _environment(into: Path) -> None:
    wheels, target = into / "wheels", into / "menshen"
    with step("downloading the wheels of Menshen's dependencies"):
        options = [
            f"--platform={tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
        ]
        options += ["--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"]
        options += ["--only-binary=:all:", *PIP_QUIET]
        run(
            [sys.executable, "-m", "pip", "download", *options, "--dest", wheels, *dependencies()],
            log=into / "log",
        )
    target.mkdir()
    with step("installing the wheels of Menshen's dependencies"):
        script = (
            "python3 -m venv /opt/menshen && "
            f"/opt/menshen/bin/pip install {' '.join(PIP_QUIET)} --no-index /mnt/wheels/*.whl"
        )
        in_tree(debian(), script, {"/opt/menshen": target, "/mnt/wheels": wheels}, log=into / "log")
    shutil.rmtree(wheels)


def in_tree(tree: Path, script: str, binds: dict[str, Path], *, log: Path) -> None:
    """Runs a shell script in the chroot `tree`, our folders bound over its own or into its /mnt."""
    lines = ["set -eu", f"mount -t tmpfs none '{tree}/mnt'"]
    for place, folder in binds.items():
        lines += [f"mkdir -p '{tree}{place}'", f"mount --bind '{folder}' '{tree}{place}'"]
    lines.append(f"mount --bind /dev '{tree}/dev'")
    lines.append(f"mount -t proc proc '{tree}/proc'")
    clean = "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8"
    lines.append(f"exec chroot '{tree}' {clean} sh -euc '{script}'")
    run(["unshare", "--mount", "--propagation=private", "sh", "-c", "\n".join(lines)], log=log)


def image(kernels: list[Kernel]) -> Path:
    """The ext4 image with everything but Menshen's own code."""
    configuration = sorted(path for path in ROOTFS.rglob("*") if path.is_file())
    key = cache.digest(
        "image",
        debian().parent.name,
        environment().parent.name,
        *[kernel.release for kernel in kernels],
        *[item for path in configuration for item in (str(path.relative_to(ROOTFS)), path)],
        HERE / "agent.py",
        HERE / "wire.py",
        DISABLED,
        MASKED,
        3,
    )
    return cache.made("image", key, lambda into: _image(kernels, into), keep=2) / "root.ext4"


def _image(kernels: list[Kernel], into: Path) -> None:
    tree = into / "tree"
    with step("joining the layers of the root image"):
        # Hard links cost nothing; every file that is changed below is written anew, never in place.
        run(["cp", "-al", debian(), tree])
        run(["cp", "-al", f"{environment()}/.", tree / "opt/menshen"])
        (tree / "usr/lib/modules").mkdir(exist_ok=True)
        for kernel in kernels:
            run(["cp", "-al", kernel.modules, tree / "usr/lib/modules" / kernel.release])
        configure(tree)
    with step("writing the root image"):
        picture = into / "root.ext4"
        with picture.open("wb") as handle:
            handle.truncate(4 << 30)
        run(["mkfs.ext4", "-q", "-F", "-L", "menshen", "-O", "verity", "-d", tree, picture], log=into / "log")
    shutil.rmtree(tree)


def configure(tree: Path) -> None:
    """What makes a Debian tree a guest: our files, the services' state, the names."""
    run(["cp", "-r", "--remove-destination", f"{ROOTFS}/.", tree])
    agent = tree / "usr/local/lib/menshen-guest"
    agent.mkdir(parents=True, exist_ok=True)
    for name in ("agent.py", "wire.py"):
        shutil.copy(HERE / name, agent / name)
    units = tree / "etc/systemd/system"
    for unit in MASKED:
        place = units / unit
        place.unlink(missing_ok=True)
        place.symlink_to("/dev/null")
    run(["chroot", tree, "systemctl", "--quiet", "disable", *DISABLED])
    run(["chroot", tree, "systemctl", "--quiet", "enable", "menshen-guest.service"])
    for name in ("menshen", "menshen-agent"):
        (tree / "usr/local/bin" / name).symlink_to(f"/opt/menshen/bin/{name}")
    (tree / "mnt/share").mkdir(exist_ok=True)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
