"""What a suite said, case by case, and how two runs of it differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

TAP: Final = re.compile(
    r"^(ok|not ok) \d+ (?:- )?(?:# (?P<early>SKIP|XFAIL) )?(?P<name>\S+)(?: *# (?P<late>SKIP|XFAIL))?"
)
VERDICT: Final = re.compile(r"\bT(PASS|FAIL|BROK|CONF|WARN)\b")
PASSED: Final = ("ok", "0:")
"""How the word of a case begins that passed."""


@dataclass(frozen=True)
class Case:
    """One case of a suite. `word` is what is compared, `said` what helps to understand it."""

    word: str
    said: str


ABSENT: Final = Case("absent", "")


@dataclass(frozen=True)
class Difference:
    """A case that is not the same with Menshen in `mode` as without it."""

    name: str
    """Of the case: its program, and after a slash which of the program's it is, where it has several."""
    mode: str
    without: Case
    with_it: Case

    @property
    def program(self) -> str:
        return self.name.split("/", 1)[0]

    def __str__(self) -> str:
        said = "\n    ".join(lines_that_are_new(self.without.said, self.with_it.said))
        return f"{self.name}: {self.without.word} without, {self.with_it.word} with {self.mode}\n    {said}"


def tap(program: str, output: str) -> Iterator[tuple[str, Case]]:
    """The cases of a program with the kernel's harness, each with what was said since the one before."""
    said: list[str] = []
    for line in output.splitlines():
        found = TAP.match(line)
        if found is None:
            said.append(line)
            continue
        word = (found["early"] or found["late"] or found[1]).lower()
        yield f"{program}/{found['name']}", Case(word, "\n".join(said))
        said = []


def ltp(status: int, output: str) -> Case:
    """A program of LTP is one case: how it ended, and how many of each verdict it gave."""
    counts = Counter(found[1] for found in VERDICT.finditer(output))
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items()))
    return Case(f"{status}: {verdicts or 'nothing'}", output)


def cases(part: str, outcomes: Iterable[Mapping[str, Any]]) -> dict[str, Case]:
    """The cases of one run of one part."""
    found: dict[str, Case] = {}
    for outcome in outcomes:
        name, status, output = outcome["name"], outcome["status"], outcome["output"]
        if part == "landlock":
            found |= tap(name, output)
            found[name] = Case(f"{status}:", output[-2000:])
        else:
            found[name] = ltp(status, output)
    return found


def compare(runs: Mapping[str, dict[str, Case]], without: str) -> list[Difference]:
    """What differs in each other run from the one `without` Menshen."""
    first = runs[without]
    return [
        Difference(name, mode, first.get(name, ABSENT), run.get(name, ABSENT))
        for mode, run in runs.items()
        for name in sorted(first.keys() | run.keys())
        if first.get(name, ABSENT).word != run.get(name, ABSENT).word
    ]


def flaky(names: Iterable[str], first: Mapping[str, Case], again: Mapping[str, Case]) -> list[str]:
    """Those cases that do not end the same in two runs without Menshen."""
    return [
        name for name in sorted(set(names)) if first.get(name, ABSENT).word != again.get(name, ABSENT).word
    ]


def lines_that_are_new(before: str, after: str, most: int = 12) -> list[str]:
    """Lines of `after` that `before` has not, numbers aside."""

    def plain(line: str) -> str:
        return re.sub(r"0x[0-9a-f]+|\d+|LTP_\w+", "#", line)

    there = {plain(line) for line in before.splitlines()}
    return [line for line in after.splitlines() if plain(line) not in there][:most]


def table(runs: Mapping[str, dict[str, Case]]) -> str:
    """A line for each run: how many cases, and how many of each kind."""
    lines = []
    for mode, run in runs.items():
        passed = sum(case.word.startswith(PASSED) for case in run.values())
        lines.append(f"{mode:10} {len(run):5} cases {passed:5} passed")
    return "\n".join(lines)
