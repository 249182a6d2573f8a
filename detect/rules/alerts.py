"""Alerts of single rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from detect.alert import Alert, Evidence, Level
from detect.batch import Batch, Tagged
from detect.rules.model import Rule

PER_BATCH: Final = 32
"""Alerts of one rule from one batch; more are counted only."""


class Alerter:
    """Makes alerts of the tags below `len(rules)`, for rules of `level` and above."""

    def __init__(self, rules: Sequence[Rule], tags: int, level: Level) -> None:
        self._rules = rules
        self._loud = np.zeros(tags, bool)
        self._loud[: len(rules)] = [rule.level >= level for rule in rules]
        self.suppressed: Counter[str] = Counter()
        """By rule, alerts that were not made because a batch had too many."""

    def alerts(self, batch: Batch, tagged: Tagged) -> list[Alert]:
        """The alerts of a batch, in the order of its events."""
        found: list[Alert] = []
        made: Counter[int] = Counter()
        loud = np.nonzero(self._loud[tagged.tag])[0]
        for event, number in zip(tagged.event[loud].tolist(), tagged.tag[loud].tolist(), strict=True):
            rule = self._rules[number]
            made[number] += 1
            if made[number] > PER_BATCH:
                self.suppressed[rule.name] += 1
                continue
            row = batch.row(event)
            found.append(
                Alert(
                    time=row["time"],
                    source="rule",
                    name=rule.name,
                    title=rule.title,
                    level=rule.level,
                    session=row["session"],
                    place=rule.place,
                    chain=(Evidence(rule.title, row),),
                    tags=rule.tags,
                )
            )
        return found
