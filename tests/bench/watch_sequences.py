"""How fast 80 sequences are followed, in how much memory, and how late an alert is.

The stream goes through decoding, enrichment and the shipped rules first; what is measured is the engine of
sequences alone. A second child gets the same and follows nothing: the difference is the engine's memory.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from tests.bench.results import Row
from tests.bench.stream import stream

BAR: Final = 5e6
MEMORY: Final = 60.0
LATENESS: Final = 200.0
SEQUENCES: Final = 80
KEYS: Final = 50_000
SEED: Final = 4
TAGGED: Final = 0.05
PACED: Final = 500
"""Events of one batch where lateness is measured: 20 ms of the stream."""
LATE_EVENTS: Final = 200_000


def rows(events: int) -> list[Row]:
    """watch/sequences-80, its memory, and the lateness of alerts."""
    found, without = measure(events, follow=True), measure(events, follow=False)
    memory = found["resident"] - without["resident"]
    print(
        "  {live:,.0f} live keys, {tagged:.1%} tagged, {alerts:.0f} alerts, {looked:.2%} looked at".format(
            **found
        )
    )
    if events >= 5_000_000 and found["live"] < KEYS:
        raise AssertionError(f"{found['live']} live keys: the stream is not what the bar is for")
    return [
        Row("watch/sequences-80", found["rate"], "events/s of one core, engine alone", BAR),
        Row("watch/sequences-80-mb", memory, "MB that the engine adds", MEMORY),
        Row("watch/sequences-p99-ms", lateness(), "ms from event to alert, engine alone", LATENESS),
    ]


def measure(events: int, *, follow: bool) -> dict[str, float]:
    """Run a child."""
    command = [sys.executable, "-m", "tests.bench.watch_sequences", str(events), str(int(follow))]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(answer)
    return found


def documents(tags: Sequence[str], count: int) -> str:
    """Sequences of three or four steps over the tags, with keys in the shares of the shipped ones."""
    chosen = random.Random(SEED)
    found = []
    for number in range(count):
        names = chosen.sample(list(tags), chosen.choice((3, 4)))
        key = ("session", "session", "session", "tree", "session", "tree", "file")[number % 7]
        steps = [f"    - {{name: s{at}, tag: {name}}}" for at, name in enumerate(names)]
        if number % 3 == 0:
            steps[1] = steps[1].replace("}", ", count: 3, distinct: path}")
        if number % 4 == 0:
            steps[0] = steps[0].replace("}", ", capture: {file: path}}")
            steps[2] = steps[2].replace("}", ", where: {path: $file}}")
        found.append(
            f"apiVersion: menshen/v1\nkind: Sequence\nmetadata: {{name: story-{number}}}\nspec:\n"
            f"  title: Story {number}\n  level: low\n  key: {key}\n  within: 1d\n  steps:\n"
            + "\n".join(steps)
        )
    return "\n---\n".join(found) + "\n"


def _child(events: int, follow: bool) -> dict[str, float]:
    from detect.decode import Decoder
    from detect.enrich import Enricher
    from detect.rules.engine import RuleEngine
    from detect.rules.library import shipped
    from detect.sequences import SequenceEngine
    from policies import parse_text

    rules, decoder, enricher = RuleEngine(shipped()), Decoder(), Enricher()
    sequences = parse_text(documents([rule.name for rule in rules.rules], SEQUENCES)).sequences
    engine = SequenceEngine(sequences, rules.tags)
    spent, tagged_events, alerts, seen = 0.0, 0, 0, 0
    clock = time.process_time
    for raw in stream(events, signal=TAGGED):
        batch = enricher.enrich(decoder.decode(raw))
        tagged = rules.match(batch)
        tagged_events += len(np.unique(tagged.event))
        seen += len(batch)
        if follow:
            begin = clock()
            alerts += len(engine.feed(batch, tagged))
            spent += clock() - begin
    return {
        "rate": seen / spent if spent else 0.0,
        "resident": _resident(),
        "live": engine.live_keys,
        "tagged": tagged_events / seen,
        "alerts": alerts,
        "looked": engine.counters.looked_at / seen,
    }


def lateness() -> float:
    """p99 in milliseconds from an event to the alert that it completes.

    A batch arrives with its last event, and holds what a ring gathers in about 20 ms; the alert is there when
    `feed` has returned it. Two steps each, so that there are many.
    """
    from detect.decode import Decoder
    from detect.enrich import Enricher
    from detect.rules.engine import RuleEngine
    from detect.rules.library import shipped
    from detect.sequences import SequenceEngine
    from policies import parse_text

    rules, decoder, enricher = RuleEngine(shipped()), Decoder(), Enricher()
    names = [rule.name for rule in rules.rules]
    text = "---\n".join(
        f"apiVersion: menshen/v1\nkind: Sequence\nmetadata: {{name: pair-{number}}}\nspec:\n  title: t\n"
        f"  level: low\n  key: session\n  within: 1h\n"
        f"  steps: [{{name: a, tag: {names[number]}}}, {{name: b, tag: {names[number + 1]}}}]\n"
        for number in range(SEQUENCES)
    )
    engine = SequenceEngine(parse_text(text).sequences, rules.tags)
    late: list[float] = []
    for raw in stream(LATE_EVENTS, signal=TAGGED, batch=PACED):
        batch = enricher.enrich(decoder.decode(raw))
        tagged = rules.match(batch)
        begin = time.perf_counter()
        found = engine.feed(batch, tagged)
        arrived = int(batch["time"][-1]) + (time.perf_counter() - begin) * 1e9
        late += [(arrived - alert.time) / 1e6 for alert in found]
    if len(late) < 100:
        raise AssertionError(f"{len(late)} alerts are too few to say how late they are")
    return float(np.percentile(late, 99))


def _resident() -> float:
    """Memory that is resident now, in MB."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        (line,) = (line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_child(int(sys.argv[1]), sys.argv[2] == "1")))
