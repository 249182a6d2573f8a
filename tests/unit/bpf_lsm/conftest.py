"""Objects, a bpffs and a gate of test programs on this machine's kernel."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpf_lsm import gate as gate_module
from bpf_lsm import libbpf
from bpf_lsm.gate import Gate
from tests.unit.bpf_lsm.compiling import HERE, build

CAPACITY = 1 << 16
CATALOGUE_SIZE = 100

Emit = Callable[..., int]
Objects = Callable[..., Path]


@dataclass(frozen=True)
class Place:
    """Where the gate of a test is pinned and noted."""

    pin_dir: Path
    run_dir: Path


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """The fixture's object file, with these macros defined."""
    folder = tmp_path_factory.mktemp("objects")

    def make(*defines: str) -> Path:
        target = folder / f"{'-'.join(defines) or 'fixture'}.bpf.o"
        return target if target.exists() else build(HERE / "fixture.bpf.c", target, defines=defines)

    return make


@pytest.fixture(scope="session")
def bpffs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bpffs of the tests' own."""
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")
    folder = tmp_path_factory.mktemp("bpffs")
    mounted = subprocess.run(
        ["mount", "-t", "bpf", "bpf", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no bpffs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def place(bpffs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place of the test's own; a gate that is left there afterwards is taken down."""
    # Some machines let nobody look at their first process; which namespace it is does not matter here.
    monkeypatch.setattr(gate_module, "INIT_MOUNTS", Path("/proc/self/ns/mnt"))
    where = Place(bpffs / "menshen", tmp_path / "run")
    yield where
    if gate_module.is_loaded(where.pin_dir):
        Gate.adopt(pin_dir=where.pin_dir, run_dir=where.run_dir).off()


@pytest.fixture
def gate(objects: Objects, place: Place) -> Iterator[Gate]:
    """A loaded gate of test programs."""
    loaded = Gate.load(
        objects(),
        pin_dir=place.pin_dir,
        run_dir=place.run_dir,
        capacity=CAPACITY,
        catalogue_size=CATALOGUE_SIZE,
        version="1.2.3",
    )
    yield loaded
    if gate_module.is_loaded(place.pin_dir):
        loaded.off()


@pytest.fixture
def emit(gate: Gate) -> Emit:
    """Writes records to a ring; how many found room. Each begins with its number and the complement of it."""
    program = gate._parts.programs["emit"]

    def write(count: int, *, ring: int = 0, size: int = 32, discard: int = 0, first: int = 0) -> int:
        return libbpf.run(program, struct.pack("=IIIIQ", ring, count, size, discard, first))

    return write
