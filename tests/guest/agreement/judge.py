"""The kernel's answers beside the evaluator's: every event, and what the call returned."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from bpf_lsm.events import Event
from bpf_lsm.layout import PATH_MAX, EventKind, Operation
from policies.evaluate import Evaluator, Verdict
from policies.image import Right
from policies.operations import Name, Operations, first_denial
from tests.guest.agreement.stage import Actor, Played
from tests.guest.agreement.world import Thing

DENIED: Final = (-errno.EACCES, -errno.EPERM)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a hook asks. `path` is what the event says of the object; None: nothing."""

    verdict: Verdict
    operation: Operation
    path: bytes | None = None
    error: int = errno.EACCES
    optional: bool = False
    """Some kernels ask it, others do not: only ever a repetition, which changes nothing."""
    row: int | None = None
    """Whom it is asked of, if not of the actor."""


@dataclass(slots=True)
class View:
    """What is known while a round is judged: the policy, the answers, and which inodes carry a label."""

    evaluator: Evaluator
    played: Played
    actors: Sequence[Actor]
    aliases: dict[str, int] = field(default_factory=dict)

    def operations(self, actor: int) -> Operations:
        """Of an actor."""
        return Operations(self.evaluator, self.evaluator.row(self.actors[actor].identity))

    def result(self, step: int) -> int:
        """What a step returned."""
        return int(self.played.answers[step]["result"])

    def name(self, thing: Thing) -> Name:
        """A thing as the evaluator sees it."""
        alias = self.aliases.get(thing.inode) if thing.inode else None
        return Name(thing.path, thing.foreign, alias or None)

    def linked(self, old: Thing, new: Thing) -> None:
        """A link was made: the first name's class stays with the inode."""
        (before, _), (after, _) = (self.evaluator.classify(each.path) for each in (old, new))
        if before and before != after:
            self.aliases.setdefault(old.inode or repr(old.path), before)

    def renewed(self, thing: Thing) -> None:
        """It is another inode now."""
        self.aliases.pop(thing.inode or repr(thing.path), None)


