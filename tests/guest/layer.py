"""Menshen itself: the wheel of this repository, installed as a user would have it; a tar over the image."""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.guest import cache
from tests.guest.host import run
from tests.guest.image import PIP_QUIET, debian, environment, in_tree
from tests.guest.progress import step

UNITS = "enforcer/systemd/*.service"


def built() -> None:
    """What the wheel needs that is not in git: the BPF objects and the API's generated code."""
    with cache.locked("objects"):
        run(["make", "--silent", "--no-print-directory", "-C", cache.REPOSITORY, "bpf", "proto"])


def sources(into: Path) -> Path:
    """A copy of what goes into the wheel, so that it is built from the very files that its key is made of."""
    project = tomllib.loads((cache.REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for name in ("pyproject.toml", project["project"]["readme"]):
        shutil.copy(cache.REPOSITORY / name, into / name)
    for package in packages:
        left_out = shutil.ignore_patterns("__pycache__", "src", ".*", "*.tmp")
        shutil.copytree(cache.REPOSITORY / package, into / package, ignore=left_out)
    return into


def layer() -> Path:
    """The tar with Menshen's own files, from the cache or made now."""
    built()
    with tempfile.TemporaryDirectory(prefix="menshen-wheel-") as name:
        tree = sources(Path(name))
        files = sorted(path for path in tree.rglob("*") if path.is_file())
        contents = [item for path in files for item in (str(path.relative_to(tree)), path)]
        key = cache.digest("layer", environment().parent.name, Path(__file__), *contents)
        return cache.made("layer", key, lambda into: _layer(tree, into), keep=3, say=False) / "layer.tar"


def builder() -> Path:
    """A Python with the build back end, so that a wheel is built without asking a registry each time."""
    project = tomllib.loads((cache.REPOSITORY / "pyproject.toml").read_text())
    requires = project["build-system"]["requires"]

    def make(into: Path) -> None:
        with step("installing the wheel builder"):
            run([sys.executable, "-m", "venv", into / "venv"])
            run([into / "venv/bin/python", "-m", "pip", "install", *PIP_QUIET, *requires], log=into / "log")

    return cache.made("builder", cache.digest(requires), make, keep=1, say=False) / "venv/bin/python"


def _layer(tree: Path, into: Path) -> None:
    wheels, root = into / "wheels", into / "root"
    root.mkdir()
    python = builder()
    with step("building Menshen's wheel"):
        options = ["--no-build-isolation", "--no-deps", "--wheel-dir", str(wheels)]
        run([python, "-m", "pip", "wheel", *PIP_QUIET, *options, tree], log=into / "log")
    with step("installing Menshen's wheel"):
        pip = f"/opt/menshen/bin/pip install {' '.join(PIP_QUIET)} --no-warn-script-location"
        script = f"{pip} --no-deps --no-index --root /mnt/root /mnt/wheels/*.whl"
        binds = {"/opt/menshen": environment(), "/mnt/wheels": wheels, "/mnt/root": root}
        in_tree(debian(), script, binds, log=into / "log")
    commands = root / "usr/local/bin"
    commands.mkdir(parents=True)
    for program in (root / "opt/menshen/bin").glob("menshen*"):
        (commands / program.name).symlink_to(f"/opt/menshen/bin/{program.name}")
    for unit in root.glob(f"opt/menshen/lib/python3*/site-packages/{UNITS}"):
        units = root / "usr/lib/systemd/system"
        units.mkdir(parents=True, exist_ok=True)
        (units / unit.name).write_bytes(unit.read_bytes())
    run(["tar", "-cf", into / "layer.tar", "-C", root, "."])
