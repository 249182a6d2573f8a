"""In the guest: holds the gate, puts the images in force, lets the lead play, and keeps what the rings said.

    runner.py     load the gate, give credentials, adopt everything that runs; then serve

Every line in the pipe `orders` plays all rounds that lie in the folder; the answer in the pipe `answers`
is what went wrong, or `ok`. The folder holds cast.json, NUMBER.image and NUMBER.round. Playing leaves
NUMBER.round.answers, NUMBER.denials, NUMBER.events and NUMBER.said.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import traceback
from pathlib import Path

import bpf_lsm
from bpf_lsm.gate import Gate
from bpf_lsm.ring import Ring
from bpf_lsm.tables import Alias
from enforcer.agent import aliases
from enforcer.agent.language import Language

OBJECT = Path(bpf_lsm.__file__).parent / "objects/menshen.bpf.o"
FOLDER = Path("/run/agreement")
LENGTH = struct.Struct("<I")


class Runner:
    """The gate, and the rounds that are played at it."""

    def __init__(self) -> None:
        self.cast = json.loads((FOLDER / "cast.json").read_text())
        capacity = self.cast["capacity"]
        self.gate = Gate.load(OBJECT, capacity=capacity, catalogue_size=4096)
        self.language = Language(capacity)
        self.gate.set_credentials(
            {bytes.fromhex(digest): identity for digest, identity in self.cast["credentials"].items()}
        )
        # everything that runs already is the host, which no policy is about
        pids = {int(path.name): self.cast["host"] for path in Path("/proc").iterdir() if path.name.isdigit()}
        self.gate.adopt_tasks({}, {**pids, os.getpid(): self.cast["lead"]})

    def play(self) -> None:
        """Every round of the folder, by one run of the lead and its actors."""
        lead = Lead(self.cast["actors"])
        try:
            for script in sorted(FOLDER.glob("*.round")):
                self.play_round(lead, script.name.removesuffix(".round"))
        finally:
            self.gate.uninstall()
            lead.end()

    def play_round(self, lead: Lead, number: str) -> None:
        """One image (none: the one before stays in force), one script."""
        image = FOLDER / f"{number}.image"
        said: dict[str, object] = {}
        if image.exists():
            content = image.read_bytes()
            found = aliases.search(*self.language.aliases(content))
            self.gate.install(content, found)
            said["aliases"] = self.known(found)
        for ring in (self.gate.denials, self.gate.events):
            ring.read()
        before = self.gate.counters()
        lead.play(FOLDER / f"{number}.round")
        said["counters"] = {name: value - before[name] for name, value in self.gate.counters().items()}
        keep(self.gate.denials, FOLDER / f"{number}.denials")
        keep(self.gate.events, FOLDER / f"{number}.events")
        said["generation"] = self.gate.generation
        (FOLDER / f"{number}.said").write_text(json.dumps(said))

    def known(self, found: dict[Alias, int]) -> dict[str, int]:
        """By path (in hexadecimal), of what has several names: the class that its inode is labelled with."""
        classes = {(alias.inode, alias.device): number for alias, number in found.items()}
        listed: dict[str, int] = {}
        for parent, _, names in os.walk(os.fsencode(self.cast["root"])):
            for name in names:
                path = os.path.join(parent, name)  # noqa: PTH118 - bytes
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    listed[path.hex()] = classes.get((status.st_ino, status.st_dev), 0)
        return listed


class Lead:
    """The lead of the actors, waiting for rounds."""

    def __init__(self, actors: list[str]) -> None:
        os.sched_setaffinity(0, {0})  # one after the other anyway: no waking of another processor
        self.process = subprocess.Popen(actors, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait("ready")

    def wait(self, word: str) -> None:
        assert self.process.stdout
        if (said := self.process.stdout.readline().strip()) != word:
            raise RuntimeError(f"the lead said {said!r} and not {word!r}: status {self.process.wait()}")

    def play(self, script: Path) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{script}\n")
        self.process.stdin.flush()
        self.wait("done")

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def keep(ring: Ring, into: Path) -> None:
    """Write the records that are there, each behind its length."""
    with into.open("wb") as file:
        while records := ring.read():
            for record in records:
                file.write(LENGTH.pack(len(record)) + record)


def main() -> None:
    """Answer every order, the first one being that the gate is there."""
    runner: Runner | None = None
    while True:
        (FOLDER / "orders").read_text()
        try:
            if runner is None:
                runner = Runner()
            else:
                runner.play()
            answer = "ok"
        except BaseException:
            answer = traceback.format_exc()
        (FOLDER / "answers").write_text(answer)


main()
