"""Which programs the watch loads on this kernel, found by loading, and what they do not see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bpf_lsm import probe
from bpf_lsm.errors import GateError

COMMON: Final = ("watch_fork", "watch_exec", "watch_exit", "watch_signal")
ADOPTERS: Final = ("adopt_arguments", "adopt_program")
OPTIONAL: Final = {"watch_module": "kernel modules: this kernel has no tracepoint for them"}
CALLS: Final = ("watch_calls",)

CALLS_MISS: Final = (
    "io_uring: what is done through it has no system call",
    "paths of files that were not opened are as the caller wrote them (flag given), read after the call",
    "inodes of files that were deleted, renamed, linked or whose mode was changed by name",
    "sendmmsg: of the messages the first is looked at",
    "ptrace: requests of the kernel's own (/proc/PID/mem) are not seen",
)
"""What the set for tracepoints does not see, on any kernel."""


@dataclass(frozen=True, slots=True)
class Source:
    """A set of programs that this kernel takes."""

    name: str
    """functions or tracepoints."""
    programs: tuple[str, ...]
    missing: tuple[str, ...]
    """What is not seen, each as a sentence."""


def choose(path: Path, *, prefer_functions: bool = True, log_path: Path | None = None) -> Source:
    """Ask the kernel. GateError: it takes not even the programs on tracepoints."""
    verdicts = {one.program: one for one in probe.programs(path, log_path=log_path)}
    wanted = (*COMMON, *CALLS, *ADOPTERS)
    for name in wanted:
        if not verdicts[name].loadable:
            raise GateError(
                f"the watch cannot run here: {name}: {verdicts[name].reason}",
                hint="it needs root, BTF and a kernel of 6.1 or newer",
            )
    optional = tuple(name for name in OPTIONAL if verdicts[name].loadable)
    missing = tuple(text for name, text in OPTIONAL.items() if not verdicts[name].loadable)
    return Source("tracepoints", (*COMMON, *optional, *CALLS, *ADOPTERS), (*missing, *CALLS_MISS))
