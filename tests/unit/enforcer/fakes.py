"""A gate that lives in memory, and a policy language of one line a document."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from bpf_lsm.errors import GateError
from bpf_lsm.events import Event as Record
from bpf_lsm.fill import Fill
from bpf_lsm.layout import EVENT, U8, LabelFlag
from bpf_lsm.tables import Alias
from bpf_lsm.tasks import Label
from enforcer.agent.aliases import ClassesOf
from enforcer.agent.compiling import Compiled, Document, Files, Subject
from enforcer.agent.rules import BUILTIN, Rule
from enforcer.errors import EnforcerError, Problem
from identity.names import identity_id

RULE_KINDS = {"Policy": "default", "Protection": "protection"}


class FakeRing:
    """Records that a test puts in."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._change = threading.Condition()

    def put(self, *records: bytes) -> None:
        with self._change:
            self._records.extend(records)
            self._change.notify()

    def read(self, timeout: float | None = 0) -> list[bytes]:
        with self._change:
            if not self._records:
                self._change.wait(timeout)
            found, self._records = self._records, []
            return found


class FakeGate:
    """What bpf_lsm.gate.Gate promises, without a kernel."""

    capacity = 1 << 20

    def __init__(self) -> None:
        self.denials = FakeRing()
        self.events = FakeRing()
        self.images: list[bytes] = []
        self.catalogue: dict[bytes, int] = {}
        self.labels: dict[int, int] = {}
        self.known_aliases: dict[Alias, int] = {}
        self.adopted: dict[int, int] = {}
        self.agent = 0
        self.guarded = False
        self.detached = False
        self.closed = False
        self.refuse = ""
        self.holds: list[Record] = []
        self.revoked: set[int] = set()
        self.gaps: set[int] = set()
        self.counts = dict.fromkeys(("would_deny", "denials_lost", "events_lost", "passed_over"), 0)
        self.counts |= {"denied": 3, "cold": 4}
        self.voided = 0
        self.rules: dict[int, tuple[int, int]] = {}
        self.rows: dict[int, tuple[int, int]] = {}

    @property
    def generation(self) -> int:
        return len(self.images)

    def metadata(self) -> dict[str, Any]:
        return {"programs": ["file_open", "bprm_check"]}

    def close(self) -> None:
        self.closed = True

    def off(self) -> None:
        if self.refuse:
            raise GateError(self.refuse)
        self.detached = True
        self.images = []

    def install(self, image: bytes, aliases: Mapping[Alias, int] | None = None) -> int:
        if self.refuse:
            raise GateError(self.refuse)
        self.images.append(image)
        self.known_aliases = dict(aliases or {})
        return self.generation

    def image(self) -> bytes | None:
        return self.images[-1] if self.images else None

    def set_credentials(self, add: Mapping[bytes, int], remove: Iterable[bytes] = ()) -> None:
        for digest in remove:
            self.catalogue.pop(digest, None)
        self.catalogue.update(add)

    def credentials(self) -> dict[bytes, int]:
        return dict(self.catalogue)

    def adopt_tasks(self, by_file: Mapping[tuple[int, int], int], by_pid: Mapping[int, int]) -> int:
        self.adopted = dict(by_pid)
        return len(by_pid)

    def label_of(self, pid: int) -> Label | None:
        return Label(self.labels[pid], 0, LabelFlag(0)) if pid in self.labels else None

    def held(self) -> list[Record]:
        if self.refuse:
            raise GateError(self.refuse)
        return list(self.holds)

    def set_aliases(self, add: Mapping[Alias, int], remove: Iterable[Alias] = ()) -> None:
        self.known_aliases.update(add)

    def note_gap(self, session: int) -> None:
        self.gaps.add(session)

    def followed_sessions(self) -> set[int]:
        return {5, 6}

    def set_revoked(self, sequences: Collection[int]) -> None:
        self.revoked = set(sequences)

    def sweep_sequences(self) -> int:
        return 0

    def counters(self) -> dict[str, int]:
        return dict(self.counts)

    def touch_tree(self) -> None:
        self.voided += 1

    def map_fill(self) -> dict[str, Fill]:
        return {"catalogue": Fill(len(self.catalogue), 1024)}

    def ring_fill(self) -> dict[str, Fill]:
        return {"denials": Fill(0, 1 << 20), "events": Fill(16, 4 << 20)}

    def rule_tallies(self, count: int) -> dict[int, tuple[int, int]]:
        return {number: pair for number, pair in self.rules.items() if number < count}

    def row_tallies(self, count: int) -> dict[int, tuple[int, int]]:
        return {number: pair for number, pair in self.rows.items() if number < count}

    def arm_guard(self, agent_identity: int, command_identity: int = 0, watch_identity: int = 0) -> None:
        self.agent, self.guarded = agent_identity, True

    def follow_first(self) -> bool:
        return False

    def disarm_guard(self) -> None:
        self.guarded = False


