"""What is held: the records, and the iterators themselves on this machine's kernel."""

from __future__ import annotations

import mmap
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpf_lsm import held, libbpf, tasks
from bpf_lsm.bpf_object import BpfObject
from bpf_lsm.control import Control
from bpf_lsm.errors import GateError, LoadError
from bpf_lsm.events import SIZE, Event
from bpf_lsm.kernel_map import KernelMap
from bpf_lsm.layout import EventKind, Operation
from policies import compile_documents, parse_text
from policies.image import Right
from policies.names import identity_id
from tests.unit.bpf_lsm.compiling import OBJECT
from tests.unit.enforcer.fakes import record

POLICY = """\
apiVersion: menshen/v1
kind: Policy
metadata: {{name: holder}}
spec:
  subject: {{identity: test/holder}}
  mode: enforce
  files:
    - {{allow: [read], paths: ["/**"]}}
    - {{deny: [read, write], paths: ["{folder}/*"], mode: audit}}
    - {{deny: [append], paths: ["{folder}/*"]}}
    - {{allow: [write], paths: ["/dev/null", "/proc/self/*"]}}
    - {{allow: [map-exec], paths: ["/**"], unsigned: true}}
  network:
    - {{allow: listen, ports: [0, {accepted}]}}
"""

HOLDER = """\
import mmap, os, socket, sys
folder = sys.argv[1]
read = os.open(folder + "/read", os.O_RDONLY)
append = os.open(folder + "/append", os.O_WRONLY | os.O_APPEND)
shared = os.open(folder + "/mapped", os.O_RDWR)
memory = mmap.mmap(shared, 4096, mmap.MAP_SHARED)  # which keeps a descriptor of its own
mapped = os.stat(folder + "/mapped").st_ino
kept = next(number for number in range(3, 20) if number != shared and os.fstat(number).st_ino == mapped)
os.close(shared)
own = os.open("/proc/self/comm", os.O_RDWR)
null = os.open("/dev/null", os.O_RDWR)
out = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
listener = socket.socket(fileno=int(sys.argv[3]))
accepted, _ = listener.accept()
pipes = os.pipe()
print(read, append, kept, out.fileno(), flush=True)
sys.stdin.read()
"""


def of(operation: Operation, path: bytes = b"/a", **fields: int) -> bytes:
    """As an iterator writes it: nothing fills it up to eight bytes."""
    raw = record(path, operation=operation, **fields)
    return raw[: SIZE + len(path)]


# Records


def test_records_follow_each_other_without_a_gap() -> None:
    said = (
        of(Operation.HOLD, b"/etc/shadow", detail=7) + of(Operation.HOLD, b"", detail=9) + of(Operation.HOLD)
    )
    assert [(one.detail, one.path) for one in held.records(said)] == [(7, "/etc/shadow"), (9, ""), (0, "/a")]
    assert held.records(b"") == []


@pytest.mark.parametrize(
    "said",
    [of(Operation.HOLD)[:-1], of(Operation.HOLD)[:100], of(Operation.OPEN)],
    ids=["path", "header", "open"],
)
def test_a_record_that_is_cut_or_of_something_else_is_an_error(said: bytes) -> None:
    with pytest.raises(GateError):
        held.records(said)


def test_several_mappings_of_one_file_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped(right: int, pid: int = 5) -> bytes:
        return of(Operation.HOLD_MAPPED, inode=3, right=right, pid=pid)

    said = {1: of(Operation.HOLD) + of(Operation.HOLD), 2: mapped(2) + mapped(2) + mapped(10) + mapped(2, 6)}
    monkeypatch.setattr(libbpf, "read_iterator", said.get)
    assert [(one.pid, one.right) for one in held.read(1, 2)][2:] == [(5, 2), (5, 10), (6, 2)]


# The iterators


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[dict[str, KernelMap], dict[str, int]]]:
    """The programs of the gate that are called, and its maps."""
    called = ("adopt", "held_descriptors", "held_mappings", "activate")
    with BpfObject(OBJECT) as opened:
        for program in opened.programs.values():
            program.autoload(program.name in called)
        try:
            opened.load()
        except LoadError as error:
            pytest.skip(f"iterators cannot be loaded here: {error.reason}")
        maps = {entry.name: entry.fd for entry in opened.maps.values()}
        programs = {name: opened.programs[name].fd for name in called}
    yield {name: KernelMap(fd, name) for name, fd in maps.items()}, programs
    for fd in (*maps.values(), *programs.values()):
        os.close(fd)


def test_exactly_what_may_not_be_held_is_found(
    loaded: tuple[dict[str, KernelMap], dict[str, int]], tmp_path: Path
) -> None:
    maps, programs = loaded
    for name in ("read", "append", "mapped"):
        (tmp_path / name).write_bytes(b"x" * mmap.PAGESIZE)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as theirs:
        command = [sys.executable, "-c", HOLDER, str(tmp_path)]
        command += [str(server.getsockname()[1]), str(theirs.fileno())]
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
                text=True,
                pass_fds=[theirs.fileno()],
            ) as holder,
            socket.create_connection(theirs.getsockname()),
        ):
            assert holder.stdout is not None
            read, append, kept, out = map(int, holder.stdout.readline().split())
            text = POLICY.format(folder=tmp_path, accepted=theirs.getsockname()[1])
            control = Control(maps["control"])
            control["init_mnt_ns"] = Path("/proc/self/ns/mnt").stat().st_ino & 0xFFFFFFFF
            image = compile_documents(parse_text(text)).image
            slot = bytearray(maps["slots"].shape.value_size)
            slot[: len(image)] = image
            maps["slots"].update(struct.pack("=I", 0), slot)
            tasks.adopt(maps, programs["adopt"], {}, {holder.pid: identity_id("test/holder")})
            libbpf.run(programs["activate"], struct.pack("=I", 0))
            found = held.read(programs["held_descriptors"], programs["held_mappings"])
            libbpf.run(programs["activate"], struct.pack("=I", 2))
            holder.kill()
        mine = [one for one in found if one.pid == holder.pid]
        assert {_told(one) for one in mine} == {
            (Operation.HOLD, read, Right.READ, f"{tmp_path}/read", EventKind.WOULD_DENY),
            (Operation.HOLD, append, Right.APPEND, f"{tmp_path}/append", EventKind.DENIAL),
            (Operation.HOLD, kept, Right.WRITE, f"{tmp_path}/mapped", EventKind.DENIAL),
            (Operation.HOLD_MAPPED, 0, Right.WRITE, f"{tmp_path}/mapped", EventKind.DENIAL),
            (Operation.HOLD, out, Right.CONNECT, f"127.0.0.1:{server.getsockname()[1]}", EventKind.DENIAL),
        }
        assert {one.subject for one in mine} == {identity_id("test/holder")}
        assert len(mine) == len(found), "nobody else is bound"


def _told(one: Event) -> tuple[Operation, int, Right, str, EventKind]:
    what = f"{one.address}:{one.port}" if one.address else one.path
    return one.operation, one.detail, Right(one.right), what, one.kind
