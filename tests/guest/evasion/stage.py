"""The actor and its copies, a guest with the gate loaded, and cases played there."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from bpf_lsm.events import Event, decode
from bpf_lsm.layout import EventKind
from policies import Evaluator, compile_documents, parse_text
from policies.names import identity_id
from tests.guest.evasion import policies
from tests.guest.evasion.cases import Case
from tests.guest.evasion.policies import IDENTITIES, LEAD, PROBE, TOOL, TREES
from tests.guest.guest import CommandError, Guest
from tests.guest.host import run

HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = "/run/evasion"
TOOLS: Final = "/opt/evasion"
MODULE: Final = "tests/guest/evasion/"
RUNNER: Final = ("/opt/menshen/bin/python", "-m", "tests.guest.evasion.runner")
SMALL: Final = (
    "-nostdlib", "-nostartfiles", "-Wl,-n,--build-id=none", "-Wl,-z,noseparate-code",
    "-fno-asynchronous-unwind-tables", "-fno-stack-protector",
)  # fmt: skip
ANSWER: Final = np.dtype(
    [
        ("operation", "S48"),
        ("base", "S144"),
        ("result", "<i8"),
        ("begin", "<u8"),
        ("end", "<u8"),
        ("pid", "<u4"),
        ("done", "<u4"),
    ]
)
"""struct entry of actor/main.c."""


@cache
def built(*flags: str) -> bytes:
    """The actor, or with SMALL the tool."""
    sources = [HERE / "actor/tool.c"] if flags == SMALL else sorted((HERE / "actor").glob("*.c"))
    with tempfile.TemporaryDirectory(prefix="evasion-") as folder:
        program = Path(folder, "program")
        wanted = [each for each in sources if flags == SMALL or each.name != "tool.c"]
        run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", *flags, "-o", program, *wanted])
        return program.read_bytes()


def path_of(who: str, variant: str) -> str:
    """Where the actor's program is."""
    return f"{TOOLS}/{who}{'32' if variant == 'ia32' else ''}"


@dataclass(frozen=True, slots=True)
class Side:
    """What came of one side of a case: the call's result, and the denials meanwhile."""

    result: int
    denials: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """A case in one variant, both sides."""

    case: Case
    variant: str
    no: Side
    yes: Side


