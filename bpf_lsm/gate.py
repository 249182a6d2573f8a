"""The gate: the loaded kernel programs, as one thing that is installed, asked and taken down."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from bpf_lsm import attach, bpf_object, fill, held, libbpf, pins, progress, record, tables, tasks
from bpf_lsm.attach import Sizes
from bpf_lsm.control import Control
from bpf_lsm.errors import GateError
from bpf_lsm.events import Event
from bpf_lsm.fill import Fill
from bpf_lsm.grace import Grace
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import NO_IMAGE, Counter, kernel_device
from bpf_lsm.own import Own
from bpf_lsm.pins import Parts
from bpf_lsm.ring import Ring
from bpf_lsm.slots import Slots
from bpf_lsm.tables import Alias
from bpf_lsm.tasks import Label

PIN_DIR: Final = Path("/sys/fs/bpf/menshen")
RUN_DIR: Final = Path("/run/menshen")
CAPACITY: Final = 8 << 20
CATALOGUE_SIZE: Final = 131_072
FILLED: Final = ("catalogue", "aliases", "progress", "session_gaps", "revoked")
"""Hash maps that the host or its administrators fill."""
INIT_MOUNTS: Final = Path("/proc/1/ns/mnt")


def is_loaded(pin_dir: Path = PIN_DIR) -> bool:
    """Whether a complete gate is pinned there."""
    return pins.is_pinned(pin_dir)


class Gate:
    """A loaded gate. Enforcement goes on when this object, or its process, is gone: use off() to end it."""

    def __init__(self, parts: Parts, pin_dir: Path, run_dir: Path) -> None:
        """Use load() or adopt()."""
        self.pin_dir = pin_dir
        self.run_dir = run_dir
        self._changing = threading.RLock()
        self._grace = Grace()
        self._hold(parts)

    def _hold(self, parts: Parts) -> None:
        self._parts = parts
        self._maps = {name: KernelMap(fd, name) for name, fd in parts.maps.items()}
        self._control = Control(self._maps["control"])
        self._slots = Slots(self._maps["slots"], self._control, self._grace)
        self.capacity = self._slots.capacity
        """The largest image in bytes."""
        self.denials = Ring(self._maps["denials"])
        self.events = Ring(self._maps["events"])

    def _succeed(self, parts: Parts) -> None:
        """Hold the upgraded parts. Shared maps keep their old descriptor: it is mapped and polled."""
        for name, fd in parts.maps.items():
            if name in self._maps and KernelMap(fd, name).id == self._maps[name].id:
                os.close(fd)
                parts.maps[name] = self._parts.maps.pop(name)
        self._parts.close()
        self._parts = parts
        self._maps = {name: KernelMap(fd, name) for name, fd in parts.maps.items()}

    def _let_go(self) -> None:
        self.denials.close()
        self.events.close()
        self._control.close()
        self._parts.close()

    @classmethod
    def load(
        cls,
        object_path: Path,
        *,
        pin_dir: Path = PIN_DIR,
        run_dir: Path = RUN_DIR,
        capacity: int = CAPACITY,
        catalogue_size: int = CATALOGUE_SIZE,
        version: str = "",
    ) -> Self:
        """Load, attach and pin every program, or none: LoadError names the program and the reason.

        No image is in force afterwards: everything is allowed until install().
        """
        sizes = Sizes(capacity, catalogue_size)
        with _alone(run_dir):
            if is_loaded(pin_dir):
                raise GateError(
                    f"a gate is loaded at {pin_dir}", hint="adopt it, or take it down: menshen off"
                )
            if not pins.on_bpffs(pin_dir):
                raise GateError(f"{pin_dir} is not on a bpffs", hint="mount -t bpf bpf /sys/fs/bpf")
            parts, missing = attach.attach_all(
                object_path, sizes, log_path=run_dir / "load.log", prepare=_prepare
            )
            try:
                pins.publish(parts, pin_dir)
            except BaseException:
                parts.close()
                raise
            gate = cls(parts, pin_dir, run_dir)
            record.write(run_dir, object_path, version=version, sizes=sizes, parts=parts, missing=missing)
        return gate

    @classmethod
    def adopt(cls, *, pin_dir: Path = PIN_DIR, run_dir: Path = RUN_DIR) -> Self:
        """Take over a running gate after a restart; GateError if there is none."""
        return cls(pins.take(pin_dir), pin_dir, run_dir)

    def upgrade(self, object_path: Path, *, version: str = "") -> None:
        """Put new programs in the place of the old over the same maps, without a gap. All or nothing."""
        sizes = Sizes(self.capacity, self._maps["catalogue"].shape.max_entries)
        with self._changing, _alone(self.run_dir):
            record.check_layouts(self.run_dir, object_path)
            attach.check_replaceable(object_path, sizes, self._maps)
            parts, missing = attach.attach_all(
                object_path, sizes, log_path=self.run_dir / "load.log", running=self._maps
            )
            try:
                old, new = Own(self._parts), Own(parts)
                if self.guarded:
                    new.enter(self._maps["own"])
                pins.publish(parts, self.pin_dir)
            except BaseException:
                parts.close()
                raise
            self._succeed(parts)
            if self.guarded:
                old.leave(self._maps["own"], new)
            record.write(
                self.run_dir, object_path, version=version, sizes=sizes, parts=parts, missing=missing
            )

    def close(self) -> None:
        """Let go of our file descriptors; the pins keep enforcement on."""
        with self._changing:
            self._let_go()
            self._grace.close()

    def off(self) -> None:
        """Disarm the guard, detach and unpin everything, and verify that nothing of ours is left."""
        with self._changing, _alone(self.run_dir):
            own = Own(self._parts)
            self.disarm_guard()
            pins.unpublish(self.pin_dir)
            self.close()
            own.wait_gone()
            record.remove(self.run_dir)

    def metadata(self) -> dict[str, Any]:
        """What was loaded: object (sha256), version, loaded_at, programs, missing, ..."""
        return record.read(self.run_dir)

    # Policy images

    def install(self, image: bytes, aliases: Mapping[Alias, int] | None = None) -> int:
        """Put an image in force in one step and return its generation.

        `aliases`: protected files with more than one name -> their object class in this image.
        """
        with self._changing:
            slot = self._slots.fill(image)
            tables.change_aliases(self._maps["aliases"], slot, aliases or {}, only=True)
            self._activate(slot)
            return self.generation

    def uninstall(self) -> None:
        """No image is in force any more: everything is allowed, and the hooks stay attached."""
        with self._changing:
            self._activate(NO_IMAGE)

    def touch_tree(self) -> None:
        """Void what the hooks remember of paths: the mount tree changed behind their back."""
        _run(self._parts, "touch_tree")

    def image(self) -> bytes | None:
        """The image in force, with its generation; None if there is none."""
        with self._changing:
            return self._slots.image()

    @property
    def generation(self) -> int:
        """Of the image in force; 0 if there is none."""
        return self._slots.generation

    def _activate(self, slot: int) -> None:
        _run(self._parts, "activate", slot.to_bytes(4, sys.byteorder))

    # Who is who

    def set_credentials(self, add: Mapping[bytes, int], remove: Iterable[bytes] = ()) -> None:
        """Change the catalogue (sha256 -> identity id). TableFullError: nothing was changed."""
        with self._changing:
            try:
                tables.change(self._maps["catalogue"], tables.credentials(add), remove)
            finally:
                _run(self._parts, "touch_catalogue")

    def credentials(self) -> dict[bytes, int]:
        """The catalogue as the kernel has it."""
        return {key: tables.identity_of(row) for key, row in self._maps["catalogue"].items().items()}

    def adopt_tasks(self, by_file: Mapping[tuple[int, int], int], by_pid: Mapping[int, int]) -> int:
        """Label the tasks that were there before us; how many were labelled.

        `by_file`: (st_dev, st_ino) of an executable -> identity id; `by_pid`: tgid -> identity id, first.
        """
        with self._changing:
            return tasks.adopt(self._maps, self._parts.programs["adopt"], by_file, by_pid)

    def label_of(self, pid: int) -> Label | None:
        """The label of a process (tgid); None if it has none or is gone."""
        return tasks.label_of(self._maps["labels"], pid)

    def held(self) -> list[Event]:
        """What tasks hold that the image in force does not allow, or would report: see bpf_lsm.held."""
        programs = self._parts.programs
        return held.read(programs["held_descriptors"], programs["held_mappings"])

    # Protected files with more than one name

    def aliases(self) -> dict[Alias, int]:
        """The object class of each in the image in force."""
        slot = self._control["active"]
        return {} if slot == NO_IMAGE else tables.read_aliases(self._maps["aliases"], slot)

    def set_aliases(self, add: Mapping[Alias, int], remove: Iterable[Alias] = ()) -> None:
        """Change them for the image in force; for the next one give them to install().
        TableFullError: nothing was changed."""
        with self._changing:
            slot = self._control["active"]
            if slot == NO_IMAGE:
                raise GateError(
                    "no image is in force that aliases could belong to", hint="give them to install()"
                )
            tables.change_aliases(self._maps["aliases"], slot, add, remove)

    # Sequences that block

    def note_gap(self, session: int) -> None:
        """Records of a session were lost: what it began until now is told and not denied."""
        progress.note_gap(self._maps, session)

    def followed_sessions(self) -> set[int]:
        """The sessions in which some sequence has begun."""
        return progress.sessions(self._maps)

    def set_revoked(self, sequences: Collection[int]) -> None:
        """These sequences (ids) do not block any more, whatever the image says; all others do."""
        with self._changing:
            progress.set_revoked(self._maps, sequences)

    def sweep_sequences(self) -> int:
        """Forget what cannot come true any more: the table is bounded. How many sessions times sequences."""
        return progress.sweep(self._maps)

    # What happened

    def counters(self) -> dict[str, int]:
        """By name: denied, would_deny, denials_lost, ...; and `passed_over`, see passed_over()."""
        values = memoryview(self._maps["counters"].array(len(Counter))).cast("Q")
        found = {counter.name.lower(): values[counter] for counter in Counter if counter < len(values)}
        return {**found, "passed_over": self.passed_over()}

    def passed_over(self) -> int:
        """Calls at which the kernel left a program of ours out, because it was preempted there just then.

        Programs on functions (renames of directories, mounting) can be; those on LSM hooks only where the
        kernel checks them too, as before 6.2.
        """
        return sum(map(bpf_object.missed_by_link, self._parts.links.values()))

    def rule_tallies(self, count: int) -> dict[int, tuple[int, int]]:
        """Denied and would-deny of each of the first `count` rules of the image in force that ever fired."""
        return tables.fired(self._maps["rule_tallies"], count)

    def row_tallies(self, count: int) -> dict[int, tuple[int, int]]:
        """The same of the first `count` rows."""
        return tables.fired(self._maps["row_tallies"], count)

    def map_fill(self) -> dict[str, Fill]:
        """Entries of each map that can be full."""
        return fill.of_maps(self._maps, FILLED)

    def ring_fill(self) -> dict[str, Fill]:
        """Bytes that wait in each ring."""
        return fill.of_rings(self.denials, self.events)

    def measure_cold(self, without: int) -> None:
        """For measurements only. 0: as always; 1: no file's class is remembered; 2: no directory's either."""
        self._control["no_cache"] = without
        self.touch_tree()

    # The guard

    @property
    def guarded(self) -> bool:
        """Whether the guard is armed."""
        return self._control["guard"] != 0

    def arm_guard(self, agent_identity: int, command_identity: int = 0, watch_identity: int = 0) -> None:
        """From now on only this process, and what process 1 starts for the unit with `agent_identity`, may
        touch the gate. `command_identity`: whose processes are not traced either; `watch_identity`: likewise,
        and what process 1 starts for its unit may read the labels.

        For the main thread; a process that adopted a guarded gate does this again.
        """
        with self._changing:
            Own(self._parts).enter(self._maps["own"])
            self._control["pins_device"] = kernel_device(self.pin_dir.stat().st_dev)
            self._control["agent"] = agent_identity
            self._control["command"] = command_identity
            self._control["watch"] = watch_identity
            self.follow_first()
            _run(self._parts, "claim")
            self._control["guard"] = 1

    def follow_first(self) -> bool:
        """Process 1 may have become another program, whose forks start the agent; whether it has."""
        label = self.label_of(1)
        identity = 0 if label is None else label.identity
        if identity == self._control["first"]:
            return False
        self._control["first"] = identity
        return True

    def disarm_guard(self) -> None:
        """Let others touch the gate again."""
        self._control["guard"] = 0


def _prepare(parts: Parts) -> None:
    """What must stand before the first hook runs: no image, and which mount namespace is the host's."""
    control = Control(KernelMap(parts.maps["control"], "control"))
    control["active"] = NO_IMAGE
    control["init_mnt_ns"] = INIT_MOUNTS.stat().st_ino & 0xFFFFFFFF
    control.close()


def _run(parts: Parts, program: str, context: bytes = b"") -> None:
    if result := libbpf.run(parts.programs[program], context):
        raise GateError(f"the gate's program {program} failed with {result}")


@contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """One load, upgrade or off at a time on this host."""
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(run_dir / "gate.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
