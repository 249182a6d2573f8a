"""The watch's source: its kernel programs, loaded apart from the gate's, and what they saw as columns.

Two sets of programs give the same records: those on functions of the kernel, where it takes such programs,
and those on tracepoints, which every host takes. What a set does not see is said by name.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bpf_lsm import bpf_object, fill, libbpf, sources, watch_lists
from bpf_lsm.bpf_object import BpfObject
from bpf_lsm.collection import BREAKER_WINDOW, CONTROL, TALLIES, TYPES, Meter
from bpf_lsm.fill import Fill
from bpf_lsm.grace import Grace
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.observation import OBSERVATION, STRING, STRING_FIRST, STRING_NUMBERS, Raw, Tally, Type
from bpf_lsm.ring import Ring
from bpf_lsm.row_ring import RowRing
from bpf_lsm.sources import Source

OBJECT: Final = Path(__file__).parent / "objects" / "watch.bpf.o"
INIT_MOUNTS: Final = Path("/proc/1/ns/mnt")
FILLED: Final = ("numbers", "sessions", "reads", "allowed_exes", "allowed_digests", "allowed_subjects")
"""Hash maps that the host or its administrators fill."""
SCRATCH_SLOTS_PER_CPU: Final = 8
RENUMBER_AT: Final = STRING_FIRST + STRING_NUMBERS
"""When the numbers of strings have come this far they begin anew: a receiver keeps no more."""
_PACE: Final = 0.02
_PATIENCE: Final = 0.2
_STRING_HEAD: Final = STRING.itemsize


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is chosen when the watch is loaded, and stays. Bytes of the rings are powers of two."""

    observations: int = 8 << 20
    strings: int = 4 << 20
    numbers: int = 65_536
    """Distinct strings that the kernel remembers to have sent."""
    sessions: int = 65_536
    """Sessions with a gap that can be told apart."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The records of one type that are let through."""

    rate: float
    """A second; 0: all."""
    burst: int = 1
    """At once, after a time of quiet."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker over all types together."""

    rate: float
    """Records a second that open it; 0: it never opens."""
    quiet: float = 1.0
    """Seconds below that rate after which it closes."""
    vital: frozenset[Type] = frozenset()
    """Types that it lets through while it is open."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of the events: for each type, generated = delivered + allowed + limited + lost."""

    tallies: Mapping[Type, Mapping[Tally, int]]
    meters: Mapping[Meter, int]
    missed: Mapping[str, int] = field(default_factory=dict)
    """Program -> calls at which the kernel passed it over; those events were not generated."""
    malformed: int = 0
    """Records on the rings that were none."""

    def total(self, tally: Tally) -> int:
        """Over all types."""
        return sum(row[tally] for row in self.tallies.values())


