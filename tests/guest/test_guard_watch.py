"""Beside an armed guard the watch, started by process 1 in its unit, may read the labels; nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.guest.guest import Guest
from tests.guest.test_agent import SSH, WRITE, wait
from tests.unit.enforcer.test_metrics import samples

CLOCK = "[Service]\nWatchdogSec=0\n"
DROP_IN = """\
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStartPre=/root/stranger
ExecStart=/root/probe
"""

# In the place of the watch, with its identity: what the guard lets it open.
PROBE = """\
#!/opt/menshen/bin/python -I
import ctypes, json, os, struct, subprocess, sys

from bpf_lsm import libbpf
from bpf_lsm.errors import GateError
from bpf_lsm.kernel_map import info

MAPS = "/sys/fs/bpf/menshen/maps/"

def tried(do, *arguments):
    try:
        return do(*arguments)
    except GateError as error:
        return error.errno

def reads(name):
    found = tried(libbpf.open_reading, (MAPS + name).encode())
    return found if found < 3 else 0

def writes(name):
    found = tried(libbpf.call, "open", "bpf_obj_get", (MAPS + name).encode())
    return found if found < 3 else 0

def changes():
    labels = tried(libbpf.open_reading, (MAPS + "labels").encode())
    if labels < 3:
        return labels
    key, value = struct.pack("=i", os.pidfd_open(os.getpid())), bytes(64)
    return tried(libbpf.call, "change", "bpf_map_update_elem", labels, key, value, 0)

def by_id():
    labels = tried(libbpf.open_reading, (MAPS + "labels").encode())
    if labels < 3:
        return labels
    return tried(libbpf.call, "open", "bpf_map_get_fd_by_id", info(labels, 8)[1])

answer = {
    "who": os.path.basename(sys.argv[0]), "read": reads("labels"), "write": writes("labels"),
    "change": changes(), "by_id": by_id(), "others": sorted({reads(name) for name in os.listdir(MAPS)}),
}
if len(sys.argv) == 1:
    answer["child"] = json.loads(subprocess.check_output([sys.argv[0], "child"]))["read"]
print(json.dumps(answer), flush=True)
"""
SCRAPE = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: peer.recv(65536), b"")).decode().replace("\\r\\n", "\\n"))
"""
ALL_REFUSED = {"read": 1, "write": 1, "change": 1, "by_id": 1, "others": [1]}


def seen(text: str) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {line.pop("who"): line for line in lines}


@pytest.fixture(scope="module")
def enrolled(module_guest: Guest) -> Guest:
    """A guest with everything enrolled and nothing started."""
    guest = module_guest
    guest.put("/root/probe", PROBE.encode(), 0o755)
    guest.put("/root/stranger", (PROBE + "# not enrolled\n").encode(), 0o755)
    guest.put("/root/p/ssh.yaml", SSH)
    guest.run("menshen enrol-self --service", timeout=300)
    guest.run("menshen identity enrol --packages", timeout=600)
    guest.run("menshen identity enrol --reserved --as menshen/watch /root/probe", timeout=300)
    for unit in ("menshen", "menshen-watch"):
        guest.put(f"/etc/systemd/system/{unit}.service.d/clock.conf", CLOCK)
    guest.snapshot("enrolled")
    return guest


def scrape(guest: Guest, name: str) -> dict[tuple[str, tuple[str, ...]], float]:
    command = ["python3", "-c", SCRAPE, f"/run/menshen/{name}.sock"]
    return samples(guest.run(command).stdout.partition("\n\n")[2])


def arm(guest: Guest) -> None:
    guest.run("systemctl daemon-reload && systemctl start menshen", timeout=600)
    guest.run("menshen policy apply /root/p/ssh.yaml", timeout=300)
    assert json.loads(guest.run("menshen status -o json", check=False).stdout)["guard"]


@pytest.mark.timeout(1200)
def test_only_the_watch_opens_the_labels_and_only_to_read_them(enrolled: Guest) -> None:
    enrolled.put("/etc/systemd/system/menshen-watch.service.d/probe.conf", DROP_IN)
    arm(enrolled)
    by_hand = seen(enrolled.run("/root/probe", timeout=200).stdout)
    elsewhere = seen(enrolled.run("systemd-run -q --pipe --wait /root/probe", timeout=200).stdout)
    enrolled.run("systemctl start menshen-watch", timeout=300)
    in_unit = seen(enrolled.run("journalctl -u menshen-watch -o cat").stdout)
    assert in_unit["probe"] == {
        "read": 0, "write": 1, "change": 1, "by_id": 1, "others": [0, 1], "child": 1,
    }  # fmt: skip
    assert in_unit["stranger"] == {**ALL_REFUSED, "child": 1}, "another identity in the unit"
    assert by_hand["probe"] == {**ALL_REFUSED, "child": 1}, "the identity without process 1"
    assert elsewhere["probe"] == {**ALL_REFUSED, "child": 1}, "the identity in another unit"


@pytest.mark.timeout(1200)
def test_beside_an_armed_guard_the_watch_knows_identities(enrolled: Guest) -> None:
    enrolled.restore("enrolled")
    arm(enrolled)
    enrolled.run("systemctl start menshen-watch", timeout=400)
    wait(enrolled, "menshen observations --last 1 | grep -q .")
    assert "labels" not in enrolled.run("journalctl -u menshen-watch -o cat").stdout
    enrolled.run(WRITE, check=False)
    wait(
        enrolled,
        "/bin/true; menshen observations -o json -n 500 --type exec "
        '| grep -q \'"identity": *"os/coreutils"\'',
    )
    assert scrape(enrolled, "metrics")["menshen_agent_guard_armed", ()] == 1
    assert scrape(enrolled, "metrics")["menshen_agent_denials_total", ()] >= 1
    watched = scrape(enrolled, "watch-metrics")
    assert watched["menshen_watch_gate_connected", ()] == 1
    assert watched["menshen_watch_events_total", ("delivered", "exec")] > 10
    assert "metrics: /run/menshen/watch-metrics.sock" in enrolled.run("menshen status", check=False).stdout
    watch = enrolled.run("systemctl show -p MainPID --value menshen-watch").stdout.strip()
    assert enrolled.run(f"head -c 1 /proc/{watch}/mem", check=False).status != 0
    enrolled.run("systemctl stop menshen-watch", timeout=100)
    assert enrolled.run(WRITE, check=False).status != 0
