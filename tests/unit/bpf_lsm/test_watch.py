"""The watch's programs on this machine's kernel: what happens arrives, exactly as often as it happened."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bpf_lsm.collection import Meter
from bpf_lsm.errors import GateError, TableFullError
from bpf_lsm.observation import OBSERVATION, STRING_FIRST, STRING_LOST, Flag, Tally, Type
from bpf_lsm.watch import OBJECT, RENUMBER_AT, Breaker, Limit, Sizes, Watch
from tests.unit.bpf_lsm.generator import KINDS, URING, Kind, compiled, generating

ALL = frozenset(Type) - {Type.DENIAL, Type.WOULD_DENY}


class Seen:
    """What a watch gave, with the strings by their numbers."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.strings: dict[int, bytes] = {}

    def take(self) -> NDArray[Any]:
        """All that is there, after what was there before; the new ones."""
        parts = []
        while True:
            raw = self.watch.read()
            self.strings |= {number: value for number, value, _ in raw.strings}
            if not len(raw.records):
                break
            parts.append(raw.records)
        return np.concatenate(parts) if parts else np.empty(0, OBSERVATION)

    def text(self, number: Any) -> bytes:
        return self.strings[int(number)] if number >= STRING_FIRST else b""

    def of(self, records: NDArray[Any], type_: Type, exe: Path) -> Any:
        """Those of this type by this program."""
        ours = [number for number, value in self.strings.items() if value == os.fsencode(exe)]
        return records[(records["type"] == type_) & np.isin(records["exe"], ours)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("generator").resolve())


def load(**options: Any) -> Watch:
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")
    if not OBJECT.exists():
        pytest.skip("the object is not built: make bpf")
    return Watch.load(prefer_functions=False, **options)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Seen]:
    """One reader for the module: a string is sent once."""
    with load() as watch:
        watch.start()
        yield Seen(watch)


@pytest.fixture
def seen(loaded: Seen) -> Iterator[Seen]:
    """The module's watch as it begins: nothing limited, nothing left out, everything read."""
    watch = loaded.watch
    watch.set_limits(dict.fromkeys(Type, Limit(0)), breaker=Breaker(0))
    watch.allow(exes={}, digests={}, subjects={})
    watch.watch_reads([])
    watch.set_types(ALL)
    loaded.take()
    yield loaded
    balance(watch)


@pytest.fixture
def watch(seen: Seen) -> Watch:
    return seen.watch


def balance(watch: Watch) -> None:
    """generated = delivered + allowed + limited + lost, for each type."""
    watch.set_types([])
    time.sleep(0.05)
    for type_, row in watch.counters().tallies.items():
        parts = row[Tally.DELIVERED] + row[Tally.ALLOWED] + row[Tally.LIMITED] + row[Tally.LOST]
        assert row[Tally.GENERATED] == parts, type_
    watch.set_types(ALL)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_exactly_as_many_arrive_as_there_were(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path, kind: Kind
) -> None:
    folder = tmp_path.resolve()
    watch.watch_reads([os.fsencode(folder / "file-0")])
    with generating(generator, kind.word, kind.count, folder) as go:
        seen.take()
        pid = go()
    fresh = seen.take()
    found = seen.of(fresh, kind.type, generator)
    assert len(found) == kind.count
    if kind.detail is not None:
        assert found["detail"][0] == kind.detail
    if kind.result is not None:
        assert set(found["result"].tolist()) == {kind.result}
    else:
        assert kind.word in {"bpf", "connect6"} or (found["result"] >= 0).all()
    assert seen.text(found["path"][0]) == os.fsencode(kind.path.format(folder=folder, exe=generator))
    if kind.word != "exec":
        assert set(found["pid"].tolist()) == {pid}
    assert set(found["ppid"].tolist()) <= {os.getpid(), pid}
    assert len(set(found["session"].tolist())) == (kind.count if kind.word == "login" else 1)
    assert (found["session"] != 0).all()
    assert (np.diff(found["time"].astype(np.int64)) >= 0).all()
    assert watch.counters().malformed == 0
    assert sum(watch.counters().missed.values()) == 0


