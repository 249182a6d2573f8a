"""From what a source gives to what is kept and told: decode, enrich, rules, sequences, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bpf_lsm.observation import Raw
from detect.alert import Alert
from detect.batch import Batch, Tagged
from detect.decode import Decoder
from detect.enrich import Enricher


class Rules(Protocol):
    """detect.rules.engine.RuleEngine, as far as it is needed here."""

    tags: tuple[str, ...]
    """By number."""

    def match(self, batch: Batch) -> Tagged:
        """Which events carry which tags."""

    def alerts(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        """Of the rules that are certain by themselves."""


class Sequences(Protocol):
    """detect.sequences.SequenceEngine, as far as it is needed here."""

    @property
    def live_keys(self) -> int:
        """Sequences times keys that have a partial match."""

    def feed(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        """What came true with these events, as far as their order is certain."""

    def drain(self) -> list[Alert]:
        """The rest of it, when the stream has paused."""

    def gap(self, session: int) -> None:
        """Events of a session were lost."""

    def blocks(self, rules: Mapping[int, str]) -> None:
        """Rules of the gate that are sequences, by name: a denial by one is that sequence's last step."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    batch: Batch
    tagged: Tagged
    alerts: list[Alert]


class Pipeline:
    """The state of one host's stream."""

    def __init__(self, decoder: Decoder, enricher: Enricher, rules: Rules, sequences: Sequences) -> None:
        self.decoder = decoder
        self.enricher = enricher
        self.rules = rules
        self.sequences = sequences

    def process(self, raw: Raw) -> Outcome:
        """Records of a source."""
        return self.judge(self.decoder.decode(raw))

    def judge(self, batch: Batch) -> Outcome:
        """Events that are decoded already."""
        batch = self.enricher.enrich(batch)
        tagged = self.rules.match(batch)
        alerts = [*self.rules.alerts(batch, tagged), *self.sequences.feed(batch, tagged)]
        return Outcome(batch, tagged, alerts)

    def pause(self) -> list[Alert]:
        """Nothing came for a while: what was held back for the sake of order is certain now."""
        return self.sequences.drain()
