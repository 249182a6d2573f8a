"""`menshen events -f` in the guest, read as it comes: which rule denied what."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from tests.demo.steps import Attempt
from tests.guest import wire
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest


@dataclass(frozen=True)
class Denial:
    """One event of the agent, as its command line prints it."""

    number: int
    subject: str
    operation: str
    right: str
    things: frozenset[str]
    rule: str
    kind: str
    """Of the rule: default, protection, capabilities, builtin and so on."""
    place: str
    line: dict[str, Any]

    def fits(self, attempt: Attempt) -> bool:
        """Whether this is the denial of that attempt."""
        if self.subject != attempt.subject or self.operation not in attempt.operations:
            return False
        return not attempt.things or bool(self.things & set(attempt.things))

    @property
    def because(self) -> str:
        """File and line of the rule, its name, and which part of the document it is."""
        part = {"protection": "", "builtin": "", "default": " (not allowed)"}.get(
            self.kind, f" ({self.kind})"
        )
        return f"{self.place or 'built in'}  {self.rule}{part}"

    @property
    def text(self) -> str:
        """For people."""
        return f"#{self.number} {self.subject} {self.operation} {' '.join(sorted(self.things))}"


def denial(line: str) -> Denial:
    """An event from its JSON line."""
    event = json.loads(line)
    address = f"{event.get('address', '')}:{event.get('port', 0)}"
    words = (event.get("path"), event.get("target"), event.get("detail_words"))
    things = {word for word in words if word} | ({address} if event.get("address") else set())
    return Denial(
        number=event["id"],
        subject=event.get("subject", ""),
        operation=event.get("operation", ""),
        right=event.get("right", ""),
        things=frozenset(things),
        rule=event.get("rule_name", ""),
        kind=event.get("rule_kind", ""),
        place=event.get("rule_place", ""),
        line=event,
    )


class Denials:
    """All denials since the start."""

    def __init__(self, guest: Guest) -> None:
        self.all: list[Denial] = []
        self._arrived = threading.Condition()
        self._process = guest.popen("exec menshen events -f -o json --kind denial -n 0")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.fault = ""
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        try:
            for kind, data in self._process.events():
                if kind != wire.OUT:
                    self.fault += data.decode(errors="replace")
                    continue
                *lines, rest = (rest + data).split(b"\n")
                with self._arrived:
                    self.all += [denial(line.decode()) for line in lines]
                    self._arrived.notify_all()
        except ChannelError as error:
            self.fault += str(error)

    def wait_for(self, attempt: Attempt, since: int, seconds: float) -> Denial | None:
        """The denial of an attempt among those after the first `since`, as soon as it is there."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while True:
                for one in self.all[since:]:
                    if one.fits(attempt):
                        return one
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._arrived.wait(left)

    def stop(self) -> None:
        """Ends the command."""
        self._process.signal(15)
