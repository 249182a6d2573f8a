"""Lint of sequences: steps that can never be taken, and limits that never matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policies import durations
from policies.checks.issue import Issue, Subject, Validator, validator, warning
from policies.sequence import Captured, Step


@validator("impossible-step")
def impossible_steps(subject: Subject) -> Iterator[Issue]:
    """A step of a sequence that can never be taken, so that the sequence never comes true."""
    for sequence in subject.compiled.documents.sequences:
        for step in sequence.steps:
            fixed = _fixed(step)
            if step.distinct in fixed:
                message = (
                    f'step "{step.name}" counts different values of {step.distinct}, and where allows one'
                )
                yield warning("impossible-step", message, step.place, "remove it from where, or count events")


def _fixed(step: Step) -> set[str]:
    return {field for field, _ in step.where}


@validator("idle-limit")
def idle_limits(subject: Subject) -> Iterator[Issue]:
    """A time or condition of a sequence that changes nothing."""
    for sequence in subject.compiled.documents.sequences:
        for number, step in enumerate(sequence.steps):
            if number == 0 and step.within and step.count == 1:
                message = f'step "{step.name}" is one event, and within asks how long it takes'
                yield warning("idle-limit", message, step.place, "leave it out, or write it in the next step")
            elif step.within >= sequence.within:
                longest = durations.show(sequence.within)
                message = f'step "{step.name}" may take as long as the whole sequence, {longest}'
                yield warning("idle-limit", message, step.place, "leave within out, or make it shorter")
        used = {
            value.name for step in sequence.steps for _, value in step.where if isinstance(value, Captured)
        }
        for step in sequence.steps:
            for name in sorted({name for name, _ in step.capture} - used):
                message = f'step "{step.name}" captures "{name}", and no later step asks for it'
                yield warning(
                    "idle-limit", message, step.place, f"write where: {{path: ${name}}} in a later step"
                )


SEQUENCES: Final[tuple[Validator, ...]] = (impossible_steps, idle_limits)
