"""The intruder at work: every attempt is made, and what became of it is written down."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.demo.calls import Answer, error_name, parse
from tests.demo.denials import Denial, Denials
from tests.demo.outside import Outside
from tests.demo.steps import Attempt, Target, attempts, memory_map
from tests.demo.traffic import http_request
from tests.demo.world import FOOTHOLD, SSH
from tests.guest.guest import Guest

EVENT_SECONDS = 20.0
ARRIVAL_SECONDS = 5.0
SYSCALL = "/debug/syscall"


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt."""

    attempt: Attempt
    error: str
    """What the kernel answered, by its name; `success` if it let it pass."""
    succeeded: bool
    """It passed, and what it was for is there."""
    denial: Denial | None = None
    fault: str = ""
    """Why this counts neither as denied nor as succeeded."""

    @property
    def denied(self) -> bool:
        """Denied by Menshen: refused by the kernel, and an event names the rule."""
        return not self.succeeded and not self.fault and self.denial is not None and bool(self.denial.rule)


class Intruder:
    """Comes in through nginx and the service's forgotten endpoint, and once with a stolen login."""

    def __init__(
        self, guest: Guest, port: int, target: Target, outside: Outside, denials: Denials | None
    ) -> None:
        self._guest = guest
        self._port = port
        self._target = target
        self._outside = outside
        self._denials = denials

    def work(self, tell: Callable[[Outcome], None]) -> list[Outcome]:
        """Every attempt, in order."""
        outcomes = []
        self._stolen_login()
        self._look_around()
        for attempt in attempts(self._target):
            outcome = self._try(attempt)
            tell(outcome)
            outcomes.append(outcome)
        return outcomes

    def _stolen_login(self) -> None:
        """Whoever has a login may bring a file along; starting it is another matter."""
        self._guest.run(f"{SSH} 'cat >{FOOTHOLD} && chmod 755 {FOOTHOLD}'", input=self._target.foothold)

    def _look_around(self) -> None:
        """Where sshd's program lies in memory, if that can be seen."""
        answer = self._call(memory_map(self._target))
        shown = re.match(rb"([0-9a-f]+)-[0-9a-f]+ r", answer.outputs[0])
        if shown:
            self._target = replace(self._target, memory=int(shown[1], 16))

    def _try(self, attempt: Attempt) -> Outcome:
        since = len(self._denials.all) if self._denials else 0
        outcome = self._shell(attempt) if attempt.shell else self._from_inside(attempt)
        if self._denials and not outcome.succeeded and not outcome.fault:
            outcome = replace(outcome, denial=self._denials.wait_for(attempt, since, EVENT_SECONDS))
        if outcome.succeeded and attempt.undo:
            self._guest.run(attempt.undo)
        return outcome

    def _call(self, attempt: Attempt) -> Answer:
        assert attempt.calls is not None
        return parse(http_request(self._port, "POST", SYSCALL, attempt.calls.body()).decode())

    def _from_inside(self, attempt: Attempt) -> Outcome:
        answer = self._call(attempt)
        for number in range(attempt.judged):
            if answer.error(number):
                fault = f"its preparation failed: call {number}, {error_name(answer.error(number))}"
                return Outcome(attempt, error_name(answer.error(number)), succeeded=False, fault=fault)
        error = answer.error(attempt.judged)
        if error:
            return Outcome(attempt, error_name(error), succeeded=False)
        if not attempt.shows(answer):
            return Outcome(attempt, "success", succeeded=False, fault="it passed, but had no effect")
        if attempt.sends and not self._outside.got(attempt.sends, ARRIVAL_SECONDS):
            return Outcome(attempt, "success", succeeded=False, fault="it passed, but nothing arrived")
        return Outcome(attempt, "success", succeeded=True)

    def _shell(self, attempt: Attempt) -> Outcome:
        result = self._guest.run(f"{SSH} '{attempt.shell}'", check=False)
        errors = [int(line.split(" ")[1]) for line in result.stdout.splitlines() if " " in line]
        if not errors:
            said = (result.stdout + result.stderr).strip()
            return Outcome(attempt, "", succeeded=False, fault=f"it did not start: {said}")
        return Outcome(attempt, error_name(errors[0]), succeeded=attempt.reads in result.stdout)
