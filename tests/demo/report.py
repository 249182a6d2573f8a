"""What the demo ends with: the table, the service's line, the verdict; also as text and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.demo.certifying import SEQUENCE
from tests.demo.denials import Denial
from tests.demo.intruder import Outcome
from tests.demo.traffic import Count
from tests.demo.watching import Watched

WIDTH = 140


@dataclass(frozen=True)
class Run:
    """All that is known at the end."""

    kernel: str
    enforced: bool
    outcomes: list[Outcome]
    requests: Count
    logins: Count
    arrived: int
    """Messages of the intruder that reached the outside."""
    strangers: list[Denial]
    """Denials that belong to no attempt."""
    seconds: float
    fault: str = ""
    """What `menshen events` complained of."""
    why: str = ""
    """`menshen why` of one denial."""
    watched: Watched | None = None
    """The last act; None without Menshen."""

    @property
    def shown(self) -> list[Outcome]:
        """What the table shows."""
        return [*self.outcomes, *([self.watched.last] if self.watched is not None else [])]

    @property
    def served(self) -> bool:
        """Whether all normal requests were answered."""
        return bool(self.requests.done and self.logins.done) and not (
            self.requests.failures or self.logins.failures
        )

    @property
    def passed(self) -> bool:
        """Every attempt denied by a rule that is named, every normal request answered, the last act right."""
        return (
            self.enforced
            and bool(self.outcomes)
            and all(one.denied for one in self.outcomes)
            and self.served
            and not self.arrived
            and self.watched is not None
            and not self.watched.faults
        )


def word(outcome: Outcome) -> str:
    """What became of it, in a word."""
    if outcome.fault:
        return "unclear"
    if outcome.succeeded:
        return "succeeded"
    return "denied" if outcome.denied else "failed, but no rule says so"


_COLOURS = {"denied": "green", "succeeded": "bold red"}


def rule_of(outcome: Outcome) -> str:
    """Where the rule stands, and what it is."""
    return outcome.denial.because if outcome.denial else outcome.fault or "-"


def table(run: Run) -> Table:
    """One row an attempt."""
    mode = "Menshen enforcing" if run.enforced else "enforcement off"
    result = Table(box=ROUNDED, title=f"An intrusion into payments/api, kernel {run.kernel}, {mode}")
    for name, options in (
        ("", {"justify": "right"}),
        ("the intruder", {}),
        ("the kernel", {}),
        ("so it", {}),
        ("by the rule", {"overflow": "fold"}),
    ):
        result.add_column(name, **options)  # type: ignore[arg-type]
    last = 0
    for one in run.shown:
        attempt = one.attempt
        if last and attempt.step != last:
            result.add_section()
        became = word(one)
        result.add_row(
            str(attempt.step) if attempt.step != last else "",
            attempt.what,
            one.error,
            Text(became, _COLOURS.get(became, "yellow")),
            rule_of(one),
        )
        last = attempt.step
    return result


def summary(run: Run) -> list[str]:
    """The lines below the table."""
    count, steps = len(run.outcomes), len({one.attempt.step for one in run.outcomes})
    denied = sum(one.denied for one in run.outcomes)
    passed = sum(one.succeeded for one in run.outcomes)
    requests, logins = run.requests, run.logins
    lines = [
        f"intruder  {count} attempts in {steps} steps: {denied} denied by a rule, {passed} succeeded, "
        f"{count - denied - passed} neither; {run.arrived} messages reached the outside",
        f"service   {len(requests.failures)} failed of {requests.done} requests (slowest "
        f"{requests.slowest:.1f} s), {len(logins.failures)} failed of {logins.done} logins",
    ]
    lines += [f"          {failure}" for failure in (*requests.failures, *logins.failures)[:10]]
    if run.watched is not None:
        lines += _watched(run.watched)
    if run.enforced:
        lines.append(f"others    {len(run.strangers)} not explained by an attempt of the intruder")
        if run.fault:
            lines.append(f"events    {run.fault}")
        lines += [f"          {one.text}: {one.because}" for one in run.strangers[:20]]
    lines.append(f"{'PASS' if run.passed else 'FAIL'}      {_verdict(run)} ({run.seconds:.0f} s)")
    return lines


def _watched(watched: Watched) -> list[str]:
    """The last act."""
    return [
        f"sequence  {SEQUENCE}: its connects {', '.join(watched.connects)}; the alert's steps "
        f"{', '.join(dict.fromkeys(watched.chain)) or 'none, it was not told'}",
        f"          its benign twins' {', '.join(watched.twins)}; false alerts and denials: "
        f"{', '.join(watched.false) or 'none'}",
        f"          after a report that it was wrong {', '.join(watched.revoked)}",
        f"watch     {watched.events} events, {watched.lost} lost",
    ]


def _verdict(run: Run) -> str:
    if run.passed:
        return "every attempt was denied by a rule, what is benign was answered"
    faults = []
    if not run.enforced:
        faults.append("enforcement was off")
    if passed := sum(one.succeeded for one in run.outcomes):
        faults.append(f"{passed} attempts succeeded")
    if unclear := sum(not one.denied and not one.succeeded for one in run.outcomes):
        faults.append(f"{unclear} attempts failed with no rule that denied them")
    if not run.served:
        faults.append("normal requests failed")
    faults += run.watched.faults if run.watched else []
    return ", ".join(faults) or "nothing was attempted"


def show(run: Run, console: Console) -> None:
    """To a terminal or a log."""
    console.print()
    console.print(table(run))
    if run.why:
        console.print(Text(run.why), soft_wrap=True)
    if run.watched is not None:
        for text in (run.watched.certified, run.watched.shown):
            console.print(Text(text.rstrip("\n")), soft_wrap=True)
    for line in summary(run):
        colour = {"PASS": "bold green", "FAIL": "bold red"}.get(line.split(" ")[0], "")
        console.print(Text(line, colour), soft_wrap=True)


def write(run: Run, folder: Path) -> None:
    """demo.txt and demo.json; demo-off.* without enforcement, so that the one does not replace the other."""
    folder.mkdir(exist_ok=True)
    name = "demo" if run.enforced else "demo-off"
    text = Console(file=StringIO(), width=WIDTH, force_terminal=False, highlight=False)
    show(run, text)
    assert isinstance(text.file, StringIO)
    (folder / f"{name}.txt").write_text(text.file.getvalue().lstrip("\n"))
    (folder / f"{name}.json").write_text(json.dumps(as_json(run), indent=1) + "\n")


def as_json(run: Run) -> dict[str, Any]:
    """For programs."""
    return {
        "kernel": run.kernel,
        "enforced": run.enforced,
        "passed": run.passed,
        "seconds": round(run.seconds, 1),
        "attempts": [_attempt(one) for one in run.outcomes],
        "requests": {"done": run.requests.done, "failures": run.requests.failures},
        "logins": {"done": run.logins.done, "failures": run.logins.failures},
        "arrived_outside": run.arrived,
        "last_act": _last_act(run.watched) if run.watched else None,
        "other_denials": [one.line for one in run.strangers],
    }


def _attempt(one: Outcome) -> dict[str, Any]:
    return {
        "step": one.attempt.step,
        "what": one.attempt.what,
        "error": one.error,
        "result": word(one),
        "fault": one.fault,
        "event": one.denial.line if one.denial else None,
    }


def _last_act(watched: Watched) -> dict[str, Any]:
    plain = {each.name: getattr(watched, each.name) for each in fields(watched) if each.name != "last"}
    return {**plain, "last": _attempt(watched.last), "faults": watched.faults}
