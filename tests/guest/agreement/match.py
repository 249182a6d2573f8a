"""The evaluator against the kernel: rounds from a seed, played, judged, and what differs made small."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from policies.compile import compile_documents
from policies.errors import PolicyErrors
from policies.evaluate import Evaluator
from policies.parse import parse_text
from tests.guest.agreement import policies, rounds, world
from tests.guest.agreement.judge import Difference, Findings, View, judge
from tests.guest.agreement.stage import CAPACITY, LEAD, Actor, Played, Round, Stage

ACCESSES: Final = 260
"""Of one round; each is judged once or a few times."""
LINKED: Final = tuple(thing for thing in world.THINGS if thing.inode)
CAST: Final = (Actor("lead", LEAD), *world.ACTORS)
SHRINK_PLAYS: Final = 12
PREPARED: Final = "prepared"
"""The snapshot with the gate loaded."""


@dataclass(frozen=True, slots=True)
class Match:
    """One policy and some accesses."""

    seed: str
    documents: tuple[Any, ...]
    image: bytes
    accesses: tuple[int, ...] = tuple(range(ACCESSES))

    @property
    def text(self) -> str:
        return "\n---\n".join(json.dumps(each, ensure_ascii=False) for each in self.documents)


@cache
def make(seed: str) -> Match:
    """A round of its own seed."""
    text, compiled = policies.make(random.Random(seed))
    return Match(seed, tuple(json.loads(each) for each in text.split("\n---\n")), compiled.image)


def play(stage: Stage, matches: Sequence[Match]) -> list[Findings]:
    """All of them, on the guest as it was when it was prepared."""
    stage.guest.restore(PREPARED)
    scenes = [rounds.scene(match.seed, match.accesses) for match in matches]
    plays = [Round(None, world.set_up())]
    evaluators = [Evaluator(match.image) for match in matches]
    for match, scene in zip(matches, scenes, strict=True):
        plays.append(Round(match.image, scene.script))
    setup, *played = stage.play(plays)
    _check_setup(setup)
    return [
        judge(View(evaluator, one, CAST, _aliases(one)), scene.items)
        for evaluator, one, scene in zip(evaluators, played, scenes, strict=True)
        if not _lost(one)
    ]


def _check_setup(setup: Played) -> None:
    for call, answer in zip(setup.script.calls, setup.answers, strict=True):
        assert answer["result"] >= 0 or b"/srv" in call[2], (
            f"the tree could not be made: {call} gave {answer['result']}"
        )


def _lost(played: Played) -> bool:
    lost = {
        name: played.said["counters"][name]
        for name in ("denials_lost", "events_lost", "no_scratch", "no_label")
    }
    assert not any(lost.values()), f"a round too large for the rings: {lost}"
    return False


def _aliases(played: Played) -> dict[str, int]:
    """As the agent's search gave them to the gate."""
    known = played.said["aliases"]
    return {thing.inode: known[thing.path.hex()] for thing in LINKED if known[thing.path.hex()]}


def shrink(stage: Stage, match: Match, difference: Difference) -> tuple[Match, Difference]:
    """A smaller match with a difference at the same access: first fewer accesses, then less policy."""
    number = difference.question.access
    small, found = match, difference
    for keep in _fewer(match.accesses, number):
        tried = Match(match.seed, match.documents, match.image, keep)
        if again := _still(stage, [tried], number):
            small, found = again[0]
            break
    for _ in range(SHRINK_PLAYS):
        candidates = list(_less(small))
        if not candidates or not (again := _still(stage, candidates, number)):
            break
        small, found = again[0]
    return small, found


def _fewer(accesses: Sequence[int], number: int) -> Iterator[tuple[int, ...]]:
    """It alone; what is shortly before it; what is before it."""
    yield (number,)
    at = accesses.index(number)
    for count in (3, 10, 40, at):
        yield tuple(accesses[max(0, at - count) : at + 1])


def _still(stage: Stage, matches: Sequence[Match], number: int) -> list[tuple[Match, Difference]]:
    return [
        (match, difference)
        for match, findings in zip(matches, play(stage, matches), strict=True)
        for difference in findings.differences
        if difference.question.access == number
    ]


def _less(match: Match) -> Iterator[Match]:
    """The policies with one thing left out, the largest first."""
    for documents in _variants(match.documents):
        try:
            documents_read = parse_text("\n---\n".join(map(json.dumps, documents)))
            image = compile_documents(documents_read, capacity=CAPACITY).image
        except PolicyErrors:
            continue
        yield Match(match.seed, tuple(documents), image, match.accesses)


def _variants(documents: Sequence[Any]) -> Iterator[list[Any]]:
    for at, document in enumerate(documents):
        rest = [*documents[:at], *documents[at + 1 :]]
        if rest:
            yield rest
        for section in ("files", "exec", "network", "special", "jit"):
            value = document["spec"].get(section)
            if value is None:
                continue
            smaller = {key: each for key, each in document["spec"].items() if key != section}
            yield [*documents[:at], {**document, "spec": smaller}, *documents[at + 1 :]]
            if not isinstance(value, list) or len(value) == 1:
                continue
            for index in range(len(value)):
                spec = {**document["spec"], section: [*value[:index], *value[index + 1 :]]}
                yield [*documents[:at], {**document, "spec": spec}, *documents[at + 1 :]]
