"""The shipped rules: each is complete, and matches what it is for and nothing else, in both readings."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from bpf_lsm.observation import Type
from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.rules import page, reference
from detect.rules.engine import RuleEngine
from detect.rules.library import RULES, shipped
from detect.rules.parse import parse
from enforcer.watch.detections import read_list
from tests.unit.detect.library_cases import CASES, Event
from tests.unit.detect.records import raw

LIBRARY = {rule.name: rule for rule in shipped()}
ENGINE = RuleEngine(LIBRARY.values())
TACTICS = [
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "command-and-control",
    "exfiltration",
    "impact",
]


def batch_of(event: Event) -> Batch:
    """The event, after a fork by its parent."""
    event = {"pid": 500, "tid": 500, **event}
    fork = {"type": Type.FORK, "pid": 400, "target_pid": 500, "exe": event.pop("parent", b"")}
    enricher = Enricher(container=lambda cgroup: b"5f1c" if cgroup else b"")
    return enricher.enrich(Decoder().decode(raw([fork, event]))).take(slice(1, 2))


def found_by_both(event: Event) -> set[str]:
    batch = batch_of(event)
    plain = set(reference.matching(LIBRARY.values(), batch.row(0)))
    tagged = ENGINE.match(batch)
    assert {ENGINE.tags[tag] for tag in tagged.tag} & LIBRARY.keys() == plain
    return plain


def test_every_rule_has_cases_of_both_kinds() -> None:
    assert CASES.keys() == LIBRARY.keys()
    assert [name for name, (yes, no) in CASES.items() if not yes or not no] == []


@pytest.mark.parametrize(
    ("name", "event"), [(name, event) for name, (events, _) in CASES.items() for event in events]
)
def test_a_rule_matches_what_it_is_for(name: str, event: Event) -> None:
    assert name in found_by_both(event)


@pytest.mark.parametrize(
    ("name", "event"), [(name, event) for name, (_, events) in CASES.items() for event in events]
)
def test_a_rule_does_not_match_what_it_is_not_for(name: str, event: Event) -> None:
    assert name not in found_by_both(event)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_rule_is_complete(name: str) -> None:
    rule = LIBRARY[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert UUID(rule.id)
    assert rule.false_positives
    assert any(tag.startswith("attack.t1") for tag in rule.tags)
    assert any(tag.removeprefix("attack.") in TACTICS for tag in rule.tags)


def test_every_tactic_that_a_host_sees_has_a_rule() -> None:
    tags = {tag for rule in LIBRARY.values() for tag in rule.tags}
    assert {f"attack.{tactic}" for tactic in TACTICS} <= tags
    assert len(LIBRARY) >= 40


def test_most_rules_depend_on_no_program_and_no_name() -> None:
    named = {"exe", "comm", "args", "parent_exe", "parent_args"}
    free = [rule for rule in LIBRARY.values() if not named & {field.column for field in rule.fields()}]
    assert len(free) >= len(LIBRARY) / 2


def test_the_rules_are_files_by_tactic() -> None:
    assert {path.stem for path in RULES.glob("*.yml")} == {
        *(tactic.replace("defense", "defence") for tactic in TACTICS)
    }


def test_the_page_is_up_to_date() -> None:
    assert page.OUTPUT.read_text() == page.render(), "run: python -m detect.rules.page"


def test_the_rule_that_the_page_shows_can_be_read() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", page.render(), re.DOTALL)
    (rule,) = parse(shown.encode(), "rules.md")
    assert rule.name == "ran-from-temp"


def watched(path: bytes, entries: frozenset[bytes]) -> bool:
    """Whether opening a path for reading is an event, as bpf_lsm/watch_lists.py has it."""
    folder, _, name = path.rpartition(b"/")
    inner = folder.rpartition(b"/")[2]
    return not {path, name, folder + b"/", inner + b"/"}.isdisjoint(entries)


READS = [
    (name, event["path"])
    for name, (events, _) in CASES.items()
    for event in events
    if event["type"] == Type.FILE_OPEN
]


@pytest.mark.parametrize(("name", "path"), READS)
def test_what_a_rule_about_reading_is_for_is_watched_for_reading(name: str, path: bytes) -> None:
    assert watched(path, frozenset(read_list(RULES.parent / "reads.txt")))
