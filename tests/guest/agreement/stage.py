"""A guest with actors on it: who they are by digest, and rounds played in one go."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bpf_lsm.events import Event, decode
from policies.names import identity_id
from tests.guest.agreement.script import Script
from tests.guest.guest import Guest
from tests.guest.host import run

HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = "/run/agreement"
ACTORS: Final = "/opt/agreement"
PYTHON: Final = "/opt/menshen/bin/python"
CAPACITY: Final = 1 << 20
"""Of the gate and of every image, in bytes: small, so that images are changed quickly."""
LEAD: Final = "test/lead"
HOST: Final = "test/host"
TOOL: Final = "test/tool"
"""Who the identified programs of the tree are."""


@cache
def built(source: str, *flags: str) -> bytes:
    """A program of this folder."""
    with tempfile.TemporaryDirectory(prefix="agreement-") as folder:
        program = Path(folder, "program")
        run(["gcc", "-O2", "-Wall", "-Wextra", "-static", "-s", *flags, "-o", program, HERE / source])
        return program.read_bytes()


def digest(content: bytes) -> bytes:
    """What the catalogue knows a program by."""
    return hashlib.sha256(content).digest()


@dataclass(frozen=True, slots=True)
class Actor:
    """A copy of the actor; `identity` None: not in the catalogue."""

    name: str
    identity: str | None

    @property
    def program(self) -> bytes:
        """The same for all actors of one identity, but for them alone."""
        return built("actor.c") + f"\n{self.identity}\n".encode()

    @property
    def path(self) -> str:
        return f"{ACTORS}/{(self.identity or 'unidentified').replace('/', '-')}"


@dataclass(frozen=True, slots=True)
class Round:
    """An image (None: the one before stays) and what is done under it."""

    image: bytes | None
    script: Script


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a round."""

    answers: NDArray[np.void]
    memory: bytes
    denials: list[Event]
    events: list[Event]
    said: dict[str, Any]
    script: Script

    def left(self, place: Any, size: int) -> bytes:
        return self.script.left(self.memory, place, size)


@dataclass(slots=True)
class Stage:
    """The cast on a guest. Actor 0 is the lead, which no policy or Protection binds."""

    guest: Guest
    actors: Sequence[Actor]
    tools: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """Identity -> programs of the tree that have it."""

    root: str = "/srv"
    """Where the tree is that has files with several names."""

    def prepare(self) -> None:
        """Put everything in, load the gate, and leave somebody there who plays."""
        cast = [Actor("lead", LEAD), *self.actors]
        credentials = {
            digest(each.program).hex(): identity_id(each.identity) for each in cast if each.identity
        }
        for identity, programs in self.tools.items():
            credentials |= {digest(program).hex(): identity_id(identity) for program in programs}
        about = {
            "credentials": credentials,
            "host": identity_id(HOST),
            "lead": identity_id(LEAD),
            "root": self.root,
            "capacity": CAPACITY,
            "actors": [each.path for each in cast],
        }
        placed = {each.path: each.program for each in cast}
        self.put(placed, 0o755)
        self.put({f"{FOLDER}/cast.json": json.dumps(about).encode()})
        self.put({f"{ACTORS}/runner.py": (HERE / "runner.py").read_bytes()})
        self.guest.run(
            f"mkfifo {FOLDER}/orders {FOLDER}/answers && "
            f"setsid -f {PYTHON} {ACTORS}/runner.py </dev/null >{FOLDER}/log 2>&1"
        )
        self._order(300)

    def _order(self, timeout: float) -> None:
        said = self.guest.run(f"echo go >{FOLDER}/orders; cat {FOLDER}/answers", timeout=timeout).stdout
        assert said == "ok", said

    def put(self, files: Mapping[str, bytes], mode: int = 0o644) -> None:
        """Many files at once."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, io.BytesIO(content))
        self.guest.run(["tar", "-xpf", "-", "-C", "/"], input=packed.getvalue())

    def play(self, rounds: Sequence[Round], timeout: float = 600) -> list[Played]:
        """All rounds by one run of the lead and its actors."""
        self.guest.run(f"cd {FOLDER} && rm -f [0-9]*")
        files: dict[str, bytes] = {}
        for number, each in enumerate(rounds):
            name = f"{FOLDER}/{number:04}"
            files[f"{name}.round"] = each.script.encode()
            if each.image is not None:
                files[f"{name}.image"] = each.image
        self.put(files)
        self._order(timeout)
        packed = self._fetch()
        return [self._played(packed, f"{number:04}", each.script) for number, each in enumerate(rounds)]

    def _fetch(self) -> dict[str, bytes]:
        self.guest.run(f"cd {FOLDER} && tar -czf /run/answers.tgz *.answers *.denials *.events *.said")
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(self.guest.get("/run/answers.tgz"))) as tar:
            for entry in tar:
                if file := tar.extractfile(entry):
                    found[Path(entry.name).name] = file.read()
        return found

    def _played(self, files: Mapping[str, bytes], name: str, script: Script) -> Played:
        memory = files[f"{name}.round.answers"]
        return Played(
            script.decode(memory),
            memory,
            _records(files[f"{name}.denials"]),
            _records(files[f"{name}.events"]),
            json.loads(files[f"{name}.said"]),
            script,
        )


def _records(kept: bytes) -> list[Event]:
    found: list[Event] = []
    at = 0
    while at < len(kept):
        size = int.from_bytes(kept[at : at + 4], "little")
        found.append(decode(kept[at + 4 : at + 4 + size]))
        at += 4 + size
    return found
