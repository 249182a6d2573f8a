"""Never a gap: what is forbidden is tried on every processor all the time, while whoever holds the gate is
killed at any moment, policies are swapped and programs upgraded, and these are cut off after each step.

An upgrade has a thousand steps, and nearly all of its time is the verifier's: minutes in an emulated guest.
So it is done and cut off now and then with all programs, and at every step and often with few of them:
loading, attaching, pinning and exchanging are the same code, once for each program.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from policies import compile_documents, parse_text
from tests.guest.guest import Guest
from tests.guest.test_loader import POLICY, python

GAP = os.environ.get("MENSHEN_GAP", "")
SMALL, WHOLE = "6,30,1,2;0,0,1,10", "200,200,2,6;0,0,50,9999"
COUNTS = {"whole": WHOLE, "": SMALL, "1": SMALL}.get(GAP, GAP)
"""Kills, swaps, upgrades, and upgrades that are cut off, each at another step; then with few programs."""
ALL, FEW = "all", "few"
NUMBERS = {
    which: [*map(int, each.split(","))] for which, each in zip((ALL, FEW), COUNTS.split(";"), strict=True)
}

FIRST = int(os.environ.get("MENSHEN_GAP_FROM", "0"))
"""Upgrades are cut off at steps one after another from this one on, so that a long run can be done in parts;
0: at steps spread over the whole upgrade."""

SECONDS = 900 if COUNTS == SMALL else 24 * 3600

pytestmark = [
    pytest.mark.timeout(SECONDS + 600),
    pytest.mark.skipif(
        not (os.environ.get("MENSHEN_NIGHTLY") or GAP),
        reason="takes minutes: `make nightly`, or MENSHEN_NIGHTLY=1; MENSHEN_GAP=whole for hours of it, "
        "or MENSHEN_GAP='KILLS,SWAPS,UPGRADES,CUTS;KILLS,SWAPS,UPGRADES,CUTS'",
    ),
]

LOOP = """\
import os, signal, sys
counts, going = [0, 0], True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
while going:
    try:
        os.close(os.open("/etc/guarded", os.O_RDONLY))
        counts[1] += 1
    except PermissionError:
        counts[0] += 1
print(*counts)
"""

HOLDER = """\
import itertools, os, signal, sys
from pathlib import Path
import bpf_lsm
from bpf_lsm import libbpf, pins
from bpf_lsm.gate import Gate
from bpf_lsm.kernel_map import KernelMap
sys.path.insert(0, "/root")
import few

which, what, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
few.choose(which)
steps = itertools.count(1)
def cut(function):
    def step(*arguments, **options):
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

OBJECT = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
gate = Gate.adopt()
for owner, names in ((libbpf, ["call", "run"]), (KernelMap, ["update", "delete"]), (pins, ["_exchange"]),
                     (os, ["mkdir", "rmdir", "rename", "unlink", "replace", "close"])):
    for name in names:
        setattr(owner, name, cut(getattr(owner, name)))
image = Path("/root/image").read_bytes()
if what == "swap":
    gate.install(image)
elif what == "upgrade":
    gate.upgrade(OBJECT, version="next")
while what == "forever":
    gate.install(image)
print(next(steps) - 1)
"""

FEWER = """\
from bpf_lsm.bpf_object import BpfObject

NAMES = {"file_open", "task_kill", "rename_begins", "rename_ends"}
NAMES |= {"activate", "touch_catalogue", "touch_tree", "claim", "adopt"}
opened = BpfObject.__init__

def fewer(self, path):
    opened(self, path)
    for program in self.programs.values():
        program.autoload(False)
    self.programs = {name: program for name, program in self.programs.items() if name in NAMES}

def choose(which):
    if which == "few":
        BpfObject.__init__ = fewer
