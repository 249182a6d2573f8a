"""Sequences that block: the kernel program and the evaluator say the same, on this machine's kernel."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass

import pytest

from bpf_lsm import libbpf
from bpf_lsm.gate import Gate
from policies import Evaluator, compile_documents, parse_text
from policies.compile.sequences import ACTS
from policies.endpoint import TCP, encode
from policies.follow import Follower
from policies.sequence import Act
from tests.unit.policies.test_follow import SCAN
from tests.unit.policies.test_sequence import written

OTHERS = (
    written(
        """
        - {name: many, tag: x, count: 3, within: 1h, kernel: {operation: write, paths: ["/tmp/**"]}}
        - {name: run, tag: x, kernel: {operation: execute, paths: ["/tmp/*", "/opt/*"]}}
        """,
        mode="block",
        within="2h",
    ),
    written(
        """
        - {name: a, tag: x, kernel: {operation: read, paths: ["/etc/*"]}}
        - {name: b, tag: x, count: 2, kernel: {operation: read, paths: ["/etc/*"]}}
        - {name: never, tag: x, absent: true, kernel: {operation: chmod, paths: ["/tmp/**"]}}
        - {name: c, tag: x, kernel: {operation: connect, to: {ports: ["1-2"]}}}
        """,
        mode="block",
    ),
)
DOCUMENTS = "---\n".join(
    text.replace("{name: story}", f"{{name: story-{number}}}").replace("within: 1m", "within: 1h")
    for number, text in enumerate((SCAN.replace("within: 20s", "within: 1h").replace("10m", "1d"), *OTHERS))
)
PATHS = (b"/tmp/x", b"/tmp/y/z", b"/opt/x", b"/etc/passwd", b"/var/lib/dpkg/status", b"/usr/bin/x")


@dataclass
class Kernel:
    """A gate of test programs with the sequences in force, and the evaluator of the same image."""

    gate: Gate
    follower: Follower

    def asks(self, session: int, act: Act, what: bytes, port: int, *, identity: int) -> int:
        """What the kernel says: 0 done, 1 told, 3 denied, and the rule above that."""
        number, _ = self.follower.evaluator.classify(what)
        rights, operation = ACTS[act]
        slot = self.gate._control["active"]
        context = struct.pack("=QQIIIIII", session, identity, slot, rights, number, operation, port, 0)
        return libbpf.run(self.gate._parts.programs["follow"], context)

    def expected(self, session: int, act: Act, what: bytes, port: int, now: int, *, identity: int) -> int:
        """What the evaluator says."""
        number, _ = self.follower.evaluator.classify(what)
        verdict = self.follower.follow(session, number, act, now, identified=bool(identity), port=port)
        return verdict.rule << 2 | verdict.enforced << 1 | 1 if verdict.reported else 0


@pytest.fixture
def kernel(gate: Gate) -> Kernel:
    """With all of DOCUMENTS in force."""
    image = compile_documents(parse_text(DOCUMENTS)).image
    gate.install(image)
    return Kernel(gate, Follower(Evaluator(image)))


@pytest.mark.parametrize("seed", range(8))
def test_the_kernel_and_the_evaluator_agree(kernel: Kernel, seed: int) -> None:
    chosen = random.Random(seed)
    outcomes = {0: 0, 1: 0, 3: 0}
    for number in range(2500):
        session, identity = chosen.choice((0, 5, 5, 6)), chosen.choice((0, 0, 0, 77))
        act = chosen.choice(tuple(Act))
        port = chosen.randrange(1, 6)
        address = chosen.choice(("10.1.2.3", "10.9.9.9", "192.0.2.1"))
        what = encode(TCP, address, port) if act is Act.CONNECT else chosen.choice(PATHS)
        if chosen.random() < 0.01:
            kernel.gate.note_gap(session)
            kernel.follower.gaps[session] = number * 10 + 9
        elif chosen.random() < 0.01:
            ids = kernel.follower.evaluator.sequences[0]["sequences"]["id"][:3].tolist()
            kernel.follower.revoked = {each for each in ids if chosen.random() < 0.3}
            kernel.gate.set_revoked(kernel.follower.revoked)
        said = kernel.asks(session, act, what, port, identity=identity)
        expected = kernel.expected(session, act, what, port, number * 10 + 10, identity=identity)
        assert said == expected, (number, session, act, what, port)
        outcomes[said & 3] += 1
    assert all(outcomes.values()), outcomes


def test_what_may_still_come_true_is_not_swept(kernel: Kernel) -> None:
    kernel.asks(5, Act.READ, b"/etc/passwd", 0, identity=0)
    kernel.asks(6, Act.READ, b"/tmp/x", 0, identity=0)
    assert kernel.gate.sweep_sequences() == 0


def test_what_is_over_is_swept(kernel: Kernel) -> None:
    image = compile_documents(parse_text(DOCUMENTS.replace("within: 10m", "within: 1ms"))).image
    kernel.gate.install(image)
    kernel.follower = Follower(Evaluator(image))
    kernel.asks(5, Act.READ, b"/etc/passwd", 0, identity=0)
    time.sleep(0.01)
    assert kernel.gate.sweep_sequences() == 1


def test_a_full_table_is_counted_and_nothing_is_denied(kernel: Kernel) -> None:
    for session in range(1, 16385):
        kernel.asks(session, Act.READ, b"/etc/passwd", 0, identity=0)
    assert kernel.gate.counters()["sequences_full"] == 0
    kernel.asks(99_999, Act.READ, b"/etc/passwd", 0, identity=0)
    assert kernel.gate.counters()["sequences_full"] == 1
    for _ in range(3):
        kernel.asks(99_999, Act.READ, b"/etc/passwd", 0, identity=0)
    assert kernel.asks(99_999, Act.CONNECT, encode(TCP, "10.1.2.3", 1), 1, identity=0) == 0
