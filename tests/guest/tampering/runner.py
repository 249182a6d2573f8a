"""In the guest: makes every attempt of /root/cases.json and writes down what became of it, as JSON lines."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

LOG = Path("/var/log/menshen/denials.jsonl")
PROBE = Path("/etc/ssh/sshd_config")
PATIENCE = 6.0


def unit(field: str) -> str:
    """What process 1 says of the agent's unit."""
    command = ["systemctl", "show", "-p", field, "--value", "menshen"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main_pid() -> str:
    """Of the agent; waits until there is one."""
    for _ in range(60):
        if (found := unit("MainPID")) != "0":
            return found
        time.sleep(0.5)
    raise RuntimeError("the agent is gone")


def is_held() -> bool:
    """Whether what the policy forbids is refused still."""
    try:
        PROBE.open("a").close()
    except PermissionError:
        return True
    return False


def told(start: int, *, wait: bool) -> list[str]:
    """The rules of ours that refused something since the log had this size."""
    deadline = time.monotonic() + (PATIENCE if wait else 0)
    while True:
        lines = LOG.read_bytes()[start:].rpartition(b"\n")[0].splitlines()  # the last may be half written
        rules = [json.loads(line).get("rule_name", "") for line in lines]
        ours = sorted({rule for rule in rules if rule == "guard" or rule.startswith("menshen-")})
        if ours or time.monotonic() > deadline:
            return ours
        time.sleep(0.1)


def attempt(command: str, *, wait: bool) -> dict[str, Any]:
    process = main_pid()
    group = f"/sys/fs/cgroup{Path(f'/proc/{process}/cgroup').read_text().strip().split(':')[-1]}"
    start = LOG.stat().st_size
    known = f"export P={process} U={group} F={unit('FragmentPath')}"
    text = f'{known}; call() {{ python3 /root/calls.py "$@"; }}; {command}'
    began = time.monotonic()
    said = Path("/tmp/said")
    with said.open("w") as output:
        try:
            subprocess.run(
                ["bash", "-c", text],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=90,
                check=False,
            )
        except subprocess.TimeoutExpired:
            output.write("it did not end")
    return {
        "said": said.read_text()[-400:],
        "seconds": round(time.monotonic() - began, 1),
        "held": is_held(),
        "told": told(start, wait=wait),
        "same": main_pid() == process and Path(f"/proc/{process}/stat").read_text().split()[2] not in "TtZ",
        "before": process,
    }


def main() -> None:
    cases = json.loads(Path("/root/cases.json").read_text())
    for kind, table in cases.items():
        for name, command in table.items():
            print(json.dumps({"name": name, **attempt(command, wait=kind == "held")}), flush=True)


main()
