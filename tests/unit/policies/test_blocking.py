"""The text of a sequence with `mode: block`, however it was written."""

from __future__ import annotations

import pytest

from policies import parse_text
from policies.blocking import to_block
from tests.unit.policies.test_sequence import BLOCKING

ALERTING = BLOCKING.replace("mode: block", "mode: alert")
ABSENT = "".join(line for line in BLOCKING.splitlines(keepends=True) if "mode: block" not in line)
OTHER = ABSENT.replace("name: story", "name: other", 1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BLOCKING, id="it blocks already"),
        pytest.param(ALERTING, id="it says that it alerts"),
        pytest.param(ABSENT, id="it says nothing"),
        pytest.param(f"{OTHER}---\n{ABSENT}", id="behind another"),
        pytest.param(f"{ABSENT}---\n{OTHER}", id="before another"),
        pytest.param(f"# a comment\n---\n{ABSENT}", id="behind a comment"),
    ],
)
def test_only_its_mode_is_changed(text: str) -> None:
    (sequence,) = (each for each in parse_text(text).sequences if each.name == "story")
    (changed,) = parse_text(to_block(text, sequence)).sequences
    assert changed.name == "story"
    assert changed.blocks
    assert changed.digest == sequence.digest
