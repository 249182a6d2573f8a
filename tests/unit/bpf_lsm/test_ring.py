"""The consumer of the rings, against records that the kernel writes."""

from __future__ import annotations

import mmap
import os
import random
import select
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bpf_lsm.errors import GateError
from bpf_lsm.events import SIZE, decode
from bpf_lsm.gate import Gate
from bpf_lsm.layout import EVENT, U8, EventFlag, EventKind, Operation
from bpf_lsm.ring import Ring
from bpf_lsm.row_ring import RowRing
from tests.unit.bpf_lsm.conftest import Emit


def numbers(records: list[bytes]) -> list[int]:
    """The numbers of the records, each checked to be whole."""
    found = []
    for record in records:
        number, complement = struct.unpack_from("=QQ", record)
        assert number ^ complement == 0xFFFF_FFFF_FFFF_FFFF, "a record is torn"
        found.append(number)
    return found


def test_an_empty_ring_gives_nothing_and_does_not_wait(gate: Gate) -> None:
    assert gate.denials.read() == []


def test_a_fork_holds_no_map_by_its_memory(gate: Gate) -> None:
    ours, theirs = os.pipe()
    with Path("/proc/self/maps").open() as maps:
        assert sum("bpf-map" in line for line in maps) == 5, "two of each ring, and the control"
    if not (child := os.fork()):
        with Path("/proc/self/maps").open() as maps:
            os.write(theirs, str(sum("bpf-map" in line for line in maps)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ours, 10) == b"0"
    for each in (ours, theirs):
        os.close(each)


@pytest.mark.parametrize("size", [32, 61, 1000])
def test_records_come_whole_and_in_order_with_their_own_size(gate: Gate, emit: Emit, size: int) -> None:
    assert emit(50, size=size) == 50
    records = gate.denials.read()
    assert numbers(records) == list(range(50))
    assert {len(record) for record in records} == {size}
    assert gate.denials.waiting == 0


def test_discarded_records_are_passed_over(gate: Gate, emit: Emit) -> None:
    emit(50, discard=5)
    assert numbers(gate.denials.read()) == [i for i in range(50) if i % 5]
    emit(3, discard=1)
    assert gate.denials.read() == []
    assert gate.denials.waiting == 0


def test_the_ring_wraps_without_losing_or_splitting_a_record(gate: Gate, emit: Emit) -> None:
    laps, next_number = 5, 0
    chance = random.Random(7)
    passed = 0
    while passed < laps * gate.denials.size:
        count, size = chance.randint(1, 500), chance.choice([32, 61, 1000])
        assert emit(count, size=size, first=next_number) == count
        assert numbers(gate.denials.read()) == list(range(next_number, next_number + count))
        next_number += count
        passed += count * (size + 8)


def test_what_finds_no_room_is_counted_exactly_and_what_found_room_arrives(gate: Gate, emit: Emit) -> None:
    wanted, written = 0, 0
    while wanted < 3000:
        written += emit(500, size=1000, first=wanted)
        wanted += 500
    assert written < wanted
    assert gate.counters()["denials_lost"] == wanted - written
    assert gate.counters()["events_lost"] == 0
    assert numbers(gate.denials.read()) == list(range(written))
    assert emit(10, first=7000) == 10
    assert numbers(gate.denials.read()) == list(range(7000, 7010))


def test_the_rings_are_independent(gate: Gate, emit: Emit) -> None:
    while emit(500, ring=1, size=1000) == 500:
        pass
    assert emit(20, ring=0) == 20
    assert len(gate.denials.read()) == 20
    assert gate.counters()["denials_lost"] == 0
    assert gate.counters()["events_lost"] > 0


def test_a_reader_waits_for_the_first_record(gate: Gate, emit: Emit) -> None:
    threading.Timer(0.1, emit, (3,)).start()
    began = time.monotonic()
    assert numbers(gate.denials.read(timeout=10)) == [0, 1, 2]
    assert time.monotonic() - began < 5


def test_a_reader_gives_up_after_its_time(gate: Gate) -> None:
    began = time.monotonic()
    assert gate.denials.read(timeout=0.1) == []
    assert 0.09 < time.monotonic() - began < 5


def test_the_descriptor_can_be_polled(gate: Gate, emit: Emit) -> None:
    poll = select.poll()
    poll.register(gate.denials, select.POLLIN)
    assert poll.poll(0) == []
    emit(1)
    assert poll.poll(1000)
    gate.denials.read()
    assert poll.poll(0) == []


def test_a_new_consumer_goes_on_where_the_former_stopped(gate: Gate, emit: Emit) -> None:
    emit(10)
    gate.denials.read()
    emit(5, first=10)
    again = Ring(gate._maps["denials"])
    assert numbers(again.read()) == [10, 11, 12, 13, 14]
    again.close()


def test_a_producer_at_work_meanwhile_loses_nothing(gate: Gate, emit: Emit) -> None:
    total = 40_000
    written = []

    def produce() -> None:
        for first in range(0, total, 500):
            written.append(emit(500, size=61, first=first))

    producer = threading.Thread(target=produce)
    producer.start()
    seen: list[int] = []
    while producer.is_alive() or gate.denials.waiting:
        seen += numbers(gate.denials.read(timeout=0.05))
    producer.join()
    assert len(seen) == sum(written)
    assert len(seen) + gate.counters()["denials_lost"] == total
    assert seen == sorted(set(seen))


class Memory:
    """A ring in a file, so that a test can be the kernel."""

    name, id = "memory", 0

    class shape:  # noqa: N801 - stands for an attribute
        max_entries = mmap.PAGESIZE

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 3 * mmap.PAGESIZE)
        self.all = mmap.mmap(self.fd, 3 * mmap.PAGESIZE)

    def produced(self, position: int) -> None:
        struct.pack_into("=Q", self.all, mmap.PAGESIZE, position)

    def header(self, at: int, length: int) -> None:
        struct.pack_into("=II", self.all, 2 * mmap.PAGESIZE + at, length, 0)


