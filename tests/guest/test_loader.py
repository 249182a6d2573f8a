"""The gate on real kernels: loaded whole, kept by its pins, upgraded without a gap, gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policies import compile_documents, parse_text
from tests.guest.guest import Guest
from tests.guest.host import run

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
from bpf_lsm.errors import GateError
from bpf_lsm.events import decode
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
    print(json.dumps(what), flush=True)
"""

# A kernel may lack these: another hook does the same there.
OPTIONAL = {"inode_set_acl", "inode_remove_acl", "inode_file_setattr", "file_truncate", "file_ioctl_compat"}

SWAPS = 200

LOOP = """\
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile int over;
static void end(int number) { over = number; }

int main(void)
{
	unsigned long counts[2] = { 0 };

	signal(SIGTERM, end);
	while (!over) {
		int file = open("/etc/plain", O_RDONLY);

		counts[file < 0]++;
		close(file);
	}
	printf("%lu %lu\\n", counts[0], counts[1]);
}
"""

AGENT = 0x6167656E74


def python(guest: Guest, code: str, *, status: int = 0, timeout: float = 600) -> dict[str, Any]:
    """Run Python with the installed product in the guest; what it answered last."""
    command = ["/opt/menshen/bin/python", "-"]
    done = guest.run(command, input=PRELUDE + code, timeout=timeout, check=False)
    assert done.status == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def loaded(module_guest: Guest) -> tuple[Guest, dict[str, Any]]:
    """A guest in which a gate was loaded by a process that was killed right after; and what that one saw."""
    module_guest.put("/etc/guarded", "secret\n")
    module_guest.put("/root/image", compile_documents(parse_text(POLICY)).image)
    seen = python(
        module_guest,
        """
before = os.listdir("/sys/fs/bpf")
gate = Gate.load(OBJECT, version="one")
open_without_image = not denied()
generation = gate.install(IMAGE)
answer(before=before, open=open_without_image, generation=generation, note=gate.metadata())
os.kill(os.getpid(), 9)
""",
        status=-9,
    )
    module_guest.snapshot("loaded")
    return module_guest, seen


@pytest.fixture
def host(loaded: tuple[Guest, dict[str, Any]]) -> Guest:
    """That guest, as it was then."""
    loaded[0].restore("loaded")
    return loaded[0]


def test_every_program_is_attached_on_this_kernel(loaded: tuple[Guest, dict[str, Any]]) -> None:
    note = loaded[1]["note"]
    assert len(note["programs"]) > 50
    assert set(note["missing"]) <= OPTIONAL
    assert {"activate", "touch_catalogue", "adopt"} <= set(note["called"])
    assert loaded[1]["open"], "without an image everything is allowed"
    assert loaded[1]["generation"] == 1


def test_enforcement_goes_on_without_its_loader_and_ends_without_a_trace(
    host: Guest, loaded: tuple[Guest, dict[str, Any]]
) -> None:
    assert host.run("cat /etc/guarded", check=False).status == 1
    said = python(
        host,
        """
try:
    Gate.load(OBJECT)
except GateError as error:
    second = str(error)
gate = Gate.adopt()
gate.denials.read()
held, image = denied(), gate.image()
event = decode(gate.denials.read(timeout=5)[-1])
tallies = sum(denied for denied, _ in gate.rule_tallies(64).values())
unlabelled = gate.label_of(1)
labelled = gate.adopt_tasks({}, {1: 77})
first, mine = gate.label_of(1).identity, gate.label_of(os.getpid()).identity
generation = gate.install(IMAGE)
swapped = denied()
gate.uninstall()
lifted = not denied()
gate.off()
answer(second=second, held=held, same=image[48:] == IMAGE[48:], path=event.path, rule=event.rule,
       seen=[event.pid == os.getpid(), event.generation], tallies=tallies, labelled=labelled, mine=mine,
       unlabelled=unlabelled is None, first=first, generation=generation,
       swapped=swapped, lifted=lifted, left=os.listdir("/sys/fs/bpf"))
""",
    )
    assert "menshen off" in said["second"]
    assert said["held"]
    assert said["same"]
    assert (said["path"], said["seen"]) == ("/etc/guarded", [True, 1])
    assert said["rule"] > 0
    assert said["tallies"] >= 2
    assert said["labelled"] > 5
    assert said["unlabelled"]
    assert (said["first"], said["mine"]) == (77, 0)
    assert said["generation"] == 2
    assert said["swapped"]
    assert said["lifted"]
    assert said["left"] == loaded[1]["before"]


def test_a_program_is_who_its_digest_says_from_its_first_instruction(host: Guest) -> None:
    """One program of the hook looks its digest up in the catalogue, the next one uses what it found."""
    said = python(
        host,
        """
gate = Gate.adopt()
digest = hashlib.sha256(Path("/bin/sleep").read_bytes()).digest()
found = []
for add, remove in (({digest: 4711}, ()), ({digest: 4712}, ()), ({}, [digest])):
    gate.set_credentials(add, remove)
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    time.sleep(0.5)
    found.append(gate.label_of(sleeper.pid).identity)
    sleeper.kill()
    sleeper.wait()
answer(found=found)
""",
    )
    assert said["found"] == [4711, 4712, 0]


