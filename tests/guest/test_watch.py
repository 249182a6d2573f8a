"""The watch's programs on functions, on real kernels: exact counts, canonical paths, sessions."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bpf_lsm.observation import Flag, Type
from tests.guest.guest import Guest
from tests.unit.bpf_lsm.generator import KINDS, URING, Kind, compiled

GENERATOR = "/usr/local/bin/menshen-events"
FOLDER = "/var/events"

# Runs in the guest: each kind in turn, and what the records of its process said.
INSIDE = """
import json, os, shutil, subprocess, sys, time
import numpy as np
from bpf_lsm.observation import Type
from bpf_lsm.watch import Watch

GENERATOR, FOLDER = sys.argv[1:3]
watch = Watch.load(log_path=None)
watch.start()
watch.watch_reads([FOLDER.encode() + b"/file-0"])
strings = {}

def take():
    parts = []
    while len((raw := watch.read()).records) or raw.strings:
        strings.update((number, value) for number, value, _ in raw.strings)
        parts.append(raw.records)
    return np.concatenate(parts) if parts else raw.records

def text(number):
    return os.fsdecode(strings.get(int(number), b""))

seen = {}
for kind in json.loads(sys.stdin.read()):
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    words = [GENERATOR, kind["word"], str(kind["count"]), FOLDER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        take()
        process.communicate(b"\\n")
    fresh = take()
    exes = [number for number, value in strings.items() if value == GENERATOR.encode()]
    found = fresh[(fresh["type"] == kind["type"]) & np.isin(fresh["exe"], exes)]
    one = found[0] if len(found) else None
    seen[kind["word"]] = {
        "status": process.returncode,
        "count": len(found),
        "results": sorted(set(found["result"].tolist())),
        "sessions": len(set(found["session"].tolist())),
        "pids": sorted(set(found["pid"].tolist())) == [process.pid],
    } | ({} if one is None else {
        "detail": int(one["detail"]), "path": text(one["path"]), "path2": text(one["path2"]),
        "flags": int(one["flags"]), "inode": int(one["inode"]), "port": int(one["port"]),
        "address": one["address"].tobytes().hex(), "family": int(one["family"]),
    })
file = subprocess.run(["modinfo", "-n", "dummy"], check=True, capture_output=True, text=True).stdout.strip()
subprocess.run(["modprobe", "dummy"], check=True)
fresh = take()
modules = [(text(one["path"]), int(one["detail"])) for one in fresh[fresh["type"] == Type.MODULE]]
watch.set_types([])
time.sleep(0.1)
counters = watch.counters()
print(json.dumps({
    "source": watch.source.name, "missing": watch.source.missing, "seen": seen,
    "modules": modules, "file": file,
    "meters": {meter.name: value for meter, value in counters.meters.items()},
    "missed": sum(counters.missed.values()), "malformed": counters.malformed,
    "unbalanced": [one.name for one, row in counters.tallies.items() if 2 * row[0] != sum(row.values())],
}))
"""


def python(guest: Guest, code: str, *arguments: str, input: str = "") -> dict[str, Any]:
    """Run Python with the installed product in the guest; what it answered last."""
    guest.put("/root/inside.py", code)
    command = ["/opt/menshen/bin/python", "/root/inside.py", *arguments]
    done = guest.run(command, input=input, timeout=400, check=False)
    assert done.status == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def seen(module_guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One guest, one load, all kinds."""
    program = compiled(tmp_path_factory.mktemp("generator"))
    module_guest.put(GENERATOR, program.read_bytes(), 0o755)
    kinds = json.dumps([dataclasses.asdict(kind) for kind in (*KINDS, *URING)])
    return python(module_guest, INSIDE, GENERATOR, FOLDER, input=kinds)


def test_this_kernel_takes_the_programs_on_functions(seen: dict[str, Any]) -> None:
    assert seen["source"] == "functions"
    assert [one for one in seen["missing"] if "32-bit" not in one and " " not in one] == []


@pytest.mark.parametrize("kind", [*KINDS, *URING], ids=lambda kind: kind.word)
def test_exactly_as_many_arrive_as_there_were(seen: dict[str, Any], kind: Kind) -> None:
    found = seen["seen"][kind.word]
    assert found["status"] == 0
    assert found["count"] == kind.count, found
    if kind.detail is not None:
        assert found["detail"] == kind.detail
    if kind.result is not None:
        assert found["results"] == [kind.result]
    assert found["path"] == kind.path.format(folder=FOLDER, exe=GENERATOR)
    assert found["sessions"] == (kind.count if kind.word == "login" else 1)
    assert found["pids"] == (kind.word != "exec")
    if kind.type in {Type.FILE_DELETE, Type.FILE_RENAME, Type.FILE_LINK, Type.FILE_CHMOD, Type.MOUNT}:
        assert not Flag(found["flags"]) & Flag.GIVEN, "the path is canonical"


def test_a_module_is_named_as_it_is_loaded(seen: dict[str, Any]) -> None:
    in_memory = not seen["file"].endswith(".ko")  # a compressed one is unpacked first
    assert seen["modules"] == [["dummy", int(in_memory)]]


def test_nothing_was_lost_or_passed_over(seen: dict[str, Any]) -> None:
    assert seen["unbalanced"] == []
    assert (seen["missed"], seen["malformed"]) == (0, 0)
    assert (seen["meters"]["GAPS"], seen["meters"]["NO_MEMORY"]) == (0, 0)


def test_both_names_of_a_rename_and_of_a_link_are_canonical(seen: dict[str, Any]) -> None:
    for word in ("file-rename", "file-link", "symlink"):
        assert seen["seen"][word]["path2"] == f"{FOLDER}/other-0"
        assert seen["seen"][word]["inode"] > 0
    assert seen["seen"]["file-delete"]["inode"] > 0


def test_addresses_and_ports_are_those_of_the_call(seen: dict[str, Any]) -> None:
    for word in ("connect", "sendto", "sendmsg"):
        found = seen["seen"][word]
        assert (found["address"][:8], found["port"], found["family"]) == ("7f000001", 9, 4)
    assert seen["seen"]["connect6"]["address"] == "0" * 31 + "1"
    assert seen["seen"]["bind"]["port"] > 1023, "the port that port 0 became"
