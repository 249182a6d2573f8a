"""A stream as a busy host makes it, for tests and benchmarks: seeded, any length, made in chunks.

Services that outlive the stream begin jobs (cron, a login, a build, a pod, a package's installation): trees
of processes with fork, exec, what they do, and exit. Programs, arguments, files and intervals are skewed as
Zipf has it. `signal` of the events are weak signals (vocabulary.py), for which the shipped rules are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.observation import OBSERVATION, STRING_FIELDS, STRING_FIRST, STRING_NUMBERS, Flag, Raw, Type
from tests.bench.vocabulary import FOLDERS, JOBS, SERVICES, SIGNALS, SOCKETS

Numbers = NDArray[Any]

CHUNK: Final = 1 << 18
BATCH: Final = 1 << 14
FILES: Final = 40_000
"""Distinct ordinary files, beside those that are new each time."""
_VARIANTS: Final = 48
"""Distinct arguments of one program, beside those that are new each time."""
_PER_JOB: Final = 8
_FIRST_PID: Final = 1000
_PIDS: Final = 32768

_TYPES: Final = np.array(
    [
        Type.FILE_WRITE,
        Type.FILE_CREATE,
        Type.FILE_DELETE,
        Type.FILE_OPEN,
        Type.FILE_RENAME,
        Type.FILE_CHMOD,
        Type.CONNECT,
        Type.ACCEPT,
        Type.SENDTO,
        Type.CREDENTIALS,
        Type.BIND,
        Type.LISTEN,
    ],
    np.uint16,
)
_SHARES: Final = np.array([0.55, 0.12, 0.06, 0.04, 0.03, 0.01, 0.11, 0.04, 0.02, 0.01, 0.005, 0.005])
"""Of what is neither fork, exec nor exit."""
_DETAIL: Final = {
    Type.FILE_WRITE: 0o101,
    Type.FILE_CREATE: 0o100644,
    Type.FILE_CHMOD: 0o100644,
    Type.CONNECT: 1,
    Type.ACCEPT: 1,
    Type.SENDTO: 2,
    Type.BIND: 1,
    Type.LISTEN: 128,
}


def stream(
    events: int, seed: int = 1, *, signal: float = 0.05, batch: int = BATCH, chunk: int = CHUNK
) -> Iterator[Raw]:
    """`events` records in batches of `batch`, each with the strings that it is the first to name.

    The same arguments give the same bytes. At most one chunk of records is in memory at a time.
    """
    host = _Host(seed, signal)
    left = events
    while left > 0:
        records = host.chunk(min(chunk, max(left, 4096)))[:left]
        left -= len(records)
        for first in range(0, len(records), batch):
            part = records[first : first + batch]
            yield Raw(part, host.announce(part))


def _zipf(random: np.random.Generator, count: int, among: int) -> Numbers:
    """Ranks below `among`, the n-th as often as 1/n: by the inverse of the integral, so that it is quick."""
    ranks: Numbers = (np.exp(random.random(count) * np.log(among + 1)) - 1).astype(np.int64)
    return ranks


def _fill(out: Numbers, columns: dict[str, Numbers]) -> None:
    for name, column in columns.items():
        out[name] = column
    out["tid"] = columns["pid"]
    out["login_uid"] = np.where(columns["uid"] == 1000, 1000, 0xFFFF_FFFF)
    out["mnt_ns"] = 4026531841


class _Host:
    """What goes on from chunk to chunk: the strings, the pids, the sessions, the clock."""

    def __init__(self, seed: int, signal: float) -> None:
        self.random = np.random.default_rng(seed)
        self.signal = signal
        self.values: list[bytes] = []
        self.sent = [np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)]
        self.pid = 0
        self.session = 1000
        self.clock = 60_000_000_000
        self._words()

    def _words(self) -> None:
        """The strings that are known from the beginning, and tables of their numbers."""
        word = self._string
        self.files = np.array([word(self._file(rank)) for rank in range(FILES)], np.uint32)
        self.sockets = np.array([word(path) for path in SOCKETS], np.uint32)
        self.service = np.array(
            [[word(one.exe), word(one.args), word(one.exe.rpartition(b"/")[2][:15])] for one in SERVICES],
            np.uint32,
        )
        self.service_uid = np.array([one.uid for one in SERVICES], np.uint32)
        self.service_pid = np.array([1, *range(301, 300 + len(SERVICES))], np.uint32)
        self.service_cgroup = np.arange(5000, 5000 + len(SERVICES), dtype=np.uint64)
        self.leaders: list[Numbers] = []
        self.programs: list[tuple[Numbers, Numbers, Numbers]] = []
        for job in JOBS:
            exe, args = job.leader
            self.leaders.append(
                np.array([word(exe), word(args), word(exe.rpartition(b"/")[2][:15])], np.uint32)
            )
            exes = np.array([word(exe) for exe, _ in job.programs], np.uint32)
            comms = np.array([word(exe.rpartition(b"/")[2][:15]) for exe, _ in job.programs], np.uint32)
            arguments = np.array(
                [
                    [word(b"%s\0--input=/srv/data/part-%03d" % (args, at)) for at in range(_VARIANTS)]
                    for _, args in job.programs
                ],
                np.uint32,
            )
            self.programs.append((exes, arguments, comms))
        self.signals = np.array([word(one.path) if one.path else 0 for one in SIGNALS], np.uint32)
        self.signal_types = np.array([one.type for one in SIGNALS], np.uint16)

    def _file(self, rank: int) -> bytes:
        return b"%sd%02x/file-%05d.dat" % (FOLDERS[rank % len(FOLDERS)], rank // 10 % 251, rank)

    def _string(self, value: bytes) -> int:
        self.values.append(value)
        return len(self.values) - 1 + STRING_FIRST

    def _fresh(self, count: int, form: bytes) -> Numbers:
        """Numbers of `count` strings that were never seen before."""
        first = len(self.values)
        self.values += [form % number for number in range(first, first + count)]
        return np.arange(first, first + count, dtype=np.uint32) + STRING_FIRST

    def announce(self, records: Numbers) -> list[tuple[int, bytes, bool]]:
        """What the ring of strings has for these records: what the kernel does not remember having sent, and
        now and then something that it does.
        """
        short = len(self.values) + STRING_FIRST - len(self.sent[0])
        if short > 0:
            more = np.zeros(2 * len(self.values), bool)
            self.sent = [np.concatenate([sent, more]) for sent in self.sent]
        young, old = self.sent
        found: list[int] = []
        for name in STRING_FIELDS:
            numbers = records[name]
            new = np.unique(numbers[~young[numbers] & ~old[numbers] & (numbers >= STRING_FIRST)])
            young[numbers] = True
            found += new.tolist()
        if np.count_nonzero(young) > STRING_NUMBERS // 2:
            self.sent = [np.zeros(len(young), bool), young]
        again = records["path"][:: max(1, len(records) // 4)]
        found += again[again >= STRING_FIRST].tolist()
        return [(number, self.values[number - STRING_FIRST], False) for number in found]

    def chunk(self, size: int) -> Numbers:
        """At least `size` records, in the order of time. Jobs end in the chunk in which they begin."""
        random = self.random
        # a process makes fork, exec, exit and about five events; services make a sixth of all
        processes = size // 10 + 64
        jobs = processes // _PER_JOB + 1
        kind = random.choice(len(JOBS), jobs, p=[job.weight for job in JOBS])
        sizes = 1 + random.geometric(1 / (_PER_JOB - 1), jobs)
        owner = np.repeat(np.arange(jobs), sizes)  # of each process
        ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        count = len(owner)
        own = kind[owner]
        driven = np.array([job.drivers for job in JOBS])[own] & (ordinal > 0)
        driver = driven & ((ordinal - 1) % 3 == 0)
        # pids go round, as the kernel's do; services keep theirs
        pid = (_FIRST_PID + (self.pid + np.arange(count)) % (_PIDS - _FIRST_PID)).astype(np.uint32)
        self.pid += count
        first = np.arange(count) - ordinal
        service = np.array([job.parent for job in JOBS])[own]
        above = np.where(driven & ~driver, np.arange(count) - (ordinal - 1) % 3, first)
        exe, args, comm = self._programs(own, ordinal)
        by_service = ordinal == 0
        parent_pid = np.where(by_service, self.service_pid[service], pid[above])
        parents = [
            np.where(by_service, self.service[service, at], column[above])
            for at, column in enumerate((exe, args, comm))
        ]

        bodies = random.poisson(5.0, count)
        actor = np.repeat(np.arange(count), bodies)
        extra = max(0, size - 3 * count - len(actor))
        total = 3 * count + len(actor) + extra
        out = np.zeros(total, OBSERVATION)
        key = np.empty(total)
        start = (random.random(jobs) * max(1, size))[owner] + ordinal * 2.0
        last = np.where(by_service, sizes[owner] - 1 + 0.6, 0.0)
        last = np.where(driver, np.minimum(2, sizes[owner] - 1 - ordinal) + 0.3, last)

        fork, run, end = (slice(at * count, (at + 1) * count) for at in range(3))
        body = slice(3 * count, 3 * count + len(actor))
        rest = slice(3 * count + len(actor), total)
        key[fork], key[run] = start, start + 0.1
        key[body] = start[actor] + 0.2 + random.random(len(actor))
        key[end] = start + 1.5 + 2 * last

        session = (self.session + owner).astype(np.uint64)
        self.session += jobs
        uid = np.array([job.uid for job in JOBS], np.uint32)[own]
        cgroup = np.where(
            np.array([job.container for job in JOBS])[own],
            9000 + owner % 40,
            self.service_cgroup[service],
        ).astype(np.uint64)
        mine = {
            "pid": pid,
            "exe": exe,
            "args": args,
            "comm": comm,
            "session": session,
            "uid": uid,
            "cgroup": cgroup,
            "ppid": parent_pid,
            "sid": pid[first],
        }
        forking = {**mine, "pid": parent_pid, **dict(zip(("exe", "args", "comm"), parents, strict=True))}
        for where, columns, what in (
            (fork, forking, Type.FORK),
            (run, mine, Type.EXEC),
            (end, mine, Type.EXIT),
        ):
            _fill(out[where], columns)
            out["type"][where] = what
        out["target_pid"][fork] = pid
        out["ppid"][fork] = np.where(by_service, 1, self.service_pid[service])
        out["detail"][fork] = 0x01200011
        out["detail"][run] = 2
        _fill(out[body], {name: column[actor] for name, column in mine.items()})
        self._act(out[body])
        key[rest] = random.random(extra) * size
        _fill(out[rest], self._services(_zipf(random, extra, len(SERVICES))))
        out["flags"][rest] = Flag.ADOPTED
        self._act(out[rest])
        out = out[np.argsort(key, kind="stable")]
        out["time"] = self.clock + np.cumsum(random.exponential(40_000, total)).astype(np.uint64)
        self.clock = int(out["time"][-1])
        return out

    def _programs(self, own: Numbers, ordinal: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Numbers of exe, args and comm of each process of the chunk."""
        exe, args, comm = (np.zeros(len(own), np.uint32) for _ in range(3))
        for which, (exes, arguments, comms) in enumerate(self.programs):
            mine = np.nonzero(own == which)[0]
            rank = _zipf(self.random, len(mine), len(exes))
            if JOBS[which].drivers:
                rank = np.where(self.random.random(len(mine)) < 0.9, (ordinal[mine] - 1) % 3, rank)
            exe[mine], comm[mine] = exes[rank], comms[rank]
            args[mine] = arguments[rank, _zipf(self.random, len(mine), _VARIANTS)]
            leaders = mine[ordinal[mine] == 0]
            exe[leaders], args[leaders], comm[leaders] = self.leaders[which]
        once = np.nonzero((self.random.random(len(own)) < 0.1) & (ordinal > 0))[0]
        args[once] = self._fresh(len(once), b"run\0--id=%08x\0--quiet")
        return exe, args, comm

    def _services(self, who: Numbers) -> dict[str, Numbers]:
        exe, args, comm = self.service[who].T
        return {
            "pid": self.service_pid[who],
            "exe": exe,
            "args": args,
            "comm": comm,
            "session": who.astype(np.uint64) + 1,
            "uid": self.service_uid[who],
            "cgroup": self.service_cgroup[who],
            "ppid": np.ones(len(who), np.uint32),
            "sid": self.service_pid[who],
        }

    def _act(self, out: Numbers) -> None:
        """What processes do between exec and exit."""
        random = self.random
        kind = _TYPES[np.searchsorted(np.cumsum(_SHARES), random.random(len(out)), side="right")]
        out["type"] = kind
        for which, detail in _DETAIL.items():
            out["detail"][kind == which] = detail
        files = np.nonzero((kind >= Type.FILE_CREATE) & (kind <= Type.FILE_CHMOD))[0]
        out["path"][files] = self.files[_zipf(random, len(files), FILES)]
        new = files[random.random(len(files)) < 0.02]
        out["path"][new] = self._fresh(len(new), b"/srv/build/out/objects/%08x.o")
        out["inode"][files] = out["path"][files].astype(np.uint64) + 100_000
        out["device"][files] = 8 << 20 | 1
        moved = np.nonzero(kind == Type.FILE_RENAME)[0]
        out["path2"][moved] = self.files[_zipf(random, len(moved), FILES)]
        network = np.nonzero((kind >= Type.CONNECT) & (kind <= Type.SENDTO))[0]
        local = random.random(len(network)) < 0.6
        unix, inet = network[local], network[~local]
        out["family"][unix] = 1
        out["path"][unix] = self.sockets[_zipf(random, len(unix), len(self.sockets))]
        out["family"][inet], out["protocol"][inet] = 4, 6
        out["address"][inet, :4] = (127, 0, 0, 1)
        out["port"][inet] = np.array([5432, 6379, 8080, 9100, 8125])[_zipf(random, len(inet), 5)]
        failed = np.nonzero(random.random(len(out)) < 0.02)[0]
        out["result"][failed] = -2
        self._signal(out)

    def _signal(self, out: Numbers) -> None:
        """Some of the events become weak signals; the share is of the whole stream, so it is higher here."""
        random = self.random
        share = self.signal / 0.69
        at = np.nonzero(random.random(len(out)) < share)[0]
        which = _zipf(random, len(at), len(SIGNALS))
        for name in (
            "type",
            "path",
            "path2",
            "detail",
            "port",
            "family",
            "protocol",
            "inode",
            "device",
            "result",
        ):
            out[name][at] = 0
        out["type"][at] = self.signal_types[which]
        out["path"][at] = self.signals[which]
        for number, signal in enumerate(SIGNALS):
            mine = at[which == number]
            out["detail"][mine] = signal.detail
            if signal.address:
                out["family"][mine], out["protocol"][mine], out["port"][mine] = 4, 6, signal.port
                out["address"][mine, :4] = tuple(signal.address)
            if signal.fresh:
                some = mine[random.random(len(mine)) < 0.1]
                out["path"][some] = self._fresh(len(some), signal.path + b"%08x")
            if signal.path.startswith(b"/"):
                out["inode"][mine] = out["path"][mine].astype(np.uint64) + 100_000
