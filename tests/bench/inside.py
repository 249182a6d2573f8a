"""What runs in the guest: puts one configuration in force, runs the measured program under it, and reports.

    python inside.py load OBJECT CREDENTIALS.json CAPACITY
    python inside.py run HOW.json PROGRAM ARGUMENT...
    python inside.py swap IMAGE PATH
    python inside.py off

HOW: {"empty": OBJECT} | {"gate": IMAGE, "no_cache": 0|1|2} | {"profile": NAME} | {}. The answer is one line
of JSON. Only the product itself is imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

USER = 1000


def main() -> None:
    """One command."""
    match sys.argv[1:]:
        case ["load", path, credentials, capacity]:
            answer(load(Path(path), json.loads(Path(credentials).read_text()), int(capacity)))
        case ["swap", image, path]:
            answer(swap(Path(image), path))
        case ["run", how, *command]:
            answer(run(json.loads(how), command))
        case ["off"]:
            from bpf_lsm.gate import Gate

            Gate.adopt().off()
            answer({})
        case _:
            sys.exit(f"not understood: {sys.argv[1:]}")


def answer(what: dict[str, Any]) -> None:
    print(json.dumps(what))


def load(path: Path, credentials: dict[str, int], capacity: int) -> dict[str, Any]:
    """The gate, with who is who; no image yet."""
    from bpf_lsm.gate import Gate

    gate = Gate.load(path, capacity=capacity)
    gate.set_credentials({bytes.fromhex(digest): identity for digest, identity in credentials.items()})
    gate.adopt_tasks({}, {})
    metadata = gate.metadata()
    gate.close()
    return {"programs": len(metadata["programs"]), "missing": metadata["missing"]}


def swap(image: Path, path: str) -> dict[str, Any]:
    """How long a swap takes, and what the maps of the gate hold: see KernelMap and proc_pid_fdinfo(5)."""
    from bpf_lsm.gate import Gate

    gate = Gate.adopt()
    content = image.read_bytes()
    begin = time.perf_counter_ns()
    slot = gate._slots.fill(content)
    filled = time.perf_counter_ns()
    gate._activate(slot)
    Path(path).read_bytes()
    seen = time.perf_counter_ns()
    maps = {
        name: int(line.split()[1])
        for name, fd in gate._parts.maps.items()
        for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        if line.startswith("memlock:")
    }
    return {"fill_ms": (filled - begin) / 1e6, "swap_ms": (seen - filled) / 1e6, "maps": maps}


def run(how: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """The program under one configuration."""
    if "empty" in how:
        links = attach_all(Path(how["empty"]))
        return {"attached": len(links), **measured(command)}
    if "gate" in how:
        return under_gate(Path(how["gate"]), how["no_cache"], command)
    found = measured(command, watch=lambda pid: Path(f"/proc/{pid}/attr/current").read_text().strip("\n\0"))
    if how.get("profile", "") not in (found["watched"] or ""):
        sys.exit(f"the program ran as {found['watched']}, not under the profile {how['profile']}")
    return found


def measured(command: list[str], watch: Any = None) -> dict[str, Any]:
    """What the program printed; `watch` looks at the process while it runs."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        user=USER, group=USER, extra_groups=[], cwd="/",
    ) as process:  # fmt: skip
        try:
            watched = watch(process.pid) if watch else None
        except OSError:
            watched = None
        out, errors = process.communicate()
    if process.returncode:
        sys.exit(f"the program ended with {process.returncode}: {errors or out}")
    return {"out": out, "watched": watched}


def attach_all(path: Path) -> list[int]:
    """Every program of an object that this kernel has a place for."""
    from bpf_lsm import probe
    from bpf_lsm.bpf_object import BpfObject

    with BpfObject(path) as opened:
        optional = [program.name for program in opened.programs.values() if program.optional]
    missing = {entry.program for entry in probe.programs(path, only=optional) if not entry.loadable}
    with BpfObject(path) as opened:
        wanted = [program for program in opened.programs.values() if program.name not in missing]
        for program in wanted:
            program.autoload(True)
        opened.load()
        return [program.attach() for program in wanted]


def under_gate(image: Path, no_cache: int, command: list[str]) -> dict[str, Any]:
    """An image in force, everything else as the agent leaves it; the events of it are read and counted."""
    from bpf_lsm.gate import Gate

    gate = Gate.adopt()
    gate.install(image.read_bytes())
    gate.measure_cold(no_cache)
    before = gate.counters()
    gate.events.read()
    gate.denials.read()

    def label(pid: int) -> Any:
        # Popen comes back while the exec is not quite over.
        for _ in range(50):
            found = gate.label_of(pid)
            if found and found.identity:
                return [found.identity, found.row]
            time.sleep(0.02)
        return None

    found = measured(command, watch=label)
    after = gate.counters()
    counted = {name: after[name] - before[name] for name in after}
    counted["events_read"] = len(gate.events.read())
    counted["denials_read"] = len(gate.denials.read())
    gate.measure_cold(0)
    gate.close()
    return {"counted": counted, **found}


if __name__ == "__main__":
    main()
