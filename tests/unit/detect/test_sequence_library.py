"""The shipped sequences: each finds its story by the shipped rules, and leaves the benign twin alone."""

from __future__ import annotations

import pytest

from bpf_lsm.observation import Type
from detect.alert import Alert
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules.engine import RuleEngine
from detect.rules.library import shipped as shipped_rules
from detect.sequences import SequenceEngine
from detect.sequences.library import SEQUENCES, shipped
from policies import compile_documents, load_paths
from policies.checks import check
from policies.sequence import unknown_tags
from tests.unit.detect.library_cases import CASES, Event
from tests.unit.detect.records import raw
from tests.unit.detect.sequence_cases import PAUSE, STORIES, Stream

LIBRARY = {sequence.name: sequence for sequence in shipped()}
RULES = {rule.name: rule for rule in shipped_rules()}
ENGINE = RuleEngine(RULES.values())
SECOND = 10**9


def events_of(stream: Stream) -> list[Event]:
    """The stream's events; what is executed was forked by its parent."""
    found: list[Event] = []
    now = 0
    for rule, different in stream:
        now += 3600 * SECOND if rule == PAUSE else SECOND
        if rule == PAUSE:
            continue
        event: Event = {"pid": 500, "session": 7, **CASES[rule][0][0], **different}
        event |= {"tid": event["pid"], "time": now}
        parent = event.pop("parent", None)
        if parent is not None:
            fork = {
                "type": Type.FORK,
                "pid": event.get("ppid", 400),
                "target_pid": event["pid"],
                "exe": parent,
            }
            found.append({"session": event["session"], "time": now - 1, "tid": fork["pid"], **fork})
        found.append(event)
    return found


def alerts(stream: Stream) -> list[Alert]:
    """What all shipped sequences together say to it."""
    batch = Enricher().enrich(Decoder().decode(raw(events_of(stream))))
    engine = SequenceEngine(LIBRARY.values(), ENGINE.tags)
    return engine.feed(batch, ENGINE.match(batch)) + engine.drain()


def test_every_sequence_has_a_story_and_a_twin() -> None:
    assert STORIES.keys() == LIBRARY.keys()
    assert len(LIBRARY) >= 10


@pytest.mark.parametrize("name", STORIES)
def test_a_sequence_tells_its_story(name: str) -> None:
    found = [alert for alert in alerts(STORIES[name][0]) if alert.name == name]
    assert len(found) == 1
    assert {link.step for link in found[0].chain} == {step.name for step in LIBRARY[name].steps}


@pytest.mark.parametrize("name", STORIES)
def test_the_benign_twin_is_left_alone_by_all_of_them(name: str) -> None:
    assert [alert.name for alert in alerts(STORIES[name][1])] == []


def test_the_library_is_free_of_faults() -> None:
    documents = load_paths([SEQUENCES])
    assert not list(unknown_tags(documents.sequences, ENGINE.tags))
    assert [issue.render() for issue in check(compile_documents(documents))] == []


@pytest.mark.parametrize("name", LIBRARY)
def test_a_sequence_is_complete(name: str) -> None:
    sequence = LIBRARY[name]
    assert any(tag.startswith("attack.t1") for tag in sequence.tags)
    assert not sequence.blocks, "nothing blocks that was not certified where it is to block"


def test_most_sequences_depend_on_no_name_of_a_program() -> None:
    """At least one rule of each step looks at no name; those of temporary folders look at where it lies."""
    named = {"exe", "comm", "args", "parent_exe", "parent_args"}
    places = {"exec-from-temp", "script-from-temp"}
    free = {
        name
        for name, rule in RULES.items()
        if name in places or not named & {field.column for field in rule.fields()}
    }
    independent = [
        name for name, sequence in LIBRARY.items() if all(set(step.tags) & free for step in sequence.steps)
    ]
    assert len(independent) >= len(LIBRARY) / 2, independent
