"""What this host offers the gate, apart from single programs: BPF LSM, BTF, a bpffs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bpf_lsm import pins
from bpf_lsm.errors import GateError

LSM_LIST: Final = Path("/sys/kernel/security/lsm")
BTF: Final = Path("/sys/kernel/btf/vmlinux")
BPFFS: Final = Path("/sys/fs/bpf")


@dataclass(frozen=True, slots=True)
class Host:
    """The answers, and what to do about each that is no."""

    kernel: str
    lsms: tuple[str, ...] | None
    """The active security modules; None if the kernel's list cannot be read."""
    btf: bool
    bpffs: bool

    @property
    def lsm_active(self) -> bool:
        """Whether programs on LSM hooks are called."""
        return self.lsms is not None and "bpf" in self.lsms

    def problems(self) -> list[GateError]:
        """What is missing, each with its remedy."""
        found = []
        if self.lsms is None:
            found.append(
                GateError(
                    f"{LSM_LIST} cannot be read, so nobody knows whether BPF LSM is on",
                    hint="mount -t securityfs securityfs /sys/kernel/security",
                )
            )
        elif not self.lsm_active:
            wanted = ",".join((*self.lsms, "bpf"))
            found.append(
                GateError(
                    f"BPF LSM is off: the active security modules are {', '.join(self.lsms)}",
                    hint=f"add lsm={wanted} to the kernel's command line and start the host again",
                )
            )
        if not self.btf:
            found.append(
                GateError(f"the kernel has no type information ({BTF})", hint="use a kernel with BTF")
            )
        if not self.bpffs:
            found.append(GateError(f"{BPFFS} is no bpffs", hint=f"mount -t bpf bpf {BPFFS}"))
        return found


def look() -> Host:
    """Ask this host."""
    try:
        lsms: tuple[str, ...] | None = tuple(LSM_LIST.read_text().strip().split(","))
    except OSError:
        lsms = None
    return Host(os.uname().release, lsms, BTF.exists(), pins.on_bpffs(BPFFS))


def require() -> None:
    """GateError if programs on LSM hooks would not be called here."""
    found = look()
    if not found.lsm_active or not found.btf:
        raise found.problems()[0]
