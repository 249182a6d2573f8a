"""The life of a gate, with test programs in the place of the LSM hooks."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bpf_lsm import attach, host, libbpf, pins, slots
from bpf_lsm import gate as gate_module
from bpf_lsm.bpf_object import BpfObject, Program
from bpf_lsm.errors import GateError, KernelError, LoadError, TableFullError
from bpf_lsm.gate import Gate, is_loaded
from bpf_lsm.kernel_map import exists
from bpf_lsm.layout import LabelFlag, OwnBy, OwnKind, kernel_device
from bpf_lsm.own import Own
from bpf_lsm.tables import Alias
from policies.layout import HEADER
from tests.unit.bpf_lsm.compiling import HERE, SOURCES, build
from tests.unit.bpf_lsm.conftest import CAPACITY, CATALOGUE_SIZE, Objects, Place


def image(fill: int, size: int = 5000) -> bytes:
    """An image that says nothing, of one repeated byte."""
    header = np.zeros(1, HEADER)
    header["magic"], header["version"], header["size"] = slots.MAGIC, slots.VERSION, size
    return header.tobytes() + bytes([fill]) * (size - HEADER.itemsize)


def body(held: bytes | None) -> bytes | None:
    """An image without its header."""
    return held and held[HEADER.itemsize :]


def execs(gate: Gate, count: int = 1) -> dict[str, int]:
    """How many execs each version of the programs saw while this many happened."""
    before = gate.counters()
    for _ in range(count):
        subprocess.run(["/bin/true"], check=True)
    return {name: gate.counters()[name] - before[name] for name in ("cold", "hashed")}


def left(names: Mapping[tuple[OwnKind, int], str]) -> list[str]:
    """What the kernel still has of these."""
    kinds = {OwnKind.PROGRAM: "prog", OwnKind.MAP: "map", OwnKind.LINK: "link"}
    return [name for (kind, number), name in names.items() if exists(kinds[kind], number)]


def wait_gone(names: Mapping[tuple[OwnKind, int], str]) -> None:
    """The kernel frees things a little after the last descriptor is closed."""
    deadline = time.monotonic() + 10
    while left(names):
        assert time.monotonic() < deadline, left(names)
        time.sleep(0.01)


# Load


def test_a_loaded_gate_works_and_says_what_it_is(gate: Gate, place: Place) -> None:
    assert is_loaded(place.pin_dir)
    assert execs(gate)["cold"] >= 1
    note = gate.metadata()
    assert note["version"] == "1.2.3"
    assert note["programs"] == ["on_exec", "peek"]
    assert note["missing"] == ["needless"]
    assert len(note["object"]) == 64
    assert gate.capacity == CAPACITY
    assert gate.generation == 0
    assert gate.image() is None


def test_a_second_gate_is_refused(gate: Gate, objects: Objects, place: Place) -> None:
    with pytest.raises(GateError, match="menshen off"):
        Gate.load(objects(), pin_dir=place.pin_dir, run_dir=place.run_dir)
    assert execs(gate)["cold"] >= 1


def test_a_program_that_the_verifier_refuses_is_named_with_its_last_lines(
    objects: Objects, place: Place
) -> None:
    with pytest.raises(LoadError) as caught:
        Gate.load(objects("BROKEN_LOAD"), pin_dir=place.pin_dir, run_dir=place.run_dir)
    error = caught.value
    assert error.program in {"unloadable", "hookless"}
    if error.program == "unloadable":
        assert "invalid mem access" in error.reason
    assert 0 < len(error.tail) <= 10
    assert error.log is not None
    assert error.program in error.log.read_text()
    assert str(error.log) in str(error)
    assert {error.program, *dict(error.others)} == {"unloadable", "hookless"}
    assert "unloadable: the verifier refused it" in str(error)
    assert "hookless: this kernel has no no_such_tracepoint" in str(error)
    assert not is_loaded(place.pin_dir)


def test_one_program_that_cannot_be_attached_leaves_nothing_behind(objects: Objects, place: Place) -> None:
    seen: dict[tuple[OwnKind, int], str] = {}
    close = pins.Parts.close

    def watch(parts: pins.Parts) -> None:
        seen.update(Own(parts).names)
        close(parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins.Parts, "close", watch)
        with pytest.raises(LoadError, match="unattachable"):
            Gate.load(objects("BROKEN_ATTACH"), pin_dir=place.pin_dir, run_dir=place.run_dir)
    assert "control" in seen.values()
    wait_gone(seen)
    assert not is_loaded(place.pin_dir)
    assert list(place.pin_dir.parent.glob("menshen*")) == []


def test_a_folder_that_is_no_bpffs_is_refused_with_the_remedy(
    objects: Objects, place: Place, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match="mount -t bpf"):
        Gate.load(objects(), pin_dir=tmp_path / "menshen", run_dir=place.run_dir)


@pytest.mark.parametrize("capacity", [0, 4095, 5000, (1 << 20) + 1])
def test_a_capacity_that_is_no_power_of_two_is_refused(objects: Objects, place: Place, capacity: int) -> None:
    with pytest.raises(GateError, match="power of two"):
        Gate.load(objects(), pin_dir=place.pin_dir, run_dir=place.run_dir, capacity=capacity)


def test_a_missing_or_foreign_object_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no object file"):
        Gate.load(tmp_path / "absent.o", pin_dir=place.pin_dir, run_dir=place.run_dir)
    (tmp_path / "foreign.o").write_bytes(b"\x7fELF, but not really")
    with pytest.raises(GateError, match="cannot be opened"):
        Gate.load(tmp_path / "foreign.o", pin_dir=place.pin_dir, run_dir=place.run_dir)


def test_what_an_interrupted_load_left_is_cleared(objects: Objects, place: Place) -> None:
    stage = place.pin_dir.with_name("menshen_loading")
    with BpfObject(objects()) as opened:
        for program in opened.programs.values():
            program.autoload(program.name == "activate")
        opened.load()
        (stage / "maps").mkdir(parents=True)
        fd = opened.maps["control"].fd
        libbpf.call("", "bpf_obj_pin", fd, os.fsencode(stage / "maps" / "control"))
        os.close(fd)
    assert not is_loaded(place.pin_dir)
    Gate.load(objects(), pin_dir=place.pin_dir, run_dir=place.run_dir, capacity=CAPACITY).off()
    assert not stage.exists()


def test_lsm_programs_are_refused_where_bpf_is_no_active_module(
    objects: Objects, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lsm").write_text("lockdown,capability,apparmor")
    monkeypatch.setattr(host, "LSM_LIST", tmp_path / "lsm")
    with pytest.raises(GateError, match="lsm=lockdown,capability,apparmor,bpf"):
        host.require()
    monkeypatch.setattr(libbpf, "PROG_TYPE_LSM", 26)
    with pytest.raises(GateError, match="BPF LSM is off"):
        Gate.load(objects(), pin_dir=place.pin_dir, run_dir=place.run_dir)


def test_programs_are_attached_from_the_last_to_the_first_and_what_sees_beginnings_before_all() -> None:
    def program(name: str, attach_type: int, kind: int = 29) -> Program:
        return Program(0, name, "", kind, attach_type, optional=False)

    wanted = [
        program("called", 0, libbpf.PROG_TYPE_SYSCALL),
        program("first", 27),
        program("begins", libbpf.ATTACH_TRACE_FENTRY, libbpf.PROG_TYPE_TRACING),
        program("ends", 25, libbpf.PROG_TYPE_TRACING),
        program("iterates", libbpf.ATTACH_TRACE_ITER, libbpf.PROG_TYPE_TRACING),
        program("last", 27),
    ]
    assert [one.name for one in attach._order(wanted)] == ["begins", "last", "ends", "first"]


# Life


def test_an_adopted_gate_is_the_same_gate(gate: Gate, place: Place) -> None:
    generation = gate.install(image(1))
    gate.set_credentials({b"d" * 32: 5})
    gate.close()
    adopted = Gate.adopt(pin_dir=place.pin_dir, run_dir=place.run_dir)
    assert adopted.generation == generation
    assert body(adopted.image()) == body(image(1))
    assert adopted.credentials() == {b"d" * 32: 5}
    assert execs(adopted)["cold"] >= 1
    adopted.off()


def test_there_is_nothing_to_adopt_where_no_gate_is(place: Place) -> None:
    with pytest.raises(GateError, match="no gate is loaded"):
        Gate.adopt(pin_dir=place.pin_dir, run_dir=place.run_dir)


def test_the_programs_go_on_when_the_process_that_loaded_them_is_killed(
    objects: Objects, place: Place
) -> None:
    script = (
        "import os, sys; from pathlib import Path; import bpf_lsm.gate as g;"
        "g.INIT_MOUNTS = Path('/proc/self/ns/mnt');"
        "path, pins, notes = map(Path, sys.argv[1:]);"
        "held = g.Gate.load(path, pin_dir=pins, run_dir=notes, capacity=65536);"
        "os.kill(os.getpid(), 9)"
    )
    where = [str(objects()), str(place.pin_dir), str(place.run_dir)]
    done = subprocess.run([sys.executable, "-c", script, *where], check=False)
    assert done.returncode == -9
    adopted = Gate.adopt(pin_dir=place.pin_dir, run_dir=place.run_dir)
    assert execs(adopted)["cold"] >= 1
    adopted.off()


def test_an_upgrade_leaves_no_exec_unseen_and_keeps_what_the_maps_hold(
    gate: Gate, objects: Objects, place: Place
) -> None:
    gate.install(image(3))
    gate.set_credentials({b"x" * 32: 9})
    denials = gate.denials
    stop, ran = threading.Event(), []

    def run() -> None:
        while not stop.is_set():
            subprocess.run(["/bin/true"], check=True)
            ran.append(1)

    before = gate.counters()["cold"]
    runner = threading.Thread(target=run)
    runner.start()
    try:
        for version in ("2", "1", "2"):
            gate.upgrade(objects(f"VERSION={version}"), version=version)
    finally:
        stop.set()
        runner.join()
    assert gate.counters()["cold"] - before >= len(ran) > 0
    assert execs(gate)["hashed"] >= 1
    assert gate.denials is denials
    assert gate.denials.read() == []
    assert body(gate.image()) == body(image(3))
    assert gate.credentials() == {b"x" * 32: 9}
    assert gate.metadata()["version"] == "2"
    assert gate.install(image(4)) == 2
    gate.close()
    adopted = Gate.adopt(pin_dir=place.pin_dir, run_dir=place.run_dir)
    assert execs(adopted)["hashed"] >= 1
    adopted.off()


def test_a_failed_upgrade_changes_nothing(gate: Gate, objects: Objects) -> None:
    with pytest.raises(LoadError, match="unattachable"):
        gate.upgrade(objects("BROKEN_ATTACH"))
    assert gate.metadata()["version"] == "1.2.3"
    assert execs(gate)["cold"] >= 1


def test_an_upgrade_to_another_layout_is_refused(gate: Gate, objects: Objects, tmp_path: Path) -> None:
    sources = tmp_path / "src"
    sources.mkdir()
    for header in SOURCES.glob("*.[ch]"):
        (sources / header.name).write_bytes(header.read_bytes())
    maps = (sources / "maps.h").read_text()
    moved = maps.replace("\t__u64 denied;\n\t__u64 would_deny;", "\t__u64 would_deny;\n\t__u64 denied;")
    (sources / "maps.h").write_text(moved)
    changed = build(HERE / "fixture.bpf.c", tmp_path / "moved.o", sources=sources)
    with pytest.raises(GateError, match="another layout of row_tallies, rule_tallies"):
        gate.upgrade(changed)
    (sources / "maps.h").write_text(maps.replace("max_entries, 16384", "max_entries, 8192"))
    changed = build(HERE / "fixture.bpf.c", tmp_path / "smaller.o", sources=sources)
    with pytest.raises(GateError, match="another layout of"):
        gate.upgrade(changed)
    assert execs(gate)["cold"] >= 1


def test_off_leaves_nothing_of_ours_in_the_kernel(gate: Gate, place: Place) -> None:
    gate.arm_guard(77)
    names = Own(gate._parts).names
    assert {kind for kind, _ in names} == {OwnKind.PROGRAM, OwnKind.MAP, OwnKind.LINK}
    gate.off()
    assert left(names) == []
    assert not is_loaded(place.pin_dir)
    assert list(place.pin_dir.parent.glob("menshen*")) == []


def test_off_names_who_keeps_something_alive(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpf_lsm.own._PATIENCE", 0.2)
    held = os.dup(gate._parts.links["on_exec"])
    with pytest.raises(GateError, match=rf"link on_exec \(id \d+\), held by pid {os.getpid()}"):
        gate.off()
    os.close(held)


# Images


def test_images_alternate_and_their_generations_grow(gate: Gate) -> None:
    for number in range(1, 6):
        assert gate.install(image(number, 1000 * number)) == number
        held = gate.image()
        assert held is not None
        assert body(held) == body(image(number, 1000 * number))
        assert np.frombuffer(held, HEADER, 1)["generation"] == number
        assert gate.generation == number


def test_a_generation_is_never_used_again(gate: Gate) -> None:
    gate.install(image(1))
    gate.install(image(2))
    gate.uninstall()
    assert gate.image() is None
    assert gate.install(image(3)) == 3


def test_an_image_and_a_change_of_the_tree_end_what_was_remembered(gate: Gate) -> None:
    """Both are in the number that remembered classes are valid for: current_epoch() of automaton.h."""
    before, generation = gate._control["epoch"], gate.generation
    assert gate.install(image(1)) > generation
    assert gate._control["epoch"] == before
    gate.touch_tree()
    assert gate._control["epoch"] == before + 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b"", "no whole policy image"),
        (b"MNSH", "no whole policy image"),
        (bytes(5000), "no whole policy image"),
        (image(1)[:-1], "no whole policy image"),
        (image(1) + b"x", "no whole policy image"),
        (image(1).replace(b"\2\0\0\0", b"\1\0\0\0", 1), "layout version 1"),
        (image(1, CAPACITY + 1), "has room for 65536"),
    ],
)
def test_what_is_no_image_is_refused_and_the_old_one_stays(gate: Gate, wrong: bytes, why: str) -> None:
    gate.install(image(9))
    with pytest.raises(GateError, match=why):
        gate.install(wrong)
    assert body(gate.image()) == body(image(9))


def test_the_largest_image_fits(gate: Gate) -> None:
    gate.install(image(5, CAPACITY))
    assert body(gate.image()) == body(image(5, CAPACITY))


@contextmanager
def looker(gate: Gate) -> Iterator[None]:
    """A process in whose every system call a program looks long at the image in force."""
    gate.install(image(0))
    process = subprocess.Popen([sys.executable, "-c", "import os\nwhile True: os.getppid()"])
    gate._control["command"] = process.pid
    try:
        deadline = time.monotonic() + 30
        while gate.counters()["no_scratch"] < 3:
            assert time.monotonic() < deadline, "the program never looked"
            time.sleep(0.001)
        yield
    finally:
        process.kill()
        process.wait()


def test_a_program_that_runs_never_sees_its_image_change(gate: Gate) -> None:
    with looker(gate):
        for number in range(1, 100):
            gate.install(image(number))
    assert gate.counters()["no_scratch"] > 10
    assert gate.counters()["unresolved"] == 0


def test_without_waiting_for_the_programs_it_would(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpf_lsm.grace.Grace.wait", lambda _grace: None)
    deadline, number = time.monotonic() + 60, 0
    with looker(gate):
        while gate.counters()["unresolved"] == 0 and time.monotonic() < deadline:
            number += 1
            gate.install(image(number % 250))
    assert gate.counters()["unresolved"] > 0


# Tables


def digests(first: int, count: int) -> dict[bytes, int]:
    return {number.to_bytes(32, "big"): number + 1 for number in range(first, first + count)}


def test_credentials_are_added_changed_and_removed(gate: Gate) -> None:
    before = gate._control["catalogue"]
    gate.set_credentials(digests(0, 50))
    gate.set_credentials({(7).to_bytes(32, "big"): 99}, remove=digests(10, 40))
    assert gate.credentials() == digests(0, 10) | {(7).to_bytes(32, "big"): 99}
    assert gate._control["catalogue"] == before + 2


def test_a_full_catalogue_refuses_the_addition_and_keeps_what_it_has(gate: Gate) -> None:
    gate.set_credentials(digests(0, CATALOGUE_SIZE - 1))
    with pytest.raises(TableFullError, match="room for 100 entries and 101") as caught:
        gate.set_credentials(digests(1000, 2))
    assert caught.value.table == "catalogue"
    assert gate.credentials() == digests(0, CATALOGUE_SIZE - 1)
    gate.set_credentials(digests(1000, 2), remove=digests(0, 1))
    assert len(gate.credentials()) == CATALOGUE_SIZE


def test_a_failure_midway_is_undone(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.set_credentials(digests(0, 5))
    real, calls = gate._maps["catalogue"].update, []

    def fail_once(key: bytes, value: bytes) -> None:
        calls.append(key)
        if len(calls) == 3:
            raise KernelError("cannot change the map catalogue", 12)
        real(key, value)

    monkeypatch.setattr(gate._maps["catalogue"], "update", fail_once)
    with pytest.raises(KernelError, match="Cannot allocate memory"):
        gate.set_credentials(digests(3, 10), remove=digests(0, 2))
    assert gate.credentials() == digests(0, 5)


def test_a_digest_of_another_length_is_refused(gate: Gate) -> None:
    with pytest.raises(GateError, match="has 20 bytes"):
        gate.set_credentials({b"x" * 20: 1})


def test_aliases_belong_to_one_image(gate: Gate) -> None:
    one, two, three = Alias(1, 0x803, 7), Alias(2, 0x803, 0), Alias(3, 0x10302, 1)
    with pytest.raises(GateError, match="no image is in force"):
        gate.set_aliases({one: 1})
    gate.install(image(1), {one: 11, two: 12})
    assert gate.aliases() == {one: 11, two: 12}
    gate.set_aliases({three: 13}, remove=[two])
    assert gate.aliases() == {one: 11, three: 13}
    gate.install(image(2), {one: 21, two: 22})
    assert gate.aliases() == {one: 21, two: 22}
    gate.install(image(3))
    assert gate.aliases() == {}
    gate.install(image(4))
    assert gate._maps["aliases"].items() == {}


def test_too_many_aliases_refuse_the_image(gate: Gate) -> None:
    gate.install(image(1))
    with pytest.raises(TableFullError, match="aliases has room for 16384"):
        gate.install(image(2), {Alias(number, 0, 0): 1 for number in range(16385)})
    assert gate.generation == 1
    assert body(gate.image()) == body(image(1))


def test_tallies_are_of_what_ever_fired(gate: Gate) -> None:
    table = gate._maps["rule_tallies"]
    last = table.shape.max_entries - 1
    for number, denied, would_deny in ((2, 5, 6), (3, 0, 1), (last, 7, 0)):
        table.update(struct.pack("=I", number), struct.pack("=QQ", denied, would_deny))
    assert gate.rule_tallies(3) == {2: (5, 6)}
    assert gate.rule_tallies(1_000_000) == {2: (5, 6), 3: (0, 1), last: (7, 0)}
    assert gate.rule_tallies(0) == gate.row_tallies(100) == {}


def test_the_guards_table_holds_everything_that_is_ours(gate: Gate) -> None:
    assert not gate.guarded
    gate.arm_guard(77)
    assert gate.guarded
    assert gate._control["agent"] == 77
    assert gate._control["pins_device"] == kernel_device(gate.pin_dir.stat().st_dev)
    label = gate.label_of(os.getpid())
    assert label is not None
    assert (label.identity, label.flags) == (77, LabelFlag.AGENT)
    rows = gate._maps["own"].items()
    held = {struct.unpack("=II", key): int.from_bytes(value, "little") for key, value in rows.items()}
    names = Own(gate._parts).names
    assert held.keys() == {(int(kind), number) for kind, number in names}
    readable = {name for (kind, number), name in names.items() if held[kind, number] == OwnBy.WATCH_READS}
    assert readable == {"labels"}
    gate.disarm_guard()
    assert not gate.guarded


def test_the_guards_table_follows_an_upgrade(gate: Gate, objects: Objects) -> None:
    gate.arm_guard(77)
    gate.upgrade(objects("VERSION=2"))
    held = {struct.unpack("=II", key) for key in gate._maps["own"].items()}
    assert held == {(int(kind), number) for kind, number in Own(gate._parts).names}


# Tasks


def test_tasks_that_were_there_are_labelled_once(gate: Gate) -> None:
    assert gate.label_of(os.getpid()) is None
    status = Path(sys.executable).stat()
    other = subprocess.Popen(["/bin/sleep", "60"])
    try:
        labelled = gate.adopt_tasks({(status.st_dev, status.st_ino): 42}, {other.pid: 43})
        assert labelled > 2
        mine, others = gate.label_of(os.getpid()), gate.label_of(other.pid)
        assert mine is not None
        assert (mine.identity, mine.flags) == (42, LabelFlag.ADOPTED | LabelFlag.SESSION)
        assert others is not None
        assert others.identity == 43
        assert mine.session == others.session != 0, "a lineage has one session"
        gate.adopt_tasks({(status.st_dev, status.st_ino): 44}, {})
        again = gate.label_of(os.getpid())
        assert again is not None
        assert again.identity == 42
        assert gate._maps["adoption"].items() == gate._maps["adoption_by_pid"].items() == {}
    finally:
        other.kill()
        other.wait()


def test_a_process_that_is_gone_has_no_label(gate: Gate) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert gate.label_of(gone.pid) is None


def test_too_many_tasks_to_adopt_are_refused(gate: Gate) -> None:
    with pytest.raises(TableFullError, match="adoption has room for 16384"):
        gate.adopt_tasks({(0, number): 1 for number in range(16385)}, {})


def test_the_default_places_are_the_documented_ones() -> None:
    assert str(gate_module.PIN_DIR) == "/sys/fs/bpf/menshen"
    assert str(gate_module.RUN_DIR) == "/run/menshen"
