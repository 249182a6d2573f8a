"""What is ours: the kernel's ids of the gate's programs, maps and links, for the guard and for off()."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Final

from bpf_lsm.errors import GateError
from bpf_lsm.kernel_map import KernelMap, exists, info
from bpf_lsm.layout import OwnBy, OwnKind
from bpf_lsm.pins import Parts

_KEY: Final = struct.Struct("=II")
_BY: Final = struct.Struct("=I")
WATCH_READS: Final = frozenset({(OwnKind.MAP, "labels")})
"""What the watch may open for reading while the guard is armed."""
_BPF_NAMES: Final = {OwnKind.PROGRAM: "prog", OwnKind.MAP: "map", OwnKind.LINK: "link"}
_PATIENCE: Final = 30.0


class Own:
    """The ids of one load, taken while its descriptors are held."""

    def __init__(self, parts: Parts) -> None:
        links = {name: info(fd, 12) for name, fd in parts.links.items()}
        self.names: dict[tuple[OwnKind, int], str] = {
            (OwnKind.LINK, words[1]): name for name, words in links.items()
        }
        self.names |= {(OwnKind.PROGRAM, words[2]): name for name, words in links.items()}
        self.names |= {(OwnKind.PROGRAM, info(fd, 8)[1]): name for name, fd in parts.programs.items()}
        self.names |= {(OwnKind.MAP, info(fd, 8)[1]): name for name, fd in parts.maps.items()}

    def enter(self, table: KernelMap) -> None:
        """Put them under the guard."""
        for (kind, number), name in self.names.items():
            by = OwnBy.WATCH_READS if (kind, name) in WATCH_READS else OwnBy.AGENT
            table.update(_KEY.pack(kind, number), _BY.pack(by))

    def leave(self, table: KernelMap, but: Own) -> None:
        """Take them from under the guard, those of `but` excepted."""
        for key in self.names.keys() - but.names.keys():
            table.delete(_KEY.pack(*key))

    def wait_gone(self) -> None:
        """Return when the kernel has none of them any more; GateError names what stays, and who holds it."""
        deadline = time.monotonic() + _PATIENCE
        left = list(self.names)
        while left := [(kind, number) for kind, number in left if exists(_BPF_NAMES[kind], number)]:
            if time.monotonic() > deadline:
                raise GateError(
                    "still in the kernel: " + ", ".join(self._held(kind, number) for kind, number in left),
                    hint="end the processes that hold these descriptors",
                )
            time.sleep(0.01)

    def _held(self, kind: OwnKind, number: int) -> str:
        said = f"{kind.name.lower()} {self.names[kind, number]} (id {number})"
        holders = _holders(kind, number)
        return f"{said}, held by pid {', '.join(map(str, holders))}" if holders else said


def _holders(kind: OwnKind, number: int) -> list[int]:
    wanted = re.compile(rf"^{_BPF_NAMES[kind]}_id:\s+{number}$", re.M)
    found = set()
    for path in Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            if wanted.search(path.read_text()):
                found.add(int(path.parts[2]))
        except OSError:
            continue  # the process or the descriptor is gone
    return sorted(found)
