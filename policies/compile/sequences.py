"""Sequences that block, as the kernel follows them: a slot for each step, and what objects concern it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from policies.endpoint import EndpointPattern
from policies.errors import PolicyError, PolicyErrors
from policies.image import MAX_SEQUENCES, MAX_SLOTS, Operation, Right, StepFlag
from policies.layout import SEQUENCES
from policies.meta import RuleEntry
from policies.model import Mode
from policies.pattern import Pattern
from policies.sequence import Act, KernelForm, Sequence, Step

ACTS: Final = {
    Act.READ: (1 << Right.READ, Operation.OPEN),
    Act.WRITE: (1 << Right.WRITE | 1 << Right.APPEND, Operation.OPEN),
    Act.CREATE: (1 << Right.CREATE, Operation.ANY),
    Act.DELETE: (1 << Right.DELETE, Operation.ANY),
    Act.RENAME: (1 << Right.RENAME, Operation.ANY),
    Act.LINK: (1 << Right.LINK, Operation.ANY),
    Act.CHMOD: (1 << Right.ATTRIBUTES, Operation.CHMOD),
    Act.EXECUTE: (1 << Right.EXECUTE, Operation.EXEC),
    Act.CONNECT: (1 << Right.CONNECT, Operation.ANY),
}
"""The rights of which one must be asked for, and the operation that must ask."""

FOREVER: Final = (1 << 63) - 1
"""Nanoseconds; stands for no limit."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One step at work. `step` is the one that it completes, or whose wait it ends if it is absent."""

    number: int
    sequence: int
    step: int
    written: Step
    form: KernelForm

    @property
    def globs(self) -> tuple[Pattern | EndpointPattern, ...]:
        """What its objects match."""
        return (*self.form.paths, *self.form.endpoints)


@dataclass(frozen=True, slots=True)
class Blocking:
    """The sequences that block, and their steps."""

    sequences: tuple[Sequence, ...]
    slots: tuple[Slot, ...]


def blocking(sequences: Iterable[Sequence]) -> Blocking:
    """Number the steps. Of one sequence the last comes first, so that one event does not do two steps."""
    found = tuple(each for each in sequences if each.blocks)
    slots: list[Slot] = []
    for number, sequence in enumerate(found):
        places = []
        happened = 0
        for step in sequence.steps:
            places.append(happened)
            happened += not step.absent
        for at, step in reversed(list(zip(places, sequence.steps, strict=True))):
            assert step.kernel is not None
            slots.append(Slot(len(slots), number, at, step, step.kernel))
    for what, count, limit in (
        ("sequences", len(found), MAX_SEQUENCES),
        ("steps of sequences", len(slots), MAX_SLOTS),
    ):
        if count > limit:
            message = f"{count} {what} that block, at most {limit}"
            place = found[-1].mode_place or found[-1].place
            raise PolicyErrors.of([PolicyError(message, place=place, hint="write mode: alert")])
    return Blocking(found, tuple(slots))


def rule_entry(sequence: Sequence) -> RuleEntry:
    """The rule that a denial by it names."""
    return RuleEntry("sequence", sequence.name, sequence.place, Mode.ENFORCE, sequence.title)


def table(found: Blocking, rules: tuple[int, ...]) -> npt.NDArray[np.void]:
    """The section of the image; `rules` are the numbers of the sequences' rules."""
    made = np.zeros(1, SEQUENCES)
    entry: Any = made[0]
    entry["n_sequences"], entry["n_slots"] = len(found.sequences), len(found.slots)
    for number, sequence in enumerate(found.sequences):
        happen = sum(not step.absent for step in sequence.steps)
        identity = int.from_bytes(sequence.digest[:8], "little")
        entry["sequences"][number] = (identity, sequence.within, rules[number], happen)
    for slot in found.slots:
        step, bit = slot.written, 1 << slot.number
        flags = (StepFlag.ABSENT if step.absent else 0) | (StepFlag.DISTINCT if step.distinct else 0)
        steps = [each for each in found.sequences[slot.sequence].steps if not each.absent]
        following = steps[slot.step + 1].within if slot.step + 1 < len(steps) else 0
        times = (step.within or FOREVER, following or FOREVER)
        entry["steps"][slot.number] = (
            *times,
            slot.sequence,
            slot.step,
            step.count,
            flags,
            ACTS[slot.form.operation][1],
        )
        if slot.form.unidentified:
            entry["unidentified"] |= np.uint64(bit)
        for right in Right:
            if ACTS[slot.form.operation][0] >> right & 1:
                entry["by_right"][right] |= np.uint64(bit)
    return made


def rights(found: Blocking) -> int:
    """All rights that some step is about."""
    mask = 0
    for slot in found.slots:
        mask |= ACTS[slot.form.operation][0]
    return mask
