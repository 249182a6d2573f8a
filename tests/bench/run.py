"""The run: every configuration in its guest, two guests at a time, then the results."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from policies import compile_documents, parse_text
from policies.names import identity_id
from tests.bench import results, rules
from tests.bench.build import Programs, build
from tests.bench.measure import BenchError, Cost, read
from tests.bench.world import (
    BATCHES,
    CAPACITY,
    CHILD,
    CHILD_IDENTITY,
    COLD,
    DEPTHS,
    FREE,
    FRESH,
    HUGE,
    LARGE,
    MANY,
    NO_POLICY,
    OPERATIONS,
    OTHER,
    PROGRAM,
    RULES,
    SECRET,
    STATES,
    SUBJECT,
    UNCONFINED,
    WARM,
    WORK,
    Operation,
)
from tests.guest.guest import CommandError, Guest

HERE: Final = Path(__file__).resolve().parent
PYTHON: Final = "/opt/menshen/bin/python"
INSIDE: Final = "/bench/inside.py"
TIMEOUT: Final = 600.0
CMDLINE: Final = "cgroup.memory=nokmem"
"""Charging kernel memory adds 510 instructions to each open of one process in forty, where its page ends."""
OPENS: Final = tuple(operation for operation in OPERATIONS if operation.is_open)
RESOLVING: Final = tuple(operation for operation in OPERATIONS if operation.resolves)


def note(text: str) -> None:
    """One line for the person who waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """The same, with how long it took."""
    begin = time.monotonic()
    yield
    note(f"{text}: {time.monotonic() - begin:.0f} s")


