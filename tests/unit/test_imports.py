"""The rooms of the house and the doors between them (design.md 4, docs/internals.md): imports run one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ALLOWED: dict[str, tuple[str, ...]] = {
    "tui": ("enforcer.api", "enforcer.client", "enforcer.escape", "enforcer.observed"),
    "enforcer": ("detect", "identity", "policies", "bpf_lsm"),
    "detect": ("bpf_lsm.layout", "bpf_lsm.events", "bpf_lsm.observation", "policies"),
    "policies": (),
    "identity": (),
    "bpf_lsm": (),
}
"""Package -> what of the other packages it may import. What two of them must agree on (the image's layout,
the number of a name) is written in both and compared by a test."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "ctypes": ("bpf_lsm",),  # the one package that calls into libbpf and the kernel by itself
    "socket": ("bpf_lsm", "enforcer", "tui"),  # bpf_lsm: a descriptor waits in one
    "subprocess": ("enforcer", "identity"),
    "grpc": ("enforcer",),
    "cryptography": ("identity",),
}
"""Module from elsewhere -> the packages that have a use for it. `policies` is pure."""

EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc"}
"""Names that say nothing of what is in a module."""

HEAVY = ("grpc", "google.protobuf", "cryptography", "numpy", "jsonschema", "rich", "yaml")
"""What `menshen --help` must not wait for."""

COMPILERS = {"enforcer.agent.language", "enforcer.agent.compiler_process"}
"""Of the agent's modules those that only its compiler's process needs."""


@dataclass(frozen=True)
class Import:
    """One import, or one string that names a module to be imported later."""

    path: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.module}"


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(text: str, path: str) -> Iterator[Import]:
    """Every import of a module, wherever it stands; relative ones as absolute."""
    folder = path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not path.endswith("/__init__.py"):
        folder = folder[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(path, node.lineno, f"{base}.{alias.name}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and names_a_module(node.value):
            yield Import(path, node.lineno, node.value.partition(":")[0])


def names_a_module(text: str) -> bool:
    """Whether a string is that of a lazy import: `identity.cli:identity`, `enforcer.agent.run`."""
    parts = text.partition(":")[0].split(".")
    if len(parts) < 2 or parts[0] not in ALLOWED or not all(part.isidentifier() for part in parts):
        return False
    place = ROOT.joinpath(*parts)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def is_within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def wrong_way(found: Import, package: str) -> bool:
    first = found.module.partition(".")[0]
    if first == "tests":
        return True
    if first not in ALLOWED or first == package:
        return False
    return not any(is_within(found.module, allowed) for allowed in ALLOWED[package])


def every_import(package: str) -> Iterator[Import]:
    for path in modules(package):
        yield from imports_of(path.read_text(), path.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package: str) -> None:
    assert modules(package), f"{package}/ has no modules"
    wrong = [str(found) for found in every_import(package) if wrong_way(found, package)]
    assert wrong == [], f"{package} may import of the others only {ALLOWED[package] or 'nothing'}"


@pytest.mark.parametrize("foreign", ONLY_IN)
def test_what_reaches_outside_is_imported_where_it_belongs(foreign: str) -> None:
    packages = [package for package in ALLOWED if package not in ONLY_IN[foreign]]
    wrong = [
        str(found)
        for package in packages
        for found in every_import(package)
        if is_within(found.module, foreign)
    ]
    assert wrong == [], f"{foreign} belongs in {', '.join(ONLY_IN[foreign])}"


WRONG_WAYS = [
    ("policies", "from bpf_lsm import gate"),
    ("policies", "def late():\n    import identity.names"),
    ("identity", "from policies.image import Right"),
    ("bpf_lsm", "from policies import image"),
    ("bpf_lsm", "import enforcer"),
    ("detect", "from bpf_lsm.gate import Gate"),
    ("detect", "from identity import trust"),
    ("tui", "from enforcer.agent.life import Agent"),
    ("tui", "from enforcer import client, doctor"),
    ("tui", "import bpf_lsm"),
    ("tui", "LATER = 'enforcer.doctor:examine'"),
    ("enforcer", "from tests.guest.guest import Guest"),
    ("policies", "if TYPE_CHECKING:\n    from bpf_lsm.tables import Alias"),
]


@pytest.mark.parametrize(("package", "text"), WRONG_WAYS)
def test_an_import_the_wrong_way_is_noticed(package: str, text: str) -> None:
    assert any(wrong_way(found, package) for found in imports_of(text, f"{package}/new.py"))


RIGHT_WAYS = [
    ("tui", "from enforcer.api import menshen_pb2"),
    ("tui", "from enforcer.client import agent"),
    ("detect", "from bpf_lsm.layout import EVENT"),
    ("detect", "from policies import parse_text"),
    ("policies", "from . import image\nfrom .compile import plan"),
    ("identity", "'policies.nothing_of_the_kind is only a sentence'"),
]


@pytest.mark.parametrize(("package", "text"), RIGHT_WAYS)
def test_an_import_the_right_way_is_let_through(package: str, text: str) -> None:
    assert not any(wrong_way(found, package) for found in imports_of(text, f"{package}/new.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_a_module_is_called_by_what_is_in_it(package: str) -> None:
    parts = {
        part.removesuffix(".py"): path for path in modules(package) for part in path.relative_to(ROOT).parts
    }
    assert [str(parts[name]) for name in EMPTY_NAMES & parts.keys()] == []


@pytest.mark.parametrize("package", [*ALLOWED, "tests"])
def test_a_folder_says_in_its_first_line_what_it_is_for(package: str) -> None:
    folders = {path.parent for path in modules(package)}
    if package == "tests":  # also holds folders of programs, which no test imports
        folders = {folder for folder in folders if (folder / "__init__.py").is_file()}
    inits = [folder / "__init__.py" for folder in sorted(folders)]
    silent = [
        init for init in inits if not init.is_file() or not ast.get_docstring(ast.parse(init.read_text()))
    ]
    assert [init.relative_to(ROOT).as_posix() for init in silent] == []


def loaded_by(doing: str) -> list[str]:
    """The modules of a fresh Python that has done this."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n" + doing
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize("doing", ["import enforcer.cli", "from enforcer.cli import main; main(['--help'])"])
def test_the_command_line_begins_without_heavy_modules(doing: str) -> None:
    loaded = loaded_by(doing)
    assert "enforcer.cli" in loaded
    assert [name for name in loaded if any(is_within(name, heavy) for heavy in HEAVY)] == []


def test_the_agent_does_without_arrays_and_without_the_compiler() -> None:
    names = {f"enforcer.agent.{path.stem}" for path in (ROOT / "enforcer/agent").glob("[!_]*.py")}
    loaded = loaded_by(f"import bpf_lsm.gate, {', '.join(sorted(names - COMPILERS))}")
    assert "enforcer.agent.life" in loaded
    assert [name for name in loaded if is_within(name, "numpy") or is_within(name, "policies.compile")] == []
