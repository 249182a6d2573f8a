"""From an object file to attached programs: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf_lsm import host, libbpf, probe
from bpf_lsm.bpf_object import BpfObject, ObjectMap, Program
from bpf_lsm.errors import GateError, KernelError, LoadError
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import IMAGE_SLACK
from bpf_lsm.pins import Parts


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is chosen when a gate is loaded, and stays."""

    capacity: int
    """The largest image in bytes, a power of two."""
    catalogue: int
    """The most digests."""

    def __post_init__(self) -> None:
        if self.capacity < 4096 or self.capacity & (self.capacity - 1):
            raise GateError(f"the capacity of {self.capacity} bytes is not a power of two from 4096 up")
        if self.catalogue < 1:
            raise GateError("the catalogue needs room for one digest at least")


def attach_all(
    path: Path,
    sizes: Sizes,
    *,
    log_path: Path | None = None,
    running: Mapping[str, KernelMap] | None = None,
    prepare: Callable[[Parts], None] = lambda _parts: None,
) -> tuple[Parts, tuple[str, ...]]:
    """Load an object and attach what it has. `running`: maps to stand in for its own. `prepare` is called
    when all is loaded and nothing attached. Gives the parts and the names of optional programs left out."""
    missing = _missing_optional(path, log_path)
    parts = Parts()
    with BpfObject(path) as opened:
        if any(program.type == libbpf.PROG_TYPE_LSM for program in opened.programs.values()):
            host.require()
        opened.set_constant("image_capacity", sizes.capacity)
        opened.maps["slots"].resize(value_size=sizes.capacity + IMAGE_SLACK)
        opened.maps["catalogue"].resize(max_entries=sizes.catalogue)
        for name, running_map in (running or {}).items():
            if name in opened.maps and not opened.maps[name].internal:
                opened.maps[name].reuse(running_map.fd)
        wanted = [program for program in opened.programs.values() if program.name not in missing]
        for program in wanted:
            program.autoload(True)
        try:
            opened.load(log_path)
        except LoadError as error:
            error.others = _refused_too(path, error.program)
            raise
        try:
            for entry in opened.maps.values():
                parts.maps[pinned_name(entry)] = entry.fd
            for program in wanted:
                if not program.attachable:
                    parts.programs[program.name] = program.fd
            prepare(parts)
            for program in _order(wanted):
                try:
                    parts.links[program.name] = program.attach()
                except KernelError as error:
                    raise LoadError(program.name, error.errno, "it cannot be attached") from error
        except BaseException:
            parts.close()
            raise
    return parts, missing


def _order(wanted: Sequence[Program]) -> list[Program]:
    """In which order programs are attached.

    The kernel runs the programs of one hook from the last attached to the first (hlist_add_head in
    kernel/bpf/trampoline.c), so this way they run in the order of the object file. What sees a call begin
    comes before all others: what ends was then always seen to begin. Parts.close keeps to that too.
    """
    attachable = [program for program in reversed(wanted) if program.attachable]
    return sorted(attachable, key=lambda program: program.attach_type != libbpf.ATTACH_TRACE_FENTRY)


def check_replaceable(path: Path, sizes: Sizes, running: Mapping[str, KernelMap]) -> None:
    """GateError if a map of the running gate cannot serve the programs of this object."""
    with BpfObject(path) as opened:
        opened.maps["slots"].resize(value_size=sizes.capacity + IMAGE_SLACK)
        opened.maps["catalogue"].resize(max_entries=sizes.catalogue)
        for entry in opened.maps.values():
            there = running.get(pinned_name(entry))
            if not entry.internal and there is not None and entry.shape != there.shape:
                raise GateError(
                    f"the new object has another layout of the map {entry.name} than the running gate",
                    hint="take the running gate down first (menshen off), then load the new one",
                )


def pinned_name(entry: ObjectMap) -> str:
    """A map's name in the bpffs, where dots are not allowed."""
    return entry.name.replace(".", "_")


def _refused_too(path: Path, first: str) -> tuple[tuple[str, str], ...]:
    """Whatever else would have to be put right: all of it is said at once."""
    return tuple(
        (verdict.program, verdict.reason)
        for verdict in probe.programs(path)
        if not verdict.loadable and not verdict.optional and verdict.program != first
    )


def _missing_optional(path: Path, log_path: Path | None) -> tuple[str, ...]:
    with BpfObject(path) as opened:
        optional = [program.name for program in opened.programs.values() if program.optional]
    if not optional:
        return ()
    verdicts = probe.programs(path, only=optional, log_path=log_path)
    return tuple(verdict.program for verdict in verdicts if not verdict.loadable)