"""

RUN = """
import random, signal
from itertools import pairwise
sys.path.insert(0, "/root")
import few
which, kills, swaps, upgrades, cuts, first = json.loads(Path("/root/counts").read_text())
few.choose(which)
marks = [time.monotonic()]
gate = Gate.load(OBJECT, version="one", capacity=65536)
gate.install(IMAGE)
gate.close()
loops = [
    subprocess.Popen(
        ["nice", "-n", "10", "taskset", "-c", str(cpu), sys.executable, "/root/loop.py"],
        stdout=subprocess.PIPE,
    )
    for cpu in range(os.cpu_count())
]

def hold(what, last=0):
    command = [sys.executable, "/root/holder.py", which, what, str(last)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -9), done.stderr
    return int(done.stdout) if done.returncode == 0 else 0

for _ in range(kills):
    holder = subprocess.Popen([sys.executable, "/root/holder.py", which, "forever", "0"])
    time.sleep(0.3 + 2 * random.random())
    holder.kill()
    holder.wait()
marks.append(time.monotonic())
gate = Gate.adopt()
for _ in range(swaps):
    gate.install(IMAGE)
gate.close()
marks.append(time.monotonic())
steps = {"swap": hold("swap"), "upgrade": hold("upgrade")}
for last in range(1, steps["swap"] + 1):
    hold("swap", last)
end = steps["upgrade"] + 1
step = max(1, steps["upgrade"] // max(1, cuts))
tried = [hold("upgrade", last)
         for last in (range(first, min(first + cuts, end)) if first else range(step, end, step))]
marks.append(time.monotonic())
for _ in range(upgrades):
    hold("upgrade")
marks.append(time.monotonic())
for loop in loops:
    loop.send_signal(signal.SIGTERM)
counts = [[int(word) for word in loop.communicate()[0].split()] for loop in loops]
gate = Gate.adopt()
held = len(gate.metadata()["programs"])
version, generation = gate.metadata()["version"], gate.generation
gate.off()
answer(counts=counts, steps=steps, cut=tried.count(0), programs=held, version=version,
       generation=generation, after=denied(), folders=os.listdir("/sys/fs/bpf"),
       seconds=dict(zip(("kills", "swaps", "cuts", "upgrades"), (round(b - a) for a, b in pairwise(marks)))))
"""


@pytest.fixture(scope="module", params=[ALL, FEW])
def found(module_guest: Guest, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the loops counted, and how the gate was found afterwards."""
    which = request.param
    module_guest.put("/etc/guarded", "secret\n")
    module_guest.put("/root/image", compile_documents(parse_text(POLICY), capacity=65536).image)
    module_guest.put("/root/loop.py", LOOP)
    module_guest.put("/root/holder.py", HOLDER)
    module_guest.put("/root/few.py", FEWER)
    module_guest.put("/root/counts", json.dumps([which, *NUMBERS[which], FIRST]))
    found: dict[str, Any] = python(module_guest, RUN, timeout=SECONDS)
    print(
        which,
        NUMBERS[which],
        FIRST,
        {name: found[name] for name in ("counts", "programs", "steps", "cut", "seconds")},
    )
    return {**found, "which": which}


def test_nothing_that_is_forbidden_ever_succeeds(found: dict[str, Any]) -> None:
    assert [succeeded for _, succeeded in found["counts"]] == [0] * len(found["counts"])
    assert all(refused > 1000 for refused, _ in found["counts"])


def test_every_step_of_a_swap_and_steps_of_an_upgrade_were_cut_off(found: dict[str, Any]) -> None:
    assert found["steps"]["swap"] > 3
    assert found["steps"]["upgrade"] > {ALL: 200, FEW: 50}[found["which"]]
    *_, cuts = NUMBERS[found["which"]]
    assert found["cut"] >= min(cuts, found["steps"]["upgrade"] - max(FIRST, 1) + 1)


def test_the_gate_is_whole_after_all_of_it_and_ends_without_a_trace(found: dict[str, Any]) -> None:
    assert found["version"] == "next"
    assert found["programs"] == 4 if found["which"] == FEW else found["programs"] > 60
    assert found["generation"] > NUMBERS[found["which"]][1]
    assert "menshen" not in found["folders"]
    assert not found["after"]