class Stage:
    """A guest on which cases are played."""

    def __init__(self, guest: Guest, cases: Sequence[Case]) -> None:
        self.guest = guest
        text = policies.text(cases)
        self.image = compile_documents(parse_text(text)).image
        self.evaluator = Evaluator(self.image)
        self.credentials: dict[str, int] = {}
        self.copies: dict[str, tuple[str, str]] = {}
        self.life: dict[str, list[str]] = {}
        """What life.py saw of the gate's own programs."""

    def prepare(self) -> None:
        """Put everything in, load the gate."""
        identified = {**IDENTITIES, "lead": LEAD}
        programs: dict[str, bytes] = {}
        credentials: dict[str, int] = {}
        for narrow, original in ((False, f"{TOOLS}/actor"), (True, f"{TOOLS}/actor32")):
            programs[original] = built(*(["-m32"] if narrow else []))
            for who in (*identified, "unidentified"):
                # Its own bytes for each that acts, and thereby its own digest.
                ending = f"\n{who}\n"
                self.copies[path_of(who, "ia32" if narrow else "")] = (original, ending)
                if who in identified:
                    content = programs[original] + ending.encode()
                    credentials[_digest(content)] = identity_id(identified[who])
        tool = built(*SMALL)
        script = f"#!{TOOLS}/tool\n".encode()
        odd = f"#!{TOOLS}/stray\n".encode()
        for name, content, identity in (
            ("tool", tool + b"tool", TOOL),
            ("probe", tool + b"probe", PROBE),
            ("stray", tool + b"stray", None),
            ("script", script, TOOL),
            ("odd", odd, TOOL),
        ):
            programs[f"{TOOLS}/{name}"] = content
            if identity:
                credentials[_digest(content)] = identity_id(identity)
        sums = self.guest.run(["sha256sum", "/usr/bin/python3", "/bin/sh"]).stdout.split()
        credentials |= {sums[0]: identity_id(LEAD), sums[2]: identity_id(TOOL)}
        self.credentials = credentials
        scripts = {f"{TOOLS}/{MODULE}{name}": (HERE / name).read_bytes() for name in ("runner.py", "life.py")}
        self._put({**scripts, **programs}, 0o755)
        self._put({f"{FOLDER}/life.image": compile_documents(parse_text(policies.LIFE)).image})
        self._about(0)
        self.guest.run(
            "modprobe -a overlay vsock_loopback af_alg; sysctl -qw net.core.somaxconn=4096", check=False
        )
        said = self.guest.run([*RUNNER, "prepare"], timeout=300, cwd=TOOLS).stdout
        self.life = json.loads(said)

    def _about(self, groups: int) -> None:
        about = {
            "credentials": self.credentials,
            "host": identity_id("evasion/host"),
            "probe": [_digest(built(*SMALL) + b"probe"), identity_id(PROBE)],
            "lead": f"{TOOLS}/lead",
            "groups": groups,
            "copies": self.copies,
        }
        self._put({f"{FOLDER}/about.json": json.dumps(about).encode()})

    def play(self, wanted: Iterable[tuple[Case, str]]) -> list[Played]:
        """Each case in a variant, both sides, under the image of all cases."""
        pairs = list(wanted)
        groups: dict[tuple[str, str, int], list[tuple[int, str]]] = {}
        for number, (case, variant) in enumerate(pairs):
            volume = int(case.by == "protection" and variant == "container")
            groups.setdefault((variant, case.denied_to(variant), volume), []).append((number, "no"))
            groups.setdefault((variant, case.allowed_by, volume), []).append((number, "yes"))
        lines: list[str] = []
        order: list[tuple[int, str]] = []
        for (variant, who, volume), sides in groups.items():
            lines.append(f"group {variant} {path_of(who, variant)} {int(variant == 'io_uring')} {volume}")
            for number, side in sides:
                case = pairs[number][0]
                lines.append(f"case {case.do} {TREES}/{variant}/{case.id}/{side}")
                order.append((number, side))
        self._about(len(groups))
        self._put({f"{FOLDER}/image": self.image, f"{FOLDER}/plan": "\n".join([*lines, ""]).encode()})
        try:
            said = self.guest.run([*RUNNER, "play"], timeout=580, cwd=TOOLS).stdout
        except (CommandError, TimeoutError) as error:
            log = self.guest.get(f"{FOLDER}/log").decode(errors="replace")
            raise AssertionError(f"{error}\nthe last cases:\n{log[-1000:]}") from None
        assert json.loads(said.splitlines()[-1])["lost"] == 0, said
        return self._collect(pairs, order)

    def _collect(self, pairs: list[tuple[Case, str]], order: list[tuple[int, str]]) -> list[Played]:
        answers = np.frombuffer(self.guest.get(f"{FOLDER}/plan.answers"), ANSWER)
        denials = [
            one for one in _records(self.guest.get(f"{FOLDER}/denials")) if one.kind is EventKind.DENIAL
        ]
        sides: dict[tuple[int, str], Side] = {}
        for (number, side), answer in zip(order, answers, strict=True):
            begin, end = int(answer["begin"]), int(answer["end"])
            told = tuple(one for one in denials if begin <= one.time <= end)
            sides[number, side] = Side(int(answer["result"]), told)
        return [
            Played(case, variant, sides[number, "no"], sides[number, "yes"])
            for number, (case, variant) in enumerate(pairs)
        ]

    def _put(self, files: dict[str, bytes], mode: int = 0o644) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, io.BytesIO(content))
        self.guest.run(["tar", "-xpf", "-", "-C", "/"], input=packed.getvalue())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _records(kept: bytes) -> list[Event]:
    found: list[Event] = []
    at = 0
    while at < len(kept):
        size = int.from_bytes(kept[at : at + 4], "little")
        found.append(decode(kept[at + 4 : at + 4 + size]))
        at += 4 + size
    return found
