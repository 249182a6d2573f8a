"""The programs of the benchmark, compiled here: what is measured, what it executes, empty BPF programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.bench.world import C_PATHS
from tests.guest.host import run

HERE = Path(__file__).resolve().parent
OBJECT = HERE.parents[1] / "bpf_lsm/objects/menshen.bpf.o"
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-D_GNU_SOURCE", "-static"]
ALONE = ["-nostdlib", "-fno-stack-protector", "-fno-pic", "-s", "-Wl,-n,--build-id=none"]
EXECUTABLE = 0x4  # SHF_EXECINSTR


@dataclass(frozen=True, slots=True)
class Programs:
    """What was built."""

    program: bytes
    child: bytes
    empty: bytes
    gate: bytes
    """Menshen's own object as it was when the run began."""


def build(folder: Path) -> Programs:
    """Compiles everything into `folder`."""
    program, child, empty = folder / "program", folder / "child", folder / "empty.bpf.o"
    (folder / "paths.h").write_text(
        "".join(f'#define {name} "{path}"\n' for name, path in C_PATHS.items()),
    )
    run(["clang", *CFLAGS, f"-I{folder}", HERE / "program.c", "-o", program])
    run(["clang", *CFLAGS, *ALONE, HERE / "child.c", "-o", child])
    gate = folder / "menshen.bpf.o"
    gate.write_bytes(OBJECT.read_bytes())
    (folder / "empty.bpf.c").write_text(empty_programs(hooks(gate)))
    run(["clang", "-target", "bpf", "-O2", "-g", "-c", folder / "empty.bpf.c", "-o", empty])
    return Programs(program.read_bytes(), child.read_bytes(), empty.read_bytes(), gate.read_bytes())


def hooks(path: Path) -> list[str]:
    """The sections of the programs that are attached, one a hook."""
    with path.open("rb") as file:
        sections = [
            section.name for section in ELFFile(file).iter_sections() if section["sh_flags"] & EXECUTABLE
        ]
    kinds = ("lsm/", "fentry/", "fexit/")
    plain = (name.replace("lsm.s/", "lsm/") for name in sections)
    return list(dict.fromkeys(name for name in plain if name.removeprefix("?").startswith(kinds)))


def empty_programs(sections: list[str]) -> str:
    """C source: programs that do nothing on these hooks."""
    head = '#define SEC(name) __attribute__((section(name), used))\nSEC("license") char LICENSE[] = "GPL";\n'
    programs = [
        f'SEC("{section}") int empty_{number}(void *context)\n{{\n\treturn 0;\n}}\n'
        for number, section in enumerate(sections)
    ]
    return "\n".join([head, *programs])
