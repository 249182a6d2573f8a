"""An object file on its way into the kernel: opened, adjusted, loaded; then only descriptors remain."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bpf_lsm import libbpf
from bpf_lsm.btf import VARIABLE, Btf
from bpf_lsm.errors import GateError, KernelError, LoadError
from bpf_lsm.kernel_map import Shape, info

_CONSTANTS: Final = ".rodata"
_RECURSION_MISSES: Final = 208  # offsets in struct bpf_prog_info
_VERIFIED_INSNS: Final = 216


@dataclass(frozen=True, slots=True)
class Program:
    """A program of an object file."""

    handle: int = field(repr=False)
    name: str
    section: str
    type: int
    attach_type: int
    optional: bool
    """Its section begins with a question mark: a kernel that has no place for it may go without."""

    @property
    def attachable(self) -> bool:
        """Whether it is attached when the gate is loaded; the others are called by us."""
        return self.type != libbpf.PROG_TYPE_SYSCALL and not (
            self.type == libbpf.PROG_TYPE_TRACING and self.attach_type == libbpf.ATTACH_TRACE_ITER
        )

    @property
    def fd(self) -> int:
        """A descriptor of our own, once loaded."""
        return os.dup(libbpf.call(f"{self.name} is not loaded", "bpf_program__fd", self.handle))

    @property
    def cost(self) -> int:
        """Instructions that the verifier went through, once loaded."""
        fd = libbpf.call(f"{self.name} is not loaded", "bpf_program__fd", self.handle)
        return info(fd, _VERIFIED_INSNS + 4)[_VERIFIED_INSNS // 4]

    def autoload(self, wanted: bool) -> None:
        """Whether load() loads it."""
        libbpf.call(f"cannot choose {self.name}", "bpf_program__set_autoload", self.handle, wanted)

    def attach(self) -> int:
        """Attach it; a descriptor of the link."""
        link = libbpf.pointer(f"cannot attach {self.name}", "bpf_program__attach", self.handle)
        try:
            return os.dup(libbpf.library().bpf_link__fd(link))
        finally:
            libbpf.library().bpf_link__destroy(link)


@dataclass(frozen=True, slots=True)
class ObjectMap:
    """A map of an object file."""

    handle: int = field(repr=False)
    name: str

    @property
    def shape(self) -> Shape:
        """As it will be created."""
        asked = ("type", "key_size", "value_size", "max_entries", "map_flags")
        return Shape(*(getattr(libbpf.library(), f"bpf_map__{what}")(self.handle) for what in asked))

    @property
    def internal(self) -> bool:
        """Constants and variables of the programs: they belong to one load."""
        return "." in self.name

    @property
    def fd(self) -> int:
        """A descriptor of our own, once loaded."""
        return os.dup(libbpf.call(f"{self.name} is not loaded", "bpf_map__fd", self.handle))

    def resize(self, *, value_size: int | None = None, max_entries: int | None = None) -> None:
        """Change its size before it is created."""
        what = f"cannot resize {self.name}"
        if value_size is not None:
            libbpf.call(what, "bpf_map__set_value_size", self.handle, value_size)
        if max_entries is not None:
            libbpf.call(what, "bpf_map__set_max_entries", self.handle, max_entries)

    def reuse(self, fd: int) -> None:
        """Stand an existing map in its place."""
        libbpf.call(f"cannot reuse the map {self.name}", "bpf_map__reuse_fd", self.handle, fd)


class BpfObject:
    """An opened object file. What it loaded lives on in the descriptors that were taken from it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise GateError(f"there is no object file {path}", hint="make objects")
        with libbpf.captured() as log:
            try:
                self._handle = libbpf.pointer("", "bpf_object__open_file", os.fsencode(path), None)
            except KernelError as error:
                said = log.tail(1) or ("it is no BPF object",)
                raise GateError(f"{path} cannot be opened: {said[0].strip()}") from error
        self.programs = {program.name: program for program in self._programs()}
        self.maps = {entry.name: entry for entry in self._maps()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop everything that was not duplicated, attached programs excepted."""
        if self._handle:
            libbpf.library().bpf_object__close(self._handle)
            self._handle = 0

    def set_constant(self, name: str, value: int) -> None:
        """Set a `const volatile __u32` before loading."""
        at, size = Btf.opened(self._handle).variables(_CONSTANTS).get(name, (0, 0))
        if size != 4:
            raise GateError(f"{self.path} has no 32-bit constant {name}")
        constants = next(entry for entry in self.maps.values() if entry.name.endswith(_CONSTANTS))
        start = libbpf.pointer(
            f"cannot set {name}", "bpf_map__initial_value", constants.handle, ctypes.byref(ctypes.c_size_t())
        )
        ctypes.memmove(start + at, struct.pack("=I", value), 4)

    def load(self, log_path: Path | None = None) -> None:
        """Create the maps and load the programs; LoadError names the program that the kernel refused."""
        with libbpf.captured() as log, _undisturbed():
            result = int(libbpf.library().bpf_object__load(self._handle))
        if result < 0:
            raise _refused(log, -result, self.path, log_path)

    def _programs(self) -> list[Program]:
        library, found, handle = libbpf.library(), [], None
        while handle := library.bpf_object__next_program(self._handle, handle):
            found.append(
                Program(
                    handle,
                    library.bpf_program__name(handle).decode(),
                    library.bpf_program__section_name(handle).decode(),
                    library.bpf_program__type(handle),
                    library.bpf_program__expected_attach_type(handle),
                    not library.bpf_program__autoload(handle),
                )
            )
        return found

    def _maps(self) -> list[ObjectMap]:
        library, found, handle = libbpf.library(), [], None
        while handle := library.bpf_object__next_map(self._handle, handle):
            found.append(ObjectMap(handle, library.bpf_map__name(handle).decode().removeprefix(VARIABLE)))
        return found


def missed(program: int) -> int:
    """How often the kernel passed a program over because it ran already on that processor (preempted)."""
    low, high = info(program, _RECURSION_MISSES + 8)[_RECURSION_MISSES // 4 :]
    return low | high << 32


def missed_by_link(link: int) -> int:
    """The same of the program that a link attaches."""
    number = info(link, 12)[2]
    program = libbpf.call(f"cannot ask for program {number}", "bpf_prog_get_fd_by_id", number)
    try:
        return missed(program)
    finally:
        os.close(program)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No signal reaches this thread: the verifier gives up (EAGAIN) when one does, as where children end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refused(log: libbpf.Log, number: int, path: Path, log_path: Path | None) -> LoadError:
    if log_path is not None:
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            log_path.write_text(log.text)
        except OSError:
            log_path = None
    reason = log.reason()
    if number == errno.EPERM and not log.verifier:
        reason = "the kernel permits nobody, or not us, to load it"
    return LoadError(log.program or path.name, number, reason, tail=log.tail(), log=log_path)