def test_a_program_that_two_tasks_start_in_the_same_instant_is_known_to_both(host: Guest) -> None:
    """Both find no digest with the file, and only one of them can attach one.

    A guest's processors take turns, so that instant is seldom met: without the second look it passes too.
    """
    said = python(
        host,
        """
gate = Gate.adopt()
program = Path("/bin/cat").read_bytes()
gate.set_credentials({hashlib.sha256(program).digest(): 4711}, ())
barrier, found = threading.Barrier(2), []

def start(path):
    barrier.wait()
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        cat.stdin.write(b"x\\n")
        cat.stdin.flush()
        cat.stdout.readline()  # it runs
        found.append(gate.label_of(cat.pid).identity)
        cat.stdin.close()

for number in range(100):
    path = Path("/root/both")
    path.write_bytes(program)
    path.chmod(0o755)
    starters = [threading.Thread(target=start, args=(path,)) for _ in range(2)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    path.unlink()
answer(found=found)
""",
    )
    assert said["found"] == [4711] * 200


def test_what_cannot_be_hashed_has_no_identity_and_is_counted(host: Guest) -> None:
    """A library that is open for writing, and one in memory, which can change behind our back."""
    said = python(
        host,
        """
import mmap
gate = Gate.adopt()
Path("/root/written").write_bytes(bytes(4096))

def counted(file):
    before = gate.counters()
    mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    after = gate.counters()
    return [after[name] - before[name] for name in ("hashed", "not_hashed", "untrusted_fs")]

with Path("/root/written").open("rb") as read:
    with Path("/root/written").open("r+b"):
        written = counted(read)
    closed, known = counted(read), counted(read)
with os.fdopen(os.memfd_create("code"), "r+b") as memory:
    memory.truncate(4096)
    foreign = counted(memory)
answer(written=written, closed=closed, known=known, foreign=foreign)
""",
    )
    assert said == {"written": [0, 1, 0], "closed": [1, 0, 0], "known": [0, 0, 0], "foreign": [0, 0, 1]}


def test_a_swap_mixes_no_class_of_one_image_into_the_other(host: Guest, tmp_path: Path) -> None:
    """A file that is opened in the instant of a swap, whose class has another number before and after it."""
    (tmp_path / "loop.c").write_text(LOOP)
    run(["clang", "-O2", "-static", tmp_path / "loop.c", "-o", tmp_path / "loop"])
    host.put("/root/loop", (tmp_path / "loop").read_bytes(), 0o755)
    host.put("/etc/plain", "anything\n")
    plain = POLICY.replace("guarded", "plain").replace("[read, write]", "[write]")
    host.put("/root/one", compile_documents(parse_text(f"{POLICY}---\n{plain}")).image)
    more = POLICY.replace("guarded", "above")
    host.put("/root/other", compile_documents(parse_text(f"{POLICY}---\n{plain}---\n{more}")).image)
    said = python(
        host,
        f"""
gate = Gate.adopt()
images = [Path(name).read_bytes() for name in ("/root/one", "/root/other")]
gate.install(images[1])
loop = subprocess.Popen(["/root/loop"], stdout=subprocess.PIPE, text=True)
guarded = plain = 0
for swap in range({SWAPS}):
    gate.install(images[swap % 2])
    guarded += denied()
    try:
        plain += bool(Path("/etc/plain").read_text())
    except PermissionError:
        pass
loop.terminate()
answer(guarded=guarded, plain=plain, loop=[*map(int, loop.communicate()[0].split())])
""",
    )
    opened, refused = said["loop"]
    assert opened > SWAPS
    assert (said["guarded"], said["plain"], refused) == (SWAPS, SWAPS, 0)


def test_an_upgrade_under_guard_leaves_no_gap_and_lets_no_stranger_through(host: Guest) -> None:
    said = python(
        host,
        f"""
gate = Gate.adopt()
gate.adopt_tasks({{}}, {{os.getpid(): {AGENT}}})
gate.arm_guard({AGENT})

def stranger():
    code = "from bpf_lsm.gate import Gate; Gate.adopt()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr[-300:]

strangers, stop, looks = [stranger()], threading.Event(), []
def look():
    while not stop.is_set():
        looks.append(denied())
        time.sleep(0.001)

looker = threading.Thread(target=look)
looker.start()
gate.upgrade(OBJECT, version="two")
stop.set()
looker.join()
strangers.append(stranger())
version, still = gate.metadata()["version"], denied()
gate.off()
answer(strangers=strangers, looks=len(looks), passed=looks.count(False), version=version, still=still,
       after=denied(), loaded=is_loaded())
""",
    )
    assert all("Operation not permitted" in stderr for stderr in said["strangers"])
    assert said["looks"] > 100
    assert said["passed"] == 0
    assert (said["version"], said["still"]) == ("two", True)
    assert (said["after"], said["loaded"]) == (False, False)


def test_without_bpf_among_the_security_modules_nothing_is_loaded(
    kernel: str, another_guest: Callable[..., Guest]
) -> None:
    if kernel != "6.12":
        pytest.skip("a boot for itself: one kernel answers for all")
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
