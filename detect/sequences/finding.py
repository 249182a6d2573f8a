"""A sequence that came true, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass

from detect.alert import Alert, Evidence, Level
from detect.sequences.automaton import Automaton
from detect.sequences.runs import Link


@dataclass(frozen=True, slots=True)
class Finding:
    """What the alert rests on is filled in when the batch is done."""

    automaton: Automaton
    chain: Link
    session: int
    blocked: bool
    incomplete: bool

    def alert(self) -> Alert:
        """As it is told."""
        document = self.automaton.document
        chain = [
            Evidence(self.automaton.steps[link.step].watch.name, link.event.shown())
            for link in reversed(list(self.chain))
        ]
        return Alert(
            time=chain[-1].event["time"],
            source="sequence",
            name=document.name,
            title=document.title,
            level=Level[document.level.upper()],
            session=self.session,
            place=f"{document.place.path}:{document.place.line}",
            chain=tuple(chain),
            blocked=self.blocked,
            incomplete=self.incomplete,
            tags=document.tags,
        )
