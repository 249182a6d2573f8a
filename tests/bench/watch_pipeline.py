"""How fast the watch decodes, enriches and matches, how much memory that takes, and what peers do on a slice.

The stream is made in this process and read by a child through a pipe, so that the child's memory and time are
those of the watch alone.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Final

from bpf_lsm.observation import Raw
from tests.bench.results import Row
from tests.bench.stream import stream

BARS: Final = {"watch/decode": 2e6, "watch/rules-250": 1.5e6, "watch/rss-mb": 150.0}
RULES: Final = (250, 1000)
CHECKED: Final = 2_000
"""Events at the beginning that are also read plainly: a bench of what is wrong is worth nothing."""
SLICE: Final = {"eql": 2_000, "pysigma-sqlite": 20_000}
"""Events that the peers get."""
_UNIT: Final = "events/s of one core"


def rows(events: int) -> list[Row]:
    """watch/decode, watch/rules-250, watch/rules-1000, watch/rss-mb."""
    from tests.bench.watch_peers import eql, sqlite

    measured = {count: measure(events, count) for count in RULES}
    few = measured[RULES[0]]
    peers = {
        count: {"eql": eql(count, SLICE["eql"]), "pysigma-sqlite": sqlite(count, SLICE["pysigma-sqlite"])}
        for count in RULES
    }
    names = {count: f"watch/rules-{count}" for count in RULES}
    return [
        Row("watch/decode", few["decode"], _UNIT, BARS["watch/decode"]),
        *(
            Row(names[count], each["all"], _UNIT, BARS.get(names[count]), peers[count])
            for count, each in measured.items()
        ),
        Row("watch/rss-mb", few["rss"], "MB resident, decode to rules", BARS["watch/rss-mb"]),
    ]


def measure(events: int, count: int) -> dict[str, float]:
    """Run the child over the stream."""
    command = [sys.executable, "-m", "tests.bench.watch_pipeline", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for raw in stream(events):
            pickle.dump(raw, child.stdin, pickle.HIGHEST_PROTOCOL)
        child.stdin.close()
        answer = child.stdout.read()
    if child.returncode:
        raise RuntimeError(f"the child ended with {child.returncode}")
    found: dict[str, float] = json.loads(answer)
    note = "{} rules: ready in {load:.1f} s; {tagged:.1%} of events tagged; match alone {match:,.0f} events/s"
    print("  " + note.format(count, **found), flush=True)
    return found


def _received(pipe: IO[bytes]) -> Iterator[Raw]:
    while True:
        try:
            raw: Raw = pickle.load(pipe)
        except EOFError:
            return
        yield raw


def _child(count: int) -> dict[str, float]:
    """Decode, enrich and match what comes through standard input."""
    from detect.decode import Decoder
    from detect.enrich import Enricher
    from detect.rules import reference
    from detect.rules.engine import RuleEngine
    from tests.bench.many_rules import rules

    clock = time.process_time
    begin = clock()
    engine, decoder, enricher = RuleEngine(rules(count)), Decoder(), Enricher()
    load = clock() - begin
    decode = match = 0.0
    events = tagged_events = checked = 0
    for raw in _received(sys.stdin.buffer):
        begin = clock()
        batch = enricher.enrich(decoder.decode(raw))
        middle = clock()
        tagged = engine.match(batch)
        end = clock()
        decode += middle - begin
        match += end - middle
        events += len(batch)
        tagged_events += len(set(tagged.event.tolist()))
        if checked < CHECKED:
            found: dict[int, list[str]] = {}
            for event, tag in zip(tagged.event.tolist(), tagged.tag.tolist(), strict=True):
                if tag < len(engine.rules):
                    found.setdefault(event, []).append(engine.tags[tag])
            for at in range(min(len(batch), CHECKED - checked)):
                plain = reference.matching(engine.rules, batch.row(at))
                if plain != found.get(at, []):
                    raise AssertionError(f"event {at}: {found.get(at, [])} where {plain} is right")
            checked += len(batch)
    if decoder.unknown or decoder.lost or not tagged_events:
        raise AssertionError("the stream did not arrive as it was made")
    return {
        "load": load,
        "decode": events / decode,
        "match": events / match,
        "all": events / (decode + match),
        "tagged": tagged_events / events,
        "rss": _peak(),
    }


def _peak() -> float:
    """Most memory that was resident, in MB."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_child(int(sys.argv[1]))))
