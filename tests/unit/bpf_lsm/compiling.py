"""Compiles C for the tests, as bpf_lsm/src/Makefile does."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[3] / "bpf_lsm" / "src"
OBJECT: Final = SOURCES.parent / "objects" / "menshen.bpf.o"
HERE: Final = Path(__file__).parent


def build(source: Path, target: Path, *, sources: Path = SOURCES, defines: tuple[str, ...] = ()) -> Path:
    """The object file of a BPF source that may include the product's headers and programs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    command = [
        "clang", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86", "-g", "-O2", "-Wall",
        "-Wno-unused-function", f"-I{sources}", f"-I/usr/include/{multiarch}",
        *(f"-D{define}" for define in defines), "-c", str(source), "-o", str(target),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target