class FakeLanguage:
    """One document a line: `Policy NAME SUBJECT MODE`. `wrong` is a fault and `locks-out` a lock-out."""

    def __init__(self, protected: Path | None = None) -> None:
        self.protected = protected

    def documents(self, files: Files) -> list[Document]:
        return [one for name, content in files.items() for one in self._parse(name, content)]

    def compile(self, files: Files, known: Collection[str] | None = None) -> Compiled:
        documents = self.documents(files)
        names = [one.name for one in documents]
        if len(set(names)) != len(names):
            raise EnforcerError(
                "the policies have a fault", problems=(Problem("a duplicate name", "x", 1, 1),)
            )
        text = json.dumps([[d.name, d.kind, d.file, d.line, d.subject, d.mode] for d in documents])
        return self.read(text.encode())

    def read(self, image: bytes) -> Compiled:
        try:
            documents = tuple(Document(*row) for row in json.loads(image))
        except (ValueError, TypeError):
            raise EnforcerError("that is no policy image") from None
        rules = tuple(BUILTIN.values()) + tuple(
            Rule(one.name, RULE_KINDS[one.kind], one.file, one.line, f"{one.kind} {one.name}", one.mode)
            for one in documents
        )
        subjects = [Subject(0, "unconfined", False, False), _subject("unidentified", documents)]
        subjects += [_subject(d.subject, documents) for d in documents if d.subject != "unidentified"]
        lockouts = tuple(
            Problem("nobody could log in", one.file, one.line, 1)
            for one in documents
            if one.subject == "locks-out"
        )
        digest = hashlib.sha256(image).hexdigest()
        return Compiled(image, digest, documents, rules, tuple(subjects), lockouts=lockouts)

    def aliases(self, image: bytes) -> tuple[Iterable[Path], ClassesOf]:
        if self.protected is None:
            return [], lambda paths: [None] * len(paths)
        below = str(self.protected)
        return [self.protected], lambda paths: [7 if path.startswith(below) else None for path in paths]

    def _parse(self, name: str, content: bytes) -> Iterable[Document]:
        for number, line in enumerate(content.decode().splitlines(), start=1):
            words = line.split()
            if not words or words[0] == "---":
                continue
            if len(words) != 4:
                wrong = Problem(
                    f"{words[0]!r} is no document", name, number, 1, f"{name}:{number}:1: no document"
                )
                raise EnforcerError("the policies have a fault", problems=(wrong,))
            kind, document, subject, mode = words
            yield Document(document, kind, name, number, subject, mode)


def _subject(name: str, documents: Iterable[Document]) -> Subject:
    mine = [one for one in documents if one.subject == name and one.kind == "Policy"]
    number = 0 if name == "unidentified" else identity_id(name)
    return Subject(number, name, bool(mine), any(one.mode == "enforce" for one in mine))


def record(path: bytes = b"/etc/ssh/sshd_config", **fields: Any) -> bytes:
    """The bytes of one record of a ring."""
    plain = {
        "time": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        "generation": 1,
        "subject": identity_id("payments/api"),
        "pid": 4_000_000,
        "operation": 1,
        "kind": 1,
        "right": 2,
        "rule": len(BUILTIN),
        "comm": b"api",
        "path_size": len(path),
    }
    address = (U8 * 16)(*fields.pop("address", b""))
    raw = bytes(EVENT(**(plain | fields), address=address)) + path
    return raw + b"\0" * (-len(raw) % 8)
