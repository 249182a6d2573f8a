"""Which programs the watch loads on this kernel, found by loading, and what they do not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from bpf_lsm.bpf_object import BpfObject
from bpf_lsm.errors import LoadError

ADOPTERS: Final = ("adopt_arguments", "adopt_program")
COMMON: Final = ("watch_fork", "watch_exec", "watch_exit", "watch_signal", *ADOPTERS)
"""What cannot be done without."""


@dataclass(frozen=True, slots=True)
class Want:
    """One thing that is to be seen, and the sets of programs that show it, the best one first."""

    what: str
    """What is not seen if the kernel takes none of them."""
    choices: tuple[tuple[str, ...], ...]


MODULES: Final = Want("kernel modules: this kernel has no tracepoint for them", (("watch_module",),))

FUNCTIONS: Final = (
    Want("", (("full_file_open",), ("full_filp_open",))),
    Want("files that are deleted", (("full_unlink_begins", "full_unlink"),)),
    Want("folders that are deleted", (("full_rmdir_begins", "full_rmdir"),)),
    Want("files that are renamed", (("full_rename_begins", "full_rename"),)),
    Want("folders that are made", (("full_mkdir_begins", "full_mkdir"),)),
    Want("files that mknod makes", (("full_mknod", "full_create"), ("full_mknod", "full_create_dentry"))),
    Want("links", (("full_symlink", "full_link"),)),
    Want("changes of mode", (("full_chmod",),)),
    Want("memfd_create", (("full_memfd",),)),
    Want("memfd_create of 32-bit programs", (("full_memfd_ia32",),)),
    Want("connect", (("full_connect",),)),
    Want("accept", (("full_accept",),)),
    Want("bind", (("full_bind", "full_bind_socket"), ("full_bind",))),
    Want("listen", (("full_listen", "full_listen_socket"), ("full_listen",))),
    Want("sends to an address", (("full_sendmsg",),)),
    Want("raw sockets", (("full_socket",),)),
    Want("canonical paths of scripts that are executed", (("full_exec_begins",),)),
    Want("execs that fail", (("full_execve", "full_execveat"),)),
    Want("execs of 32-bit programs that fail", (("full_execve_ia32", "full_execveat_ia32"),)),
    Want("changes of the effective user", (("full_commit_creds",),)),
    Want("tracing", (("full_trace", "full_traceme"),)),
    Want("bpf", (("full_bpf",),)),
    Want("bpf of 32-bit programs", (("full_bpf_ia32",),)),
    Want("mounts", (("full_mount", "full_move_mount"),)),
    MODULES,
)
FUNCTIONS_MISS: Final = (
    "calls that fail before their object is found, opens for writing excepted",
    "what became of sends, moves of mounts and asking to be traced: the result is that of the permission",
    "sendmmsg: of messages to one address the first is looked at",
)

TRACEPOINTS: Final = (Want("", (("watch_calls",),)), MODULES)
TRACEPOINTS_MISS: Final = (
    "io_uring: what is done through it has no system call",
    "paths of files that were not opened are as the caller wrote them (flag given), read after the call",
    "inodes of files that were deleted, renamed, linked or whose mode was changed by name",
    "sendmmsg: of the messages the first is looked at",
    "ptrace: ways to another process's memory that need no call of their own (/proc/PID/mem)",
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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is tried next: for each want the place of the choice that is not refused yet."""

    name: str
    wants: tuple[Want, ...]
    miss: tuple[str, ...] = ()
    at: tuple[int, ...] = field(default=())

    def source(self) -> Source:
        programs = dict.fromkeys(COMMON)
        missing = []
        for want, at in zip(self.wants, self.at, strict=True):
            if at < len(want.choices):
                programs |= dict.fromkeys(want.choices[at])
            else:
                missing.append(want.what)
        return Source(self.name, tuple(programs), (*missing, *self.miss))

    def without(self, program: str) -> Self | None:
        """The next best plan that does not need this program; None if there is none."""
        at = [
            place + (place < len(want.choices) and program in want.choices[place])
            for want, place in zip(self.wants, self.at, strict=True)
        ]
        spent = [want for want, place in zip(self.wants, at, strict=True) if place == len(want.choices)]
        if tuple(at) == self.at or not all(want.what for want in spent):
            return None
        return replace(self, at=tuple(at))


def load(
    path: Path,
    prepare: Callable[[BpfObject], None],
    *,
    prefer_functions: bool = True,
    log_path: Path | None = None,
) -> tuple[BpfObject, Source]:
    """Load the best set that this kernel takes; the object is open. `prepare` adjusts it before each try.

    GateError: it takes not even the programs on tracepoints.
    """
    plans = [_plan("tracepoints", TRACEPOINTS, TRACEPOINTS_MISS)]
    if prefer_functions:
        plans.append(_plan("functions", FUNCTIONS, FUNCTIONS_MISS))
    plan = plans.pop()
    while True:
        source = plan.source()
        opened = BpfObject(path)
        try:
            prepare(opened)
            for program in opened.programs.values():
                program.autoload(program.name in source.programs)
            opened.load(log_path)
            return opened, source
        except LoadError as error:
            opened.close()
            following = plan.without(error.program)
            if following is None and not plans:
                error.hint = "the watch needs root, BTF and a kernel of 6.1 or newer"
                raise
            plan = following or plans.pop()
        except BaseException:
            opened.close()
            raise


def _plan(name: str, wants: tuple[Want, ...], miss: tuple[str, ...] = ()) -> _Plan:
    return _Plan(name, wants, miss, (0,) * len(wants))
