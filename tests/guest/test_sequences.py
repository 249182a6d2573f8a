"""Sequences that block, on real kernels: the last step is denied before it happens, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies import compile_documents, parse_text
from tests.guest.guest import Guest
from tests.guest.test_loader import PRELUDE

SEQUENCE = """\
apiVersion: menshen/v1
kind: Sequence
metadata: {name: download-run-scan}
spec:
  title: A file of a temporary folder was made executable, run, and several internal ports were tried
  level: high
  key: session
  within: 30m
  mode: block
  steps:
    - {name: download, tag: temp-write, kernel: {operation: write, paths: ["/tmp/**", "/dev/shm/**"]}}
    - {name: ready, tag: chmod, kernel: {operation: chmod, paths: ["/tmp/**", "/dev/shm/**"]}}
    - {name: package, tag: dpkg, absent: true, kernel: {operation: write, paths: ["/var/lib/dpkg/**"]}}
    - {name: run, tag: exec, kernel: {operation: execute, paths: ["/tmp/**", "/dev/shm/**"]}}
    - name: scan
      tag: connect
      count: 3
      distinct: port
      within: 5m
      kernel: {operation: connect, to: {cidr: 127.0.0.0/8}}
"""

ACTOR = """\
#!/bin/sh
# a session of its own: somebody logs in
echo 1000 > /proc/self/loginuid
exec /opt/menshen/bin/python -S - "$@"
"""

STORY = """\
import os, subprocess, sys
folder, *ports = sys.argv[1:]
tool = folder + "/tool"
with open(tool, "w") as file:
    file.write(TOOL)
os.chmod(tool, 0o755)
for line in BETWEEN:
    exec(line)
print(subprocess.run([tool, *ports], capture_output=True, text=True, check=True).stdout)
"""

TOOL = """\
#!/opt/menshen/bin/python -S
import errno, socket, sys
found = []
for port in sys.argv[1:]:
    with socket.socket() as peer:
        found.append(errno.errorcode[peer.connect_ex(("127.0.0.1", int(port)))])
print(" ".join(found))
"""

DENIED, DONE = "EPERM", "ECONNREFUSED"


@pytest.fixture(scope="module")
def loaded(module_guest: Guest) -> Guest:
    """A guest with the gate loaded and the sequence in force."""
    module_guest.put("/root/image", compile_documents(parse_text(SEQUENCE)).image)
    module_guest.put("/root/actor", ACTOR)
    module_guest.run("chmod 755 /root/actor; mkdir -p /opt/work; ip link set lo up")
    ask(
        module_guest,
        """
gate = Gate.load(OBJECT, version="one")
gate.install(IMAGE)
answer(adopted=gate.adopt_tasks({}, {}))
""",
    )
    module_guest.snapshot("in-force")
    return module_guest


@pytest.fixture
def host(loaded: Guest) -> Guest:
    """That guest, as it was then."""
    loaded.restore("in-force")
    return loaded


def ask(guest: Guest, code: str) -> dict[str, Any]:
    """Run Python with the installed product in the guest; what it answered last."""
    done = guest.run(["/opt/menshen/bin/python", "-"], input=PRELUDE + code, timeout=600)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def act(guest: Guest, *ports: int, folder: str = "/tmp", between: str = "") -> list[str]:
    """Somebody logs in, writes a tool, makes it executable, runs it; how its connects ended."""
    code = f"TOOL = {TOOL!r}\nBETWEEN = {between.splitlines()!r}\n{STORY}"
    done = guest.run(["/root/actor", folder, *map(str, ports)], input=code, timeout=300)
    return done.stdout.split()


REPORT = """
gate = Gate.adopt()
events = [decode(each) for each in gate.denials.read()]
rows = [[e.kind.name, e.operation.name, e.port, e.session, e.rule] for e in events]
answer(rows=rows, counters=gate.counters())
"""


def test_the_last_step_is_denied_and_told(host: Guest) -> None:
    assert act(host, 1, 2, 3, 2, 4) == [DONE, DONE, DENIED, DONE, DENIED]
    said = ask(host, REPORT)
    assert [(kind, port) for kind, _, port, _, _ in said["rows"]] == [("DENIAL", 3), ("DENIAL", 4)]
    assert len({session for *_, session, _ in said["rows"]}) == 1
    assert all(session for *_, session, _ in said["rows"])
    assert said["counters"]["denied"] == 2
    assert said["counters"]["sequences_full"] == 0


@pytest.mark.parametrize(
    ("folder", "ports", "between"),
    [
        ("/opt/work", (1, 2, 3, 4), ""),
        ("/tmp", (1, 1, 1, 2, 2), ""),
        ("/dev/shm", (1, 2, 3), "open('/var/lib/dpkg/status', 'a').close()"),
    ],
    ids=["installed elsewhere", "one service and its backup", "a package that was installed meanwhile"],
)
def test_the_benign_twin_is_untouched(host: Guest, folder: str, ports: tuple[int, ...], between: str) -> None:
    assert act(host, *ports, folder=folder, between=between) == [DONE] * len(ports)
    assert ask(host, REPORT)["rows"] == []


def test_what_two_sessions_do_is_not_joined(host: Guest) -> None:
    assert act(host, 1, 2) == [DONE] * 2
    assert act(host, 3, 4) == [DONE] * 2
    scan = f"TOOL = {TOOL!r}\nsys = __import__('sys')\nexec(TOOL.split(chr(10), 1)[1])\n"
    done = host.run(["/root/actor", "5", "6", "7"], input=scan)
    assert done.stdout.split() == [DONE] * 3


def test_a_session_with_a_gap_is_told_and_not_denied(host: Guest) -> None:
    gap = (
        "import subprocess\n"
        "subprocess.run(['/opt/menshen/bin/python', '-c', "
        "'import sys; from bpf_lsm.gate import Gate; gate = Gate.adopt(); "
        "gate.note_gap(gate.label_of(int(sys.argv[1])).session)', str(os.getpid())], check=True)"
    )
    assert act(host, 1, 2, 3, 4, between=gap) == [DONE] * 4
    rows = ask(host, REPORT)["rows"]
    assert [(kind, port) for kind, _, port, _, _ in rows] == [("WOULD_DENY", 3)]
    assert act(host, 1, 2, 3) == [DONE, DONE, DENIED], "other sessions have none"


def test_revocation_takes_effect_at_once(host: Guest) -> None:
    digest = parse_text(SEQUENCE).sequences[0].digest
    number = int.from_bytes(digest[:8], "little")
    assert act(host, 1, 2, 3) == [DONE, DONE, DENIED]
    ask(host, f"gate = Gate.adopt(); gate.set_revoked([{number}]); answer()")
    assert act(host, 1, 2, 3) == [DONE] * 3
    assert [kind for kind, *_ in ask(host, REPORT)["rows"]] == ["DENIAL", "WOULD_DENY"]
    ask(host, "gate = Gate.adopt(); gate.set_revoked([]); answer()")
    assert act(host, 1, 2, 3) == [DONE, DONE, DENIED]


def test_what_is_over_is_swept(host: Guest) -> None:
    act(host, 1)
    said = ask(host, "gate = Gate.adopt(); answer(swept=gate.sweep_sequences())")
    assert said["swept"] == 0, "it may still come true"
