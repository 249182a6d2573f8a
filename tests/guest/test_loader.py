"""The gate on real kernels: loaded whole, kept by its pins, upgraded without a gap, gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from policies import compile_documents, parse_text
from tests.guest.guest import Guest

POLICY = """\
apiVersion: menshen/v1
kind: Protection
metadata: {name: guarded}
spec:
  objects: ["/etc/guarded"]
  operations: [read, write]
  only: []
  mode: enforce
"""

PRELUDE = """\
import bpf_lsm, hashlib, json, os, subprocess, sys, threading, time
from pathlib import Path
from bpf_lsm import host, probe
from bpf_lsm.errors import GateError, LoadError
from bpf_lsm.gate import Gate, is_loaded

OBJECT = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
IMAGE = Path("/root/image").read_bytes()

def denied():
    try:
        Path("/etc/guarded").read_text()
    except PermissionError:
        return True
    return False

def answer(**what):
    print(json.dumps(what))
"""

AGENT = 0x6167656E74


@pytest.fixture
def host(guest: Guest) -> Guest:
    """A guest with a file to protect and an image that protects it."""
    guest.put("/etc/guarded", "secret\n")
    guest.put("/root/image", compile_documents(parse_text(POLICY)).image)
    return guest


def python(guest: Guest, code: str, timeout: float = 300) -> dict[str, Any]:
    """Run Python with the installed product in the guest; what it answered."""
    done = guest.run(["/opt/menshen/bin/python", "-"], input=PRELUDE + code, timeout=timeout)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_program_loads_on_this_kernel(host: Guest) -> None:
    said = python(
        host,
        "verdicts = probe.programs(OBJECT)\n"
        "refused = [[v.program, v.reason, v.tail] for v in verdicts if not v.loadable]\n"
        "answer(count=len(verdicts), refused=refused)",
    )
    assert said["refused"] == []
    assert said["count"] > 50


def test_a_gate_is_loaded_enforces_and_goes_without_a_trace(host: Guest) -> None:
    host.run("ls -A /sys/fs/bpf > /root/before")
    said = python(
        host,
        """
began = time.monotonic()
gate = Gate.load(OBJECT, version="test")
took = time.monotonic() - began
open_before = denied()
began = time.monotonic()
generation = gate.install(IMAGE)
swap = time.monotonic() - began
closed = denied()
tallies = gate.rule_tallies(64)["denied"].sum().item()
records = gate.denials.read(timeout=5)
from bpf_lsm.events import decode
event = decode(records[0])
labelled = gate.adopt_tasks({}, {os.getpid(): 77})
mine, first = gate.label_of(os.getpid()), gate.label_of(1)
gate.off()
answer(took=took, swap=swap, open_before=open_before, generation=generation, closed=closed, tallies=tallies,
       path=event.path, pid=event.pid == os.getpid(), event_generation=event.generation, labelled=labelled,
       mine=mine.identity, first=first.identity, after=denied(), loaded=is_loaded())
""",
    )
    assert not said["open_before"]
    assert said["closed"]
    assert not said["after"]
    assert not said["loaded"]
    assert said["generation"] == said["event_generation"] == 1
    assert (said["path"], said["pid"]) == ("/etc/guarded", True)
    assert said["tallies"] >= 1
    assert said["labelled"] > 5
    assert (said["mine"], said["first"]) == (77, 0)
    assert said["took"] < 60
    assert host.run("ls -A /sys/fs/bpf | diff /root/before -").stdout == ""


def test_enforcement_goes_on_when_the_loader_is_killed_and_is_taken_over(host: Guest) -> None:
    killed = host.run(
        ["/opt/menshen/bin/python", "-"],
        input=PRELUDE + "gate = Gate.load(OBJECT); gate.install(IMAGE); os.kill(os.getpid(), 9)",
        check=False,
        timeout=300,
    )
    assert killed.status == -9
    assert host.run("cat /etc/guarded", check=False).status == 1
    said = python(
        host,
        """
gate = Gate.adopt()
held = denied()
generation, image = gate.generation, gate.image()
again = gate.install(IMAGE)
gate.off()
answer(held=held, generation=generation, same=image[48:] == IMAGE[48:], again=again, after=denied())
""",
    )
    assert said == {"held": True, "generation": 1, "same": True, "again": 2, "after": False}


def test_an_upgrade_leaves_no_gap(host: Guest) -> None:
    said = python(
        host,
        """
gate = Gate.load(OBJECT)
gate.install(IMAGE)
stop, results = threading.Event(), []
def look():
    while not stop.is_set():
        results.append(denied())
looker = threading.Thread(target=look)
looker.start()
for version in ("2", "3", "4"):
    gate.upgrade(OBJECT, version=version)
stop.set()
looker.join()
version, still = gate.metadata()["version"], denied()
gate.off()
answer(looks=len(results), passed=results.count(False), version=version, still=still, after=denied())
""",
        timeout=600,
    )
    assert said["looks"] > 100
    assert said["passed"] == 0
    assert (said["version"], said["still"], said["after"]) == ("4", True, False)


def test_a_program_is_who_its_digest_says_from_its_first_instruction(host: Guest) -> None:
    """One program of the hook looks its digest up in the catalogue, the next one uses what it found."""
    said = python(
        host,
        """
gate = Gate.load(OBJECT)
gate.install(IMAGE)
digest = hashlib.sha256(Path("/bin/sleep").read_bytes()).digest()
gate.set_credentials({digest: 4711})
found = []
for change in ({}, {digest: 4712}):
    gate.set_credentials(change)
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    time.sleep(0.5)
    found.append(gate.label_of(sleeper.pid).identity)
    sleeper.kill()
    sleeper.wait()
gate.set_credentials({}, remove=[digest])
sleeper = subprocess.Popen(["/bin/sleep", "60"])
time.sleep(0.5)
found.append(gate.label_of(sleeper.pid).identity)
sleeper.kill()
gate.off()
answer(found=found)
""",
    )
    assert said["found"] == [4711, 4712, 0]


def test_an_armed_guard_lets_nobody_but_the_agent_through(host: Guest) -> None:
    said = python(
        host,
        f"""
gate = Gate.load(OBJECT)
gate.install(IMAGE)
gate.adopt_tasks({{}}, {{os.getpid(): {AGENT}}})
gate.arm_guard({AGENT})
TRY = "from bpf_lsm.gate import Gate; Gate.adopt()"
stranger = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True)
held = denied()
gate.upgrade(OBJECT)
again = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True)
gate.off()
said = [done.stderr[-300:] for done in (stranger, again)]
answer(said=said, held=held, after=denied(), loaded=is_loaded())
""",
        timeout=600,
    )
    assert all("Operation not permitted" in stderr for stderr in said["said"])
    assert (said["held"], said["after"], said["loaded"]) == (True, False, False)


def test_without_bpf_among_the_security_modules_nothing_is_loaded(
    another_guest: Callable[..., Guest],
) -> None:
    other = another_guest(lsm="lockdown,yama,apparmor")
    other.put("/root/image", b"")
    said = python(
        other,
        """
try:
    Gate.load(OBJECT)
except GateError as error:
    answer(said=str(error), loaded=is_loaded())
""",
    )
    assert "BPF LSM is off" in said["said"]
    assert "add lsm=" in said["said"]
    assert not said["loaded"]