def bench(kernel: str) -> bool:
    """Measure everything, print the table, write build/bench.json. Whether the first bar is met."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="menshen-bench-") as folder:
        programs = build(Path(folder))
    images = {f"{count}": compile_documents(parse_text(rules.policy(count))).image for count in RULES}
    images[MANY] = compile_documents(parse_text(rules.many_identities())).image
    started = time.process_time()
    images[f"{HUGE}"] = compile_documents(parse_text(rules.huge()), capacity=CAPACITY).image
    figures = {"compile": time.process_time() - started}
    try:
        with ThreadPoolExecutor(2) as lanes:
            peers = lanes.submit(_peers, Lane(kernel, programs))
            ours = lanes.submit(_ours, Lane(kernel, programs), images, figures)
            measured = {**peers.result(), **ours.result()}
    except (BenchError, CommandError) as error:
        note(f"error: {error}")
        return False
    met = results.show(kernel, measured, figures)
    note(f"{time.monotonic() - begin:.0f} s in all; the rows are in {results.write(measured, figures)}")
    return met


Measured = dict[str, dict[str, Cost]]


@dataclass
class Lane:
    """One guest after the other, and what was measured in them."""

    kernel: str
    programs: Programs
    measured: Measured = field(default_factory=dict)

    @contextmanager
    def guest(self, lsm: str) -> Iterator[Guest]:
        """A guest that counts instructions, with the measured tree in it."""
        with Guest(self.kernel, lsm=lsm, icount=True, cmdline=CMDLINE) as guest:
            self._furnish(guest)
            yield guest

    def _furnish(self, guest: Guest) -> None:
        program = self.programs.program
        guest.put(PROGRAM, program, 0o755)
        guest.put(UNCONFINED, program + b"\0", 0o755)
        guest.put(CHILD, self.programs.child, 0o755)
        guest.put(INSIDE, (HERE / "inside.py").read_bytes())
        for path in [*DEPTHS.values(), OTHER, SECRET]:
            guest.put(path, bytes(4096))
        guest.run(f"mkdir {WORK} && chown 1000:1000 {WORK} && sync")
        # One level more to look a pid up, 17 instructions of a kill: else a later guest's pids are dearer.
        guest.run("echo 5000 >/proc/sys/kernel/ns_last_pid")
        clock = guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").stdout
        if clock.strip() != "tsc":
            raise BenchError(f"the guest's clock is {clock.strip()}, not the TSC")
        if "crc32c_intel" not in guest.run("lsmod").stdout:
            raise BenchError("crc32c_intel is not loaded: checksums of the file system would be counted")

    def measure(
        self,
        guest: Guest,
        name: str,
        how: dict[str, Any],
        operations: Iterable[Operation] = OPERATIONS,
        *,
        program: str = PROGRAM,
        secret: str = OTHER,
        denied: bool = False,
    ) -> dict[str, Any]:
        """One configuration; what the guest said about it."""
        costs: dict[str, Cost] = {}
        said: dict[str, Any] = {}
        with step(name):
            for units in sorted({operation.units for operation in operations}):
                names = [operation.name for operation in operations if operation.units == units]
                allowed = [DEPTHS[3], secret, "denied" if denied else "allowed"]
                command = [program, str(BATCHES), str(units), *allowed, *names]
                done = guest.run([PYTHON, INSIDE, "run", json.dumps(how), *command], timeout=TIMEOUT)
                said = json.loads(done.stdout)
                costs |= read(said["out"], denied=denied)
        self.measured[name] = costs
        return said


def _peers(lane: Lane) -> Measured:
    with lane.guest("integrity") as guest:
        lane.measure(guest, "no-lsm", {})
    with lane.guest("integrity,apparmor") as guest:
        guest.put("/etc/apparmor.d/bench", rules.profile())
        with step(f"loading an AppArmor profile of {LARGE} globs"):
            guest.run("apparmor_parser -r -K /etc/apparmor.d/bench", timeout=TIMEOUT)
        lane.measure(guest, f"apparmor-{LARGE}", {"profile": "bench (enforce)"}, denied=True)
    with lane.guest("integrity") as guest:
        lane.measure(guest, "no-lsm-again", {})
    return lane.measured


def _ours(lane: Lane, images: dict[str, bytes], figures: dict[str, float]) -> Measured:
    with lane.guest("integrity,bpf") as guest:
        lane.measure(guest, "registered", {})
        guest.put("/bench/empty.bpf.o", lane.programs.empty)
        lane.measure(guest, "empty", {"empty": "/bench/empty.bpf.o"})
        with step("loading the gate"):
            _load(guest, lane.programs)
        lane.measure(guest, NO_POLICY, {})
        for name, image in images.items():
            guest.put(f"/bench/{name}.image", image)
        for count in RULES:
            for state in STATES:
                if state == FRESH and count != LARGE:
                    continue
                _ours_in(lane, guest, state, f"{count}", OPERATIONS if state == WARM else RESOLVING)
            _believe_depth(lane.measured, count)
        how = {"gate": f"/bench/{LARGE}.image", "no_cache": 0}
        said = lane.measure(guest, "unconfined", how, OPENS, program=UNCONFINED, secret=SECRET, denied=True)
        _believe(said, FREE)
        _ours_in(lane, guest, WARM, MANY, OPENS)
        for state in (WARM, COLD):
            _ours_in(lane, guest, state, f"{HUGE}", OPENS)
        _swap(guest, figures)
    return lane.measured


def _ours_in(lane: Lane, guest: Guest, state: str, image: str, operations: Iterable[Operation]) -> None:
    how = {"gate": f"/bench/{image}.image", "no_cache": STATES[state]}
    said = lane.measure(guest, f"{state}-{image}", how, operations, denied=True)
    _believe(said, SUBJECT, walks=state == COLD)


def _swap(guest: Guest, figures: dict[str, float]) -> None:
    """The largest image after itself: how long until it is seen, and what is held for it."""
    with step("swapping"):
        done = guest.run([PYTHON, INSIDE, "swap", f"/bench/{HUGE}.image", DEPTHS[3]], timeout=TIMEOUT)
    said = json.loads(done.stdout)
    figures["fill"], figures["swap"] = said["fill_ms"], said["swap_ms"]
    figures["memory"] = sum(said["maps"].values()) / (1 << 20)
    largest = sorted(said["maps"].items(), key=lambda each: -each[1])[:6]
    note("memory of maps: " + ", ".join(f"{name} {size / (1 << 20):.1f} MiB" for name, size in largest))


def _load(guest: Guest, programs: Programs) -> None:
    who = {PROGRAM: SUBJECT, UNCONFINED: FREE, CHILD: CHILD_IDENTITY}
    content = {PROGRAM: programs.program, UNCONFINED: programs.program + b"\0", CHILD: programs.child}
    credentials = {hashlib.sha256(content[path]).hexdigest(): identity_id(name) for path, name in who.items()}
    guest.put("/bench/menshen.bpf.o", programs.gate)
    guest.put("/bench/credentials.json", json.dumps(credentials))
    done = guest.run(
        [PYTHON, INSIDE, "load", "/bench/menshen.bpf.o", "/bench/credentials.json", str(CAPACITY)],
        timeout=TIMEOUT,
    )
    said = json.loads(done.stdout)
    note(f"{said['programs']} programs attached; this kernel lacks {', '.join(said['missing']) or 'none'}")


def _believe(said: dict[str, Any], identity: str, *, walks: bool = False) -> None:
    """The program ran as who it should, its events came through, and paths were walked or not."""
    counted = said["counted"]
    if not said["watched"] or said["watched"][0] != identity_id(identity):
        raise BenchError(f"the program was labelled {said['watched']}, not as {identity}")
    if counted["denied"] < 1 or counted["denials_read"] < 1 or counted["events_read"] < 1:
        raise BenchError(f"the gate did not report what it did: {counted}")
    if counted["events_lost"] or counted["denials_lost"]:
        raise BenchError(f"events were lost: {counted}")
    if walks != (counted["cold"] > 10_000):
        raise BenchError(f"{counted['cold']} accesses walked their path")


def _believe_depth(measured: Measured, count: int) -> None:
    """A walk that stops at a known directory costs the same at any depth: that is not cold."""
    cold, warm = measured[f"{COLD}-{count}"], measured[f"{WARM}-{count}"]
    shallow, deep = (cold[name].instructions - warm[name].instructions for name in ("open-d3", "open-d15"))
    if deep < 1.5 * shallow:
        raise BenchError(f"cold costs {shallow:.0f} at depth 3 and {deep:.0f} at 15: something was cached")