class Watch:
    """The loaded programs. They are gone with this object or its process; nothing is pinned."""

    def __init__(self, source: Source, maps: dict[str, int], programs: dict[str, int]) -> None:
        """Use load()."""
        self.source = source
        """Which set of programs it is, and what that does not see."""
        self._fds, self._programs = maps, programs
        self._links: dict[str, int] = {}
        self._maps = {name: KernelMap(fd, name) for name, fd in maps.items()}
        self._memory = mmap.mmap(self._maps["watch_control"].fd, mmap.PAGESIZE)
        self._control = np.frombuffer(self._memory, CONTROL, count=1)
        self._observations = RowRing(self._maps["observations"], OBSERVATION)
        self._strings = Ring(self._maps["strings"])
        self._poll = select.poll()
        self._poll.register(self._observations, select.POLLIN)
        self._grace = Grace()
        self._malformed = 0
        self._reads: frozenset[bytes] = frozenset()
        self.renumbered = 0
        """How often the numbers of strings began anew."""
        self.types: frozenset[Type] = frozenset(Type) - {Type.DENIAL, Type.WOULD_DENY}
        """What is collected; see set_types()."""
        self._prepare()

    @classmethod
    def load(
        cls,
        object_path: Path = OBJECT,
        *,
        prefer_functions: bool = True,
        labels: int | None = None,
        sizes: Sizes = Sizes(),
        log_path: Path | None = None,
    ) -> Self:
        """Load the set for functions of the kernel, or where that is refused the one for tracepoints.

        `labels`: a descriptor of the running gate's map of that name; without it nobody has an identity and
        the watch counts sessions itself.
        """
        slots = SCRATCH_SLOTS_PER_CPU * (os.cpu_count() or 1)

        def prepare(opened: BpfObject) -> None:
            opened.set_constant("own_labels", labels is None)
            opened.set_constant("scratch_slots", slots)
            for name, entries in (("watch_scratches", slots), *asdict(sizes).items()):
                opened.maps[name].resize(max_entries=entries)
            if labels is not None:
                opened.maps["labels"].reuse(labels)

        opened, source = sources.load(
            object_path, prepare, prefer_functions=prefer_functions, log_path=log_path
        )
        with opened:
            maps = {entry.name: entry.fd for entry in opened.maps.values()}
            programs = {name: opened.programs[name].fd for name in source.programs}
            watch = cls(source, maps, programs)
            try:
                for name in source.programs:
                    if opened.programs[name].attachable:
                        watch._links[name] = opened.programs[name].attach()
            except BaseException:
                watch.close()
                raise
        return watch

    def _prepare(self) -> None:
        control = self._control[0]
        control["key"] = np.frombuffer(os.urandom(16), "<u8")
        control["wake"] = self._observations.size // 8
        try:
            namespace = INIT_MOUNTS.stat().st_ino
        except OSError:  # some machines let nobody look at their first process
            namespace = Path("/proc/self/ns/mnt").stat().st_ino
        control["init_mnt_ns"] = namespace & 0xFFFFFFFF
        self._first_number()

    def start(self) -> None:
        """Learn who is there already, then record. Until now nothing was."""
        self._adopt()
        self.set_types(self.types)

    def _adopt(self) -> None:
        for name in sources.ADOPTERS:
            libbpf.read_iterator(self._programs[name])

    def close(self) -> None:
        """Detach and forget everything."""
        for table in (self._links, self._programs, self._fds):
            while table:
                os.close(table.popitem()[1])
        self._grace.close()
        self._observations.close()
        self._strings.close()
        del self._control
        with contextlib.suppress(BufferError):  # somebody still looks at it
            self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is collected

    def set_types(self, types: Collection[Type]) -> None:
        """Collect these types from now on."""
        self.types = frozenset(types)
        self._control[0]["types"] = watch_lists.mask(types)

    def set_limits(
        self, limits: Mapping[Type, Limit] | None = None, *, breaker: Breaker | None = None
    ) -> None:
        """Change the limits of these types, and the breaker. What is not named stays."""
        control = self._control[0]
        for type_, limit in (limits or {}).items():
            interval = int(1e9 / limit.rate) if limit.rate > 0 else 0
            control["limits"][type_]["burst"] = interval * max(0, limit.burst - 1)
            control["limits"][type_]["interval"] = interval
            control["limits"][type_]["next"] = 0  # what the old limit had used up does not count
        if breaker is not None:
            control["vital"] = watch_lists.mask(breaker.vital)
            control["breaker_quiet"] = int(breaker.quiet * 1e9)
            count = breaker.rate * BREAKER_WINDOW / 1e9
            control["breaker_count"] = max(1, int(count)) if breaker.rate > 0 else 0
            if breaker.rate <= 0:
                control["open"] = 0

    @property
    def breaker_open(self) -> bool:
        """Whether the circuit breaker is open now."""
        return bool(self._control[0]["open"])

    def allow(
        self,
        *,
        exes: Mapping[bytes, Collection[Type]] | None = None,
        digests: Mapping[int, Collection[Type]] | None = None,
        subjects: Mapping[int, Collection[Type]] | None = None,
    ) -> None:
        """Replace these allow lists: whose events of which types are left out, from now on.

        `exes`: the path of a program, or with a slash at its end a folder and all below; the longest entry
        counts. `digests`: first eight bytes of the sha256, as records have it. `subjects`: identity numbers,
        0 is everybody without one. TableFullError: nothing was changed.
        """
        if exes is not None:
            watch_lists.replace(self._maps["allowed_exes"], watch_lists.exe_rows(exes))
        if digests is not None:
            watch_lists.replace(self._maps["allowed_digests"], watch_lists.number_rows(digests))
        if subjects is not None:
            watch_lists.replace(self._maps["allowed_subjects"], watch_lists.number_rows(subjects))
        self._control[0]["allow_epoch"] += 1

    def watch_reads(self, paths: Collection[bytes]) -> None:
        """Record the opens for reading of these, and of no others: a path, `name` for files of that name
        anywhere, or with a slash at its end the files right in a folder (`/etc/ssl/private/`, `.ssh/`)."""
        self._reads = frozenset(paths)
        control = self._control[0]
        key = (int(control["key"][0]), int(control["key"][1]))
        rows = watch_lists.read_rows(paths, key)
        names, folders = watch_lists.read_filters(paths)
        control["read_names"] = names
        control["read_folders"] = folders
        watch_lists.replace(self._maps["reads"], rows)
        control["reads"] = len(rows)

    # What was seen

    def fileno(self) -> int:
        """For poll: readable when there may be records."""
        return self._observations.fileno()

    def read(self, timeout: float | None = 0) -> Raw:
        """The records that are there; if none, those that come within `timeout` seconds (None: wait)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._last_number > RENUMBER_AT:
            return self.renumber()
        while True:
            raw = self._drain()
            if len(raw.records) or raw.strings:
                return raw
            left = _PACE if deadline is None else min(_PACE, deadline - time.monotonic())
            if left <= 0:
                return raw
            self._poll.poll(left * 1000)

    def _drain(self) -> Raw:
        """A record's strings were sent before it took its room. So: first how far the records go, then all
        strings that were sent by then, then those records."""
        until = self._observations.written
        if until == self._observations.consumed:
            return Raw(np.empty(0, OBSERVATION), ())
        sent = self._strings.written
        found = self._strings.read()
        give_up = time.monotonic() + _PATIENCE
        while self._strings.consumed < sent:  # one is being written, by a task that was preempted
            if time.monotonic() > give_up:
                return Raw(np.empty(0, OBSERVATION), self._decoded(found))
            time.sleep(0.0005)
            found += self._strings.read()
        return Raw(self._observations.rows(until), self._decoded(found))

    def _decoded(self, records: list[bytes]) -> list[tuple[int, bytes, bool]]:
        found = []
        for record in records:
            if len(record) >= _STRING_HEAD:
                number, size, cut = np.frombuffer(record, STRING, count=1)[0].item()
                if len(record) == _STRING_HEAD + size:
                    found.append((number, record[_STRING_HEAD:], bool(cut)))
                    continue
            self._malformed += 1
        return found

    # The numbers of strings

    @property
    def _last_number(self) -> int:
        value = self._maps["last_number"].lookup(bytes(4))
        return int.from_bytes(value or b"", "little")

    def _first_number(self) -> None:
        self._maps["last_number"].update(bytes(4), (STRING_FIRST - 1).to_bytes(8, "little"))

    def renumber(self) -> Raw:
        """Send every string anew, with numbers from the beginning; gives what was waiting until then.

        With another key and epoch no number of before is found again. Once no program runs that began
        before, and all that was written is read, the low numbers are free. Nothing is lost meanwhile.
        """
        control = self._control[0]
        control["key"] = np.frombuffer(os.urandom(16), "<u8")
        control["strings_epoch"] += 1
        self.watch_reads(self._reads)
        self._grace.wait()
        until = self._observations.written
        parts = [self._drain()]
        while self._observations.consumed < until:
            parts.append(self._drain())
        self._first_number()
        self.renumbered += 1
        self._adopt()
        strings = [one for part in parts for one in part.strings]
        return Raw(np.concatenate([part.records for part in parts]), strings)

    # What became of it

    def counters(self) -> Counters:
        """Exact, whatever was lost."""
        rows = np.frombuffer(self._maps["tallies"].array(TYPES), TALLIES)["count"]
        meters = np.frombuffer(self._maps["meters"].array(len(Meter)), "<u8")
        return Counters(
            {type_: {tally: int(rows[type_][tally]) for tally in Tally} for type_ in Type},
            {meter: int(meters[meter]) for meter in Meter},
            {name: bpf_object.missed(fd) for name, fd in self._programs.items()},
            self._malformed + self._observations.malformed,
        )

    def gaps(self) -> dict[int, int]:
        """Sessions of which something was lost, limited or cut -> how often. If Meter.MARKS_FULL is not 0
        there were more, and no session counts as whole."""
        return {
            int.from_bytes(key, "little"): int.from_bytes(value, "little")
            for key, value in self._maps["sessions"].items().items()
        }

    def map_fill(self) -> dict[str, Fill]:
        """Entries of each map that can be full."""
        return fill.of_maps(self._maps, FILLED)

    def ring_fill(self) -> dict[str, Fill]:
        """Bytes that wait in each ring."""
        return fill.of_rings(self._observations, self._strings)

    def tallies(self) -> NDArray[Any]:
        """The counters as an array [type, Tally]."""
        return np.frombuffer(self._maps["tallies"].array(TYPES), TALLIES)["count"]