def test_a_record_says_who_did_it(watch: Watch, seen: Seen, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    subprocess.run(["/bin/sh", "-c", f"exec 3>{folder}/written; echo $$ >&3"], check=True)
    fresh = seen.take()
    path = os.fsencode(folder / "written")
    (write,) = [one for one in fresh[fresh["type"] == Type.FILE_WRITE] if seen.text(one["path"]) == path]
    status = (folder / "written").stat()
    assert write["pid"] == int((folder / "written").read_text())
    assert (write["ppid"], write["sid"]) == (os.getpid(), os.getsid(0))
    assert (write["uid"], write["inode"]) == (0, status.st_ino)
    assert write["device"] == os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    assert seen.text(write["exe"]) == os.fsencode(Path("/bin/sh").resolve())
    assert seen.text(write["args"]).split(b"\0")[:2] == [b"/bin/sh", b"-c"]
    assert seen.text(write["comm"]) == b"sh"
    assert write["mnt_ns"] == Path("/proc/self/ns/mnt").stat().st_ino
    execs = fresh[(fresh["type"] == Type.EXEC) & (fresh["pid"] == write["pid"])]
    assert execs["exe"].tolist() == [write["exe"]]
    exits = fresh[(fresh["type"] == Type.EXIT) & (fresh["pid"] == write["pid"])]
    assert (len(exits), exits["args"][0]) == (1, write["args"])


def test_a_script_is_named_beside_its_interpreter(watch: Watch, seen: Seen, tmp_path: Path) -> None:
    script = tmp_path.resolve() / "script"
    script.write_text("#!/bin/sh\nexit 5\n")
    script.chmod(0o700)
    assert subprocess.run([script], check=False).returncode == 5
    fresh = seen.take()
    execs = fresh[fresh["type"] == Type.EXEC]
    (run,) = [one for one in execs if seen.text(one["path"]) == os.fsencode(script)]
    assert Flag(int(run["flags"])) & Flag.SCRIPT
    assert seen.text(run["exe"]) == os.fsencode(Path("/bin/sh").resolve())
    (end,) = fresh[(fresh["type"] == Type.EXIT) & (fresh["pid"] == run["pid"])]
    assert end["detail"] == 5 << 8


def test_names_that_are_hostile_arrive_byte_for_byte(watch: Watch, seen: Seen, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path.resolve()) + b"/\xff\n\x1b[2J " + b"x" * 200
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    fresh = seen.take()
    assert name in {seen.text(one["path"]) for one in fresh[fresh["type"] == Type.FILE_CREATE]}


def test_long_arguments_are_cut_and_say_so(watch: Watch, seen: Seen) -> None:
    process = subprocess.Popen(["/bin/true", "y" * 3000])
    process.wait()
    fresh = seen.take()
    (run,) = fresh[(fresh["type"] == Type.EXEC) & (fresh["pid"] == process.pid)]
    assert Flag(int(run["flags"])) & Flag.ARGS_CUT
    assert seen.text(run["args"]) == b"/bin/true\0" + b"y" * 2038
    assert watch.gaps()[int(run["session"])] > 0, "a session of which something was cut is not whole"


def test_a_login_begins_a_session_and_its_children_belong_to_it(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    with generating(generator, "login", 2, tmp_path) as go:
        seen.take()
        go()
    login = seen.of(seen.take(), Type.LOGIN, generator)
    assert login["login_uid"].tolist() == [1000, 1001]
    assert login["detail"].tolist() == [0xFFFFFFFF, 1000]
    assert len(set(login["session"].tolist())) == 2


def test_a_new_pid_namespace_begins_a_session(watch: Watch, seen: Seen) -> None:
    subprocess.run(["unshare", "--pid", "--fork", "/bin/sh", "-c", "/bin/true; :"], check=True)
    fresh = seen.take()
    by_comm = {seen.text(one["comm"]): int(one["session"]) for one in fresh[fresh["type"] == Type.EXIT]}
    assert by_comm[b"sh"] == by_comm[b"true"] != by_comm[b"unshare"]


# Reads

LISTS = [
    ([b"{folder}/file-0"], True),
    ([b"file-0"], True),
    ([b"{folder}/"], True),
    ([b"{name}/"], True),
    ([b"file-1", b"{folder}/file-1", b"other/"], False),
    ([b"/file-0", b"/{name}/"], False),
]


@pytest.mark.parametrize(("entries", "listed"), LISTS)
def test_only_listed_files_are_recorded_when_they_are_opened_for_reading(
    seen: Seen, generator: Path, tmp_path: Path, entries: list[bytes], listed: bool
) -> None:
    folder = tmp_path.resolve()
    words = {b"{folder}": os.fsencode(folder), b"{name}": os.fsencode(folder.name)}
    for word, value in words.items():
        entries = [entry.replace(word, value) for entry in entries]
    seen.watch.watch_reads(entries)
    with generating(generator, "file-open", 7, folder) as go:
        seen.take()
        go()
    assert len(seen.of(seen.take(), Type.FILE_OPEN, generator)) == (7 if listed else 0)


@pytest.mark.parametrize("entry", [b"", b"/", b"a/b", b"a\0"])
def test_a_list_of_reads_that_cannot_match_is_refused(watch: Watch, entry: bytes) -> None:
    with pytest.raises(GateError, match="cannot be watched for reading"):
        watch.watch_reads([entry])


# What is left out


def test_allow_lists_change_live_and_are_counted(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    exe, types = os.fsencode(generator), [Type.CONNECT, Type.KILL]
    lists: list[tuple[dict[str, Any], int]] = [
        ({"exes": {exe: types}}, 0),
        ({"exes": {exe: [Type.BIND]}}, 11),
        ({"exes": {os.fsencode(generator.parent) + b"/": types}}, 0),
        ({"exes": {os.fsencode(generator.parent) + b"/": types, exe: [Type.BIND]}}, 11),
        ({"exes": {exe[:-1]: types}}, 11),
        ({"exes": {}, "subjects": {0: types}}, 0),
        ({"subjects": {1: types}}, 11),
        ({"digests": {0: types}}, 11),
    ]
    for entries, delivered in lists:
        watch.allow(**entries)
        before = watch.counters().tallies[Type.CONNECT]
        with generating(generator, "connect", 11, tmp_path) as go:
            seen.take()
            go()
        assert len(seen.of(seen.take(), Type.CONNECT, generator)) == delivered, entries
        after = watch.counters().tallies[Type.CONNECT]
        assert after[Tally.ALLOWED] - before[Tally.ALLOWED] >= 11 - delivered


def test_a_program_that_runs_already_is_left_out_as_soon_as_it_is_listed(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    with generating(generator, "connect", 11, tmp_path) as go:
        seen.take()
        watch.allow(exes={os.fsencode(generator): [Type.CONNECT]})
        go()
    assert len(seen.of(seen.take(), Type.CONNECT, generator)) == 0


def test_an_allow_list_that_is_too_long_is_refused_whole(watch: Watch) -> None:
    watch.allow(subjects={7: [Type.EXEC]})
    with pytest.raises(TableFullError):
        watch.allow(subjects={number: [Type.EXEC] for number in range(5000)})
    assert list(watch._maps["allowed_subjects"].items()) == [struct.pack("=Q", 7)]


@pytest.mark.parametrize("path", [b"relative", b"/" + b"x" * 248, b"/a\0b"])
def test_a_program_that_cannot_be_listed_is_refused(watch: Watch, path: bytes) -> None:
    with pytest.raises(GateError, match="cannot be in an allow list"):
        watch.allow(exes={path: [Type.EXEC]})


def test_a_type_that_is_not_collected_is_not_generated(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    watch.set_types(ALL - {Type.CONNECT})
    before = watch.counters().tallies[Type.CONNECT][Tally.GENERATED]
    with generating(generator, "connect", 11, tmp_path) as go:
        go()
    assert watch.counters().tallies[Type.CONNECT][Tally.GENERATED] == before


# Limits


def test_a_limit_lets_its_burst_through_and_counts_the_rest(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    watch.set_limits({Type.CONNECT: Limit(rate=0.01, burst=17)})
    before = watch.counters()
    with generating(generator, "connect", 101, tmp_path) as go:
        seen.take()
        go()
    found = seen.of(seen.take(), Type.CONNECT, generator)
    after = watch.counters()
    limited = after.tallies[Type.CONNECT][Tally.LIMITED] - before.tallies[Type.CONNECT][Tally.LIMITED]
    assert len(found) <= 17
    assert len(found) + limited >= 101
    assert after.meters[Meter.GAPS] - before.meters[Meter.GAPS] == limited
    assert watch.gaps()[int(found["session"][0])] > 0


def test_a_new_limit_owes_the_old_nothing(watch: Watch, seen: Seen, generator: Path, tmp_path: Path) -> None:
    watch.set_limits({Type.CONNECT: Limit(rate=0.001, burst=1000)})
    with generating(generator, "connect", 101, tmp_path) as go:
        go()
    watch.set_limits({Type.CONNECT: Limit(rate=1e6, burst=1000)})
    with generating(generator, "connect", 101, tmp_path) as go:
        seen.take()
        go()
    assert len(seen.of(seen.take(), Type.CONNECT, generator)) == 101


def test_a_limit_gives_its_rate_over_time(watch: Watch, seen: Seen, generator: Path, tmp_path: Path) -> None:
    watch.set_limits({Type.MEMFD: Limit(rate=1000, burst=200)})
    with generating(generator, "memfd", 200_000, tmp_path) as go:
        seen.take()
        began = time.monotonic()
        go()
        took = time.monotonic() - began
    found = len(seen.of(seen.take(), Type.MEMFD, generator))
    assert 0.5 * took * 1000 < found <= took * 1000 + 201


def test_the_breaker_opens_under_a_flood_lets_what_is_vital_through_and_closes(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    watch.set_limits(breaker=Breaker(rate=5000, quiet=0.3, vital=frozenset({Type.EXEC})))
    before = watch.counters()
    with generating(generator, "memfd", 50_000, tmp_path) as go:
        seen.take()
        go()
        assert watch.breaker_open
        run = subprocess.Popen(["/bin/true"])
        run.wait()
        (tmp_path / "unseen").touch()
    fresh = seen.take()
    after = watch.counters()
    memfds = len(seen.of(fresh, Type.MEMFD, generator))
    limited = after.tallies[Type.MEMFD][Tally.LIMITED] - before.tallies[Type.MEMFD][Tally.LIMITED]
    assert after.meters[Meter.OPENED] == before.meters[Meter.OPENED] + 1
    assert 0 < memfds < 50_000
    assert memfds + limited == 50_000
    assert ((fresh["type"] == Type.EXEC) & (fresh["pid"] == run.pid)).sum() == 1
    assert not [one for one in fresh if seen.text(one["path"]).endswith(b"/unseen")]
    deadline = time.monotonic() + 10
    while watch.breaker_open and time.monotonic() < deadline:
        time.sleep(0.5)
        (tmp_path / "noticed").touch()
    assert not watch.breaker_open
    seen.take()
    (tmp_path / "seen").touch()
    assert [one for one in seen.take() if seen.text(one["path"]).endswith(b"/seen")]


# Losses


def test_at_ten_times_the_capacity_every_record_is_counted(generator: Path, tmp_path: Path) -> None:
    with load(sizes=Sizes(observations=1 << 16)) as small:
        seen = Seen(small)
        small.start()
        count = 10 * (1 << 16) // 168
        with generating(generator, "memfd", count, tmp_path) as go:
            seen.take()
            before = small.counters().tallies[Type.MEMFD]
            go()
        small.set_types([])
        fresh = seen.take()
        after = small.counters()
        row = after.tallies[Type.MEMFD]
        found = seen.of(fresh, Type.MEMFD, generator)
        lost = row[Tally.LOST] - before[Tally.LOST]
        assert row[Tally.GENERATED] - before[Tally.GENERATED] == count
        assert 0 < len(found) == count - lost
        balance(small)
        total = after.total(Tally.LOST)
        assert after.meters[Meter.GAPS] == total
        small.set_types(ALL)
        (tmp_path / "later").touch()
        last = seen.take()[-1]
        assert last["lost"] == total, "the next record says that there is a gap"
        assert int(found["session"][0]) in small.gaps()


def test_a_string_that_finds_no_room_is_counted_and_sent_with_the_next_record(tmp_path: Path) -> None:
    with load(sizes=Sizes(strings=4096)) as small:
        seen = Seen(small)
        small.start()
        names = [os.fsencode(tmp_path.resolve() / f"name-{i}") for i in range(200)]
        seen.take()
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_RDONLY))
        fresh = seen.take()
        created = fresh[(fresh["type"] == Type.FILE_CREATE) & (fresh["pid"] == os.getpid())]
        assert len(created) == 200
        lost = int((created["path"] == STRING_LOST).sum())
        assert 0 < lost <= small.counters().meters[Meter.STRINGS_LOST]
        assert int(created["session"][0]) in small.gaps()
        os.close(os.open(names[-1], os.O_CREAT | os.O_WRONLY))
        fresh = seen.take()
        wrote = fresh[(fresh["type"] == Type.FILE_WRITE) & (fresh["pid"] == os.getpid())]
        assert [seen.text(one["path"]) for one in wrote] == [names[-1]]


# Strings


def test_a_string_is_sent_once(watch: Watch, seen: Seen, tmp_path: Path) -> None:
    name = tmp_path.resolve() / "again-and-again"
    name.touch()
    seen.take()
    before = watch.counters().meters[Meter.STRINGS_SENT]
    for _ in range(100):
        os.close(os.open(name, os.O_WRONLY))
    fresh = seen.take()
    wrote = fresh[(fresh["type"] == Type.FILE_WRITE) & (fresh["pid"] == os.getpid())]
    assert len(set(wrote["path"].tolist())) == 1
    ours = [value for value in seen.strings.values() if value == os.fsencode(name)]
    assert len(ours) == 1
    assert watch.counters().meters[Meter.STRINGS_SENT] - before < 100


def test_a_new_watch_gets_every_string_anew(tmp_path: Path) -> None:
    name = tmp_path.resolve() / "for-both"
    for _ in range(2):
        with load() as one:
            seen = Seen(one)
            one.start()
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            assert os.fsencode(name) in {seen.text(record["path"]) for record in seen.take()}


def test_numbers_begin_anew_before_they_end_and_nothing_is_lost(
    watch: Watch, seen: Seen, generator: Path, tmp_path: Path
) -> None:
    first = watch.renumbered
    with generating(generator, "connect-unix", 100, tmp_path) as go:
        seen.take()
        watch._maps["last_number"].update(bytes(4), struct.pack("=Q", RENUMBER_AT + 1))
        go()
    fresh = seen.take()
    assert watch.renumbered == first + 1
    found = seen.of(fresh, Type.CONNECT, generator)
    assert len(found) == 100
    (tmp_path / "after").touch()
    later = seen.take()
    paths = {seen.text(one["path"]): int(one["path"]) for one in later}
    assert paths[os.fsencode(tmp_path.resolve() / "after")] < RENUMBER_AT


def test_without_numbers_strings_are_lost_and_counted_and_records_are_not(
    watch: Watch, seen: Seen, tmp_path: Path
) -> None:
    seen.take()
    before = watch.counters().meters[Meter.STRINGS_EXHAUSTED]
    watch._maps["last_number"].update(bytes(4), struct.pack("=Q", 0xFFFFFFFF))
    os.close(os.open(tmp_path / "nameless", os.O_CREAT | os.O_WRONLY))
    fresh = seen.take()
    created = fresh[(fresh["type"] == Type.FILE_CREATE) & (fresh["pid"] == os.getpid())]
    assert created["path"].tolist() == [STRING_LOST]
    assert watch.counters().meters[Meter.STRINGS_EXHAUSTED] > before


@pytest.mark.parametrize("kind", URING, ids=lambda kind: kind.word)
def test_io_uring_is_not_seen_by_tracepoints(seen: Seen, generator: Path, tmp_path: Path, kind: Kind) -> None:
    with generating(generator, kind.word, 3, tmp_path) as go:
        seen.take()
        go()
    assert len(seen.of(seen.take(), kind.type, generator)) == 0, "then this limit may go from the list"


def test_what_the_set_of_programs_does_not_see_is_said(watch: Watch) -> None:
    assert watch.source.name == "tracepoints"
    assert any("io_uring" in one for one in watch.source.missing)


def test_a_watch_that_was_closed_leaves_nothing_running() -> None:
    one = load()
    ids = [table.id for table in one._maps.values()]
    one.close()
    time.sleep(0.2)
    from bpf_lsm.kernel_map import exists

    deadline = time.monotonic() + 10
    while any(exists("map", number) for number in ids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(exists("map", number) for number in ids)
