"""How much memory the agent holds with a thousand rules in force, its feed full, and somebody who scrapes it.

It runs natively and is the agent (tests/bench/gate_agent.py) in everything but the kernel's programs: in the
place of the LSM hooks, which not every machine lets anybody load, are those of the unit tests' fixture.bpf.c,
over the same maps and rings of the product's sizes. Policies come through the API, from another process.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.results import Row
from tests.bench.rules import policy
from tests.bench.world import LARGE
from tests.unit.bpf_lsm.compiling import HERE, build

BAR: Final = 60.0
ROUNDS: Final = 3
"""How often the thousand rules are applied, changed a little each time: a life, not a birth."""


def rows(_events: int) -> list[Row]:
    """gate/rss-mb."""
    with tempfile.TemporaryDirectory(prefix="menshen-bench-") as name:
        folder = Path(name)
        (folder / "bpf").mkdir()
        subprocess.run(["mount", "-t", "bpf", "bpf", folder / "bpf"], check=True)
        try:
            stages = _stages(folder)
        finally:
            subprocess.run(["umount", "-l", folder / "bpf"], check=True)
    return [Row("gate/rss-mb", stages.pop("scraped"), f"MB resident, {LARGE} rules", BAR, stages)]


def _stages(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.gate_agent", str(folder)]
    build(HERE / "fixture.bpf.c", folder / "gate.bpf.o")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        stages = {}

        def ask(word: str) -> float:
            print(word, file=child.stdin, flush=True)
            assert child.stdout is not None
            return float(json.loads(child.stdout.readline()))

        stages["started"] = ask("rss")
        for number in range(ROUNDS):
            file = folder / "bench.yaml"
            file.write_text(policy(LARGE).replace("/run/bench/ready", f"/run/bench/ready-{number}"))
            _menshen(folder, "policy", "apply", str(file))
        stages["rules"] = ask("rss")
        ask("fill")
        _menshen(folder, "events", "-n", "0")
        stages["events"] = ask("rss")
        if len(_scrape(folder / "run/menshen/metrics.sock")) < 1000:
            raise AssertionError("the agent was not scraped")
        stages["scraped"] = ask("rss")
        stages |= {word: ask(word) for word in ("anonymous", "peak", "helper")}
        ask("end")
    if child.returncode:
        raise RuntimeError(f"the agent ended with {child.returncode}")
    return stages


def _menshen(folder: Path, *arguments: str) -> None:
    code = "from enforcer.cli import main; main()"
    command = [sys.executable, "-c", code, "--socket", str(folder / "run/menshen/api.sock"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def _scrape(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))
