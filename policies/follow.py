"""Sequences that block, followed from an image as the kernel programs do (bpf_lsm/src/sequence.h).

For each session and sequence there is one wait for each step. It is simpler than the watch's engine, and
finds no more: of two ways to have come so far it keeps the one with progress, or else the newer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from policies.compile.sequences import ACTS
from policies.evaluate import ALLOWED, Evaluator, Verdict
from policies.image import MAX_STEPS, Operation, StepFlag
from policies.sequence import Act


@dataclass(slots=True)
class Wait:
    """For one step: when the sequence began (0: it has not come here), until when, and which ports so far."""

    start: int = 0
    until: int = 0
    ports: list[int] = field(default_factory=list)


class Follower:
    """The state of all sessions. Times are nanoseconds."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.gaps: dict[int, int] = {}
        """Session -> when events of it were lost last: what had begun before then is not blocked."""
        self.revoked: set[int] = set()
        """Ids of sequences that are not to block, whatever the image says."""
        self._waits: dict[tuple[int, int], list[Wait]] = {}

    def follow(
        self, session: int, number: int, act: Act, now: int, *, identified: bool = False, port: int = 0
    ) -> Verdict:
        """An access that nothing else denies, to an object of a class; `port` of an endpoint."""
        rights, operation = ACTS[act]
        return self.asks(session, number, rights, operation, now, identified=identified, port=port)

    def asks(
        self,
        session: int,
        number: int,
        wanted: int,
        operation: int,
        now: int,
        *,
        identified: bool = False,
        port: int = 0,
    ) -> Verdict:
        """The same, as a hook asks: for rights, in an operation."""
        if not session or not wanted & int(self.evaluator.header["sequence_rights"]):
            return ALLOWED
        table = self.evaluator.sequences[0]
        slots = int(self.evaluator.slots[number]) & self._concerned(table, wanted)
        if identified:
            slots &= ~int(table["unidentified"])
        told = ALLOWED
        while slots:
            slot = (slots & -slots).bit_length() - 1
            slots &= slots - 1
            step = table["steps"][slot]
            if int(step["operation"]) not in (Operation.ANY, operation):
                continue
            verdict = self._step(session, step, wanted, now, port)
            if verdict.enforced > told.enforced or not told.reported:
                told = verdict
        return told

    def _concerned(self, table: Any, wanted: int) -> int:
        found = 0
        for right, slots in enumerate(table["by_right"].tolist()):
            if wanted >> right & 1:
                found |= slots
        return found

    def _step(self, session: int, step: Any, wanted: int, now: int, port: int) -> Verdict:
        sequence = self.evaluator.sequences[0]["sequences"][int(step["sequence"])]
        at, flags = int(step["step"]), int(step["flags"])
        key = (session, int(sequence["id"]))
        waits = self._waits.get(key)
        if flags & StepFlag.ABSENT:
            if waits is not None:
                waits[at].start = 0
            return ALLOWED
        if waits is None:
            if at:
                return ALLOWED
            waits = self._waits[key] = [Wait() for _ in range(MAX_STEPS)]
        wait, within = waits[at], int(sequence["within"])
        if not wait.start or now > wait.until:
            if at:
                wait.start = 0
                return ALLOWED
            wait.start, wait.until, wait.ports = now, now + min(within, int(step["within"])), []
        needed = int(step["count"]) - 1
        distinct = bool(flags & StepFlag.DISTINCT)
        seen = distinct and port in wait.ports
        start = wait.start
        whole = len(wait.ports) - seen >= needed
        last = whole and at + 1 == int(sequence["n_steps"])
        enforced = last and self.gaps.get(session, 0) < start and int(sequence["id"]) not in self.revoked
        if not enforced and not seen and len(wait.ports) < needed + distinct:
            wait.ports.append(port)
        if not whole:
            return ALLOWED
        if at == 0 and needed == 0:
            start, wait.start = now, 0
        if not last:
            following = waits[at + 1]
            if not following.start or not following.ports or now > following.until:
                until = min(start + within, now + int(step["next_within"]))
                following.start, following.until, following.ports = start, until, []
            return ALLOWED
        if not enforced:
            wait.start = 0
        right = (wanted & -wanted).bit_length() - 1
        return Verdict(
            not enforced, reported=True, enforced=enforced, rule=int(sequence["rule"]), right=right
        )