Steps = Callable[[View], Iterator[Step]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an access is to come to: hooks that are asked, in order, and errors of the call itself."""

    steps: Iterable[Step]
    natural: tuple[int, ...] = ()
    """Errors (negative) that the call may end with when nobody denies it."""
    fails: bool = False
    """It ends with one of them."""
    becomes: Callable[[View], int] | None = None
    """For an exec that succeeds: the identity that the program has."""


class Asked(Protocol):
    """An access as it is judged."""

    @property
    def step(self) -> int: ...
    @property
    def access(self) -> int: ...
    @property
    def actor(self) -> int: ...
    @property
    def what(self) -> str: ...
    def outcome(self, view: View) -> Outcome:
        """What it is to come to, as things are now."""

    def after(self, view: View, *, denied: bool) -> None:
        """What is so now."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a step of an actor is, in the evaluator's words."""

    step: int
    access: int
    actor: int
    what: str
    asked: Steps
    natural: tuple[int, ...] = ()
    """Errors that the call ends with when nobody denies it."""
    then: Callable[[View], None] | None = None
    """What else is so once no hook denied it."""
    becomes: Callable[[View], int] | None = None

    def outcome(self, view: View) -> Outcome:
        return Outcome(self.asked(view), self.natural, becomes=self.becomes)

    def after(self, view: View, *, denied: bool) -> None:
        if self.then and not denied:
            self.then(view)


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that the lead does and that matters to later questions."""

    step: int
    then: Callable[[View], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """One access that the two do not agree on."""

    question: Asked
    actor: Actor
    expected: str
    found: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"access {self.question.access}: {self.question.what}, "
                f"by {self.actor.name} ({self.actor.identity})",
                f"  evaluator: {self.expected}",
                f"  kernel:    {self.found}",
            ]
        )


@dataclass(slots=True)
class Findings:
    """What came of a round, or of several."""

    judged: int = 0
    denied: int = 0
    reported: int = 0
    """Would have been denied."""
    differences: list[Difference] = field(default_factory=list)


def judge(view: View, items: Iterable[Asked | Effect], *, to_the_first: bool = False) -> Findings:
    """Hold every access of a round against the evaluator; all of them, or up to the first difference."""
    found = Findings()
    events = _by_process(view.played.denials)
    for item in items:
        answer = view.played.answers[item.step]
        if not answer["done"]:
            continue
        result, begin, end = int(answer["result"]), int(answer["begin"]), int(answer["end"])
        if isinstance(item, Effect):
            if result >= 0:
                item.then(view)
            continue
        found.judged += 1
        told = [each for each in events.get(int(answer["pid"]), ()) if begin <= each.time <= end]
        found.denied += any(each.kind is EventKind.DENIAL for each in told)
        found.reported += bool(told)
        outcome = item.outcome(view)
        expected = list(_until_denied(outcome.steps))
        if problem := _compare(view, item, replace(outcome, steps=expected), told, result):
            wanted = "; ".join(map(_tell_step, expected)) or "allowed"
            events_told = "; ".join(map(_tell, told)) or "no event"
            said = errno.errorcode.get(-result, str(result)) if result < 0 else str(result)
            difference = Difference(
                item, view.actors[item.actor], wanted, f"{said}, {events_told} ({problem})"
            )
            found.differences.append(difference)
            if to_the_first:
                break
        item.after(view, denied=any(step.verdict.enforced for step in expected))
    return found


def _by_process(events: Iterable[Event]) -> Mapping[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(event.pid, []).append(event)
    return found


def _until_denied(steps: Iterable[Step]) -> Iterator[Step]:
    """What is reported, up to what ends the call."""
    for step in steps:
        if step.verdict.reported:
            yield step
        if step.verdict.enforced:
            return


def _compare(view: View, question: Asked, outcome: Outcome, told: list[Event], result: int) -> str:
    """What is wrong; empty if nothing is."""
    expected = list(outcome.steps)
    row = view.operations(question.actor).row
    capabilities = [each for each in told if each.operation is Operation.CAPABLE]
    # A module that the kernel would load on demand is judged too; whether it is there already we do not know.
    told = [each for each in told if each.operation not in (Operation.CAPABLE, Operation.MODULE)]
    cut_short = False
    for each in capabilities:
        verdict = view.evaluator.capability(row, each.detail)
        if (
            not verdict.reported
            or verdict.rule != each.rule
            or verdict.enforced != (each.kind is EventKind.DENIAL)
        ):
            return f"capability {each.detail} is {verdict}"
        cut_short |= verdict.enforced
    at = 0
    for event in told:
        while at < len(expected) and expected[at].optional and not _same(view, expected[at], event, row):
            at += 1
        if at == len(expected):
            return "an event too many"
        if not _same(view, expected[at], event, row):
            return "another event"
        at += 1
    left = [step for step in expected[at:] if not step.optional]
    if left and not (cut_short and result in DENIED):
        return "an event is missing"
    denial = next((step for step in expected if step.verdict.enforced), None)
    if denial and not left and result != -denial.error:
        return f"it was denied and returned {result}"
    if denial or (cut_short and result in DENIED):
        return ""
    if result in DENIED and result not in outcome.natural:
        return f"nobody denied it and it returned {result}"
    if result < 0 and result not in outcome.natural:
        return f"the access itself failed: {errno.errorcode.get(-result, result)}"
    if result >= 0 and outcome.fails:
        return "it was to fail"
    if outcome.becomes and result >= 0:
        return _compare_identity(view, question, outcome.becomes(view))
    return ""


def _compare_identity(view: View, question: Asked, wanted: int) -> str:
    answer = view.played.answers[question.step]
    for event in view.played.events:
        if event.pid == int(answer["pid"]) and int(answer["begin"]) <= event.time <= int(answer["end"]):
            return "" if event.subject == wanted else f"it became {event.subject} and not {wanted}"
    return "no event of the exec"


def _same(view: View, step: Step, event: Event, row: int) -> bool:
    verdict = step.verdict
    return (
        event.rule == verdict.rule
        and event.right == int(verdict.right)
        and event.operation is step.operation
        and (event.kind is EventKind.DENIAL) == verdict.enforced
        and event.row == (row if step.row is None else step.row)
        and event.generation == view.played.said["generation"]
        and (step.path is None or _path_matches(step.path, event.path.encode("utf-8", "surrogateescape")))
    )


def _path_matches(wanted: bytes, found: bytes) -> bool:
    if wanted.endswith(b"/#"):  # a file without a name, by its inode number
        head, _, tail = found.rpartition(b"#")
        return head + b"#" == wanted and tail.isdigit()
    return found == wanted[:PATH_MAX] or (
        len(wanted) > PATH_MAX and len(found) > 2000 and wanted.startswith(found)
    )


def _right(number: int) -> str:
    return Right(number).name if number in set(Right) else str(number)


def _tell(event: Event) -> str:
    right = _right(event.right)
    what = f"{event.kind.name} {event.operation.name} {right} rule {event.rule}"
    return f"{what} detail {event.detail:#x} {event.path!r}"


def _tell_step(step: Step) -> str:
    verdict = step.verdict
    kind = "DENIAL" if verdict.enforced else "WOULD_DENY"
    right = _right(verdict.right)
    optional = " (optional)" if step.optional else ""
    return f"{kind} {step.operation.name} {right} rule {int(verdict.rule)} {step.path!r}{optional}"


def label(verdicts: Iterator[Verdict], *labels: tuple[Operation, bytes | None]) -> Iterator[Step]:
    """Verdicts with what the events say of them; all that come after the last label are one question."""
    *single, last = labels
    for operation, path in single:
        verdict = next(verdicts, None)
        if verdict is None:
            return
        yield Step(verdict, operation, path)
    rest = list(verdicts)
    if rest:
        yield Step(first_denial(rest), last[0], last[1])
