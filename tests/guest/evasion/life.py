"""In the guest: the gate's own programs, which no system call reaches; before anything is played.

A Protection keeps FILE for the probe alone; the cases are what becomes of that while the gate is changed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from bpf_lsm.gate import Gate

FILE = "/srv/life/file"
PROBE = "/opt/evasion/probe"

READER = f"""
import sys
for line in sys.stdin:
    try:
        open("{FILE}").close()
        print("allowed", flush=True)
    except PermissionError:
        print("denied", flush=True)
"""


class Elder:
    """A process that is older than the gate; it reads FILE when it is asked to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.look()

    def look(self) -> str:
        """allowed or denied."""
        to, answers = _line(self._process.stdin), _line(self._process.stdout)
        to.write("\n")
        to.flush()
        return answers.readline().strip()


def _line(end: IO[str] | None) -> IO[str]:
    assert end
    return end


def probe() -> str:
    """What a program says that is run now."""
    return {0: "allowed", 13: "denied"}[subprocess.run([PROBE, FILE], check=False).returncode]


def answers(gate: Gate, image: bytes, about: Mapping[str, Any], elder: Elder) -> dict[str, list[str]]:
    """By program: what was seen of it, in the order of `tests.guest.hook_cases.LIFE`."""
    said: dict[str, list[str]] = {}
    digest = bytes.fromhex(about["probe"][0])
    identity = about["probe"][1]
    gate.install(image)
    unlabelled = elder.look()
    hosts = {int(each.name): about["host"] for each in Path("/proc").glob("[0-9]*")}
    gate.adopt_tasks({}, {**hosts, elder.pid: identity})
    said["adopt"] = [unlabelled, elder.look()]
    gate.set_credentials({}, [digest])
    without = probe()
    gate.set_credentials({digest: identity})
    said["touch_catalogue"] = [without, probe()]
    gate.touch_tree()
    kept = probe()
    gate.set_credentials({}, [digest])
    gate.touch_tree()
    said["touch_tree"] = [probe(), kept]
    enforced = probe()
    gate.uninstall()
    said["activate"] = [enforced, probe()]
    gate.set_credentials({digest: identity})
    return said