def test_a_record_that_is_still_written_ends_the_reading_before_it() -> None:
    memory = Memory()
    ring = Ring(memory)  # type: ignore[arg-type]
    memory.header(0, 16)
    memory.header(24, 16 | 1 << 31)
    memory.header(48, 16)
    memory.produced(72)
    assert len(ring.read()) == 1
    assert ring.waiting == 48
    memory.header(24, 16 | 1 << 30)
    assert len(ring.read()) == 1
    assert ring.waiting == 0


ROW = np.dtype([("number", "<u8"), ("more", "<u8")])


def rows(memory: Memory, *lengths: int) -> RowRing:
    """A ring of rows with records of these lengths, numbered by their place."""
    at = 0
    for number, length in enumerate(lengths):
        memory.header(at, length)
        size = length & ~(3 << 30)
        struct.pack_into("=Q", memory.all, 2 * mmap.PAGESIZE + at + 8, number)
        at += (size + 8 + 7) & ~7
    memory.produced(at)
    return RowRing(memory, ROW)  # type: ignore[arg-type]


BUSY, DISCARD = 1 << 31, 1 << 30
CUT = [
    ((16, 16, 16), [0, 1, 2], 0),
    ((16, 16 | DISCARD, 16), [0, 2], 0),
    ((16, 8, 16, 16), [0, 2, 3], 1),
    ((16, 200, 16, 32), [0, 2], 2),
    ((8,), [], 1),
    ((16, 16 | BUSY, 16), [0], 0),
    ((16 | BUSY, 16), [], 0),
    ((8, 16, 16 | BUSY, 16), [1], 1),
]


@pytest.mark.parametrize(("lengths", "numbers", "malformed"), CUT)
def test_rows_are_read_whole_and_what_is_none_is_counted(
    lengths: tuple[int, ...], numbers: list[int], malformed: int
) -> None:
    ring = rows(Memory(), *lengths)
    found = ring.rows(ring.written)
    assert found["number"].tolist() == numbers
    assert ring.malformed == malformed
    assert bool(ring.waiting) == any(length & BUSY for length in lengths)


def test_rows_are_read_up_to_a_position_and_no_further() -> None:
    ring = rows(Memory(), 16, 16, 16)
    assert ring.rows(48)["number"].tolist() == [0, 1]
    assert ring.rows(48)["number"].tolist() == []
    assert ring.rows(ring.written)["number"].tolist() == [2]


@pytest.mark.parametrize("first", [0, 1, 168, 169, 170, 171, 340])
def test_rows_that_go_over_the_end_of_the_ring_are_read_whole(first: int) -> None:
    memory, stride, ring_size = Memory(), ROW.itemsize + 8, mmap.PAGESIZE
    for number in range(first, first + 100):
        record = struct.pack("=IIQQ", ROW.itemsize, 0, number, number << 32)
        for at, byte in enumerate(record, start=number * stride):
            memory.all[2 * mmap.PAGESIZE + at % ring_size] = byte
    memory.produced((first + 100) * stride)
    struct.pack_into("=Q", memory.all, 0, first * stride)
    found = RowRing(memory, ROW).rows((first + 100) * stride)  # type: ignore[arg-type]
    assert found["number"].tolist() == [*range(first, first + 100)]
    assert (found["more"] == found["number"] << 32).all()


def event(path: bytes, address: bytes = bytes(16), **fields: int | bytes) -> bytes:
    """One record as the programs write it."""
    return bytes(EVENT(**{"path_size": len(path), **fields}, address=(U8 * 16)(*address))) + path


def test_a_record_is_decoded() -> None:
    raw = event(
        b"/etc/\xff\x1b[2J",
        pid=7, operation=Operation.RENAME_TO, kind=EventKind.WOULD_DENY, comm=b"sh", flags=3,
        family=4, address=bytes([10, 0, 0, 1]) + bytes(12), port=443, rule=12,
    )  # fmt: skip
    seen = decode(raw + b"what lies behind the path")
    assert (seen.pid, seen.rule, seen.operation, seen.kind) == (
        7,
        12,
        Operation.RENAME_TO,
        EventKind.WOULD_DENY,
    )
    assert (seen.address, seen.port, seen.comm) == ("10.0.0.1", 443, "sh")
    assert seen.flags == EventFlag.FOREIGN | EventFlag.PATH_CUT
    assert os.fsencode(seen.path) == b"/etc/\xff\x1b[2J"


def test_a_v6_address_is_written_as_people_do() -> None:
    assert decode(event(b"", family=6, address=bytes(15) + b"\x01")).address == "::1"
    assert decode(event(b"")).address == ""


@pytest.mark.parametrize("size", [0, 1, SIZE - 1])
def test_a_record_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(GateError, match=f"has {size} bytes"):
        decode(bytes(size))


def test_a_record_that_is_shorter_than_its_path_is_refused() -> None:
    with pytest.raises(GateError, match="announces a path of 9 bytes and has 2"):
        decode(event(b"/a", path_size=9))
