"""In the guest: holds the gate, puts the images in force, lets the lead play, and keeps what the rings said.

    runner.py prepare     load the gate, give credentials, adopt everything that runs
    runner.py play        play every round that lies in the folder

The folder holds cast.json, NUMBER.image, NUMBER.round, and, where files have several names, NUMBER.protected
(which of them are). It leaves NUMBER.round.answers, NUMBER.denials, NUMBER.events and NUMBER.said.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import bpf_lsm
from bpf_lsm.gate import Gate
from bpf_lsm.ring import Ring
from enforcer.agent import aliases

OBJECT = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
FOLDER = Path("/run/agreement")
LENGTH = struct.Struct("<I")


def cast() -> dict[str, object]:
    """Who plays, and whose digest is whose."""
    found: dict[str, object] = json.loads((FOLDER / "cast.json").read_text())
    return found


def credentials() -> dict[bytes, int]:
    """sha256 -> identity."""
    found = cast()["credentials"]
    assert isinstance(found, dict)
    return {bytes.fromhex(digest): identity for digest, identity in found.items()}


def prepare() -> None:
    """Load the gate; everything that runs already is the host, which no policy is about."""
    began = time.monotonic()
    about = cast()
    gate = Gate.load(OBJECT, capacity=int(str(about["capacity"])), catalogue_size=4096)
    loaded = time.monotonic()
    gate.set_credentials(credentials())
    host = about["host"]
    assert isinstance(host, int)
    pids = {int(path.name): host for path in Path("/proc").iterdir() if path.name.isdigit()}
    gate.adopt_tasks({}, pids)
    print(json.dumps({"load": loaded - began, "adopt": time.monotonic() - loaded}))


class Lead:
    """The lead of the actors, waiting for rounds."""

    def __init__(self) -> None:
        found = cast()["actors"]
        assert isinstance(found, list)
        os.sched_setaffinity(0, {0})  # one after the other anyway: no waking of another processor
        self.process = subprocess.Popen(found, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait("ready")

    def wait(self, word: str) -> None:
        assert self.process.stdout
        if (said := self.process.stdout.readline().strip()) != word:
            raise SystemExit(f"the lead said {said!r} and not {word!r}: status {self.process.wait()}")

    def play(self, script: Path) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{script}\n")
        self.process.stdin.flush()
        self.wait("done")


def keep(ring: Ring, into: Path) -> None:
    """Write the records that are there, each behind its length."""
    with into.open("wb") as file:
        while records := ring.read():
            for record in records:
                file.write(LENGTH.pack(len(record)) + record)


def play_round(gate: Gate, lead: Lead, number: str) -> None:
    """One image, one script."""
    image, protected = FOLDER / f"{number}.image", FOLDER / f"{number}.protected"
    said: dict[str, object] = {}
    began = time.monotonic()
    if image.exists():
        found = {}
        names: dict[str, int] = {}
        if protected.exists():
            about = json.loads(protected.read_text())
            names = {os.fsdecode(bytes.fromhex(name)): number for name, number in about["classes"].items()}
            found = aliases.search([Path(root) for root in about["roots"]], names.get)
            known = {(alias.inode, alias.device): number for alias, number in found.items()}
            said["aliases"] = {
                name: known.get((status.st_ino, status.st_dev), 0)
                for name in about["names"]
                for status in [os.lstat(os.fsdecode(bytes.fromhex(name)))]
            }
        gate.install(image.read_bytes(), found)
    for ring in (gate.denials, gate.events):
        ring.read()
    before = gate.counters()
    installed = time.monotonic()
    lead.play(FOLDER / f"{number}.round")
    played = time.monotonic()
    said["counters"] = {name: value - before[name] for name, value in gate.counters().items()}
    keep(gate.denials, FOLDER / f"{number}.denials")
    keep(gate.events, FOLDER / f"{number}.events")
    said["generation"] = gate.generation
    said["seconds"] = [installed - began, played - installed, time.monotonic() - played]
    (FOLDER / f"{number}.said").write_text(json.dumps(said))


def main() -> None:
    """What the command line says."""
    if sys.argv[1] == "prepare":
        prepare()
        return
    gate = Gate.adopt()
    lead = Lead()
    try:
        for script in sorted(FOLDER.glob("*.round")):
            play_round(gate, lead, script.name.removesuffix(".round"))
    finally:
        gate.uninstall()


main()
