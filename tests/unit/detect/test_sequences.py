"""The engine of sequences: what an alert says, gaps, denials, bounds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pytest

from bpf_lsm.observation import Type
from detect.alert import Alert, Level
from detect.sequences import Limits, SequenceEngine
from detect.sequences.reference import Event
from detect.symbols import Symbols
from policies import parse_text
from tests.unit.detect.streams import SECOND, batch, event

TAGS = ("write", "chmod", "run", "connect", "cleanup")


def written(steps: str, key: str = "session", within: str = "10m", name: str = "story") -> str:
    """A Sequence document."""
    head = f"""\
        apiVersion: menshen/v1
        kind: Sequence
        metadata: {{name: {name}}}
        spec:
          title: Something happened
          level: high
          tags: [attack.execution]
          key: {key}
          within: {within}
          steps:
        """
    return textwrap.dedent(head) + textwrap.indent(textwrap.dedent(steps).strip("\n"), "    ") + "\n"


STORY = written(
    """
    - {name: download, tag: write, capture: {file: path}}
    - {name: ready, tag: chmod, where: {path: $file}}
    - {name: scan, tag: connect, count: 3, distinct: port, within: 1m}
    """
)
FILE = b"/tmp/\xff\n"


def engine(*documents: str, limits: Limits | None = None) -> SequenceEngine:
    """An engine for these documents."""
    return SequenceEngine(parse_text("---\n".join(documents)).sequences, TAGS, limits)


def feed(watch: SequenceEngine, events: Sequence[Event], symbols: Symbols | None = None) -> list[Alert]:
    """The alerts of one batch, with nothing held back."""
    table = Symbols() if symbols is None else symbols
    return watch.feed(*batch(events, TAGS, table)) + watch.drain()


def story(session: int = 1, at: float = 0) -> list[Event]:
    """Everything that the story needs."""
    return [
        event(at + 1, "write", session=session, path=FILE, type=Type.FILE_WRITE),
        event(at + 2, "chmod", session=session, path=FILE, type=Type.FILE_CHMOD),
        *(event(at + 3 + n, "connect", session=session, port=80 + n, type=Type.CONNECT) for n in range(3)),
    ]


def test_an_alert_tells_the_whole_story() -> None:
    (alert,) = feed(engine(STORY), story())
    assert [link.step for link in alert.chain] == ["download", "ready", "scan", "scan", "scan"]
    assert alert.chain[0].event["path"].encode("utf-8", "surrogateescape") == FILE
    assert [link.event["port"] for link in alert.chain[2:]] == [80, 81, 82]
    assert (alert.name, alert.level, alert.source) == ("story", Level.HIGH, "sequence")
    assert alert.time == 5 * SECOND
    assert alert.place == "policy.yaml:4"
    assert alert.tags == ("attack.execution",)
    assert not alert.blocked
    assert not alert.incomplete


def test_it_is_told_once_and_begins_anew() -> None:
    watch = engine(STORY)
    assert len(feed(watch, [*story(), *(event(9 + n, "connect", port=n) for n in range(9))])) == 1
    assert len(feed(watch, story(at=20))) == 1


@pytest.mark.parametrize(("tag", "port", "told"), [("connect", 0, 1), ("connect", 1, 0), ("cleanup", 0, 0)])
def test_of_two_absences_each_is_ended_by_its_own_event(tag: str, port: int, told: int) -> None:
    steps = """
        - {name: begin, tag: chmod}
        - {name: none, tag: cleanup, absent: true}
        - {name: nor, tag: connect, absent: true, where: {port: 1}}
        - {name: end, tag: run}
        """
    events = [event(1, "chmod"), event(2, tag, port=port), event(3, "run")]
    assert len(feed(engine(written(steps)), events)) == told


def test_sessions_are_told_apart_and_none_is_no_session() -> None:
    watch = engine(STORY)
    first, second = story(1), story(2)
    mixed = sorted([*first[:2], *second[2:]], key=lambda each: each.time)
    assert not feed(watch, mixed)
    assert not feed(watch, story(0, at=10))
    assert watch.counters.without_key == 1


def test_a_decoy_uses_up_no_step() -> None:
    decoy = event(1.5, "chmod", path=b"/tmp/other"), event(1.6, "write", path=b"/tmp/other")
    events = story()
    assert len(feed(engine(STORY), [events[0], *decoy, *events[1:]])) == 1


def test_tables_of_symbols_may_differ_between_batches() -> None:
    watch = engine(STORY)
    other = Symbols()
    other.intern(b"something else")
    assert not feed(watch, story()[:1])
    (alert,) = feed(watch, story()[1:], other)
    assert {link.event["path"].encode("utf-8", "surrogateescape") for link in alert.chain[:2]} == {FILE}


def test_strings_that_were_not_kept_are_equal_to_nothing() -> None:
    assert not feed(engine(STORY), story(), Symbols(limit=2))


LOST = (5, 5, 6, 6, 6)


@pytest.mark.parametrize(
    ("lost", "incomplete"),
    [
        ((5, 5, 5, 5, 5), False),
        ((5, 0, 5, 0, 5), False),
        ((5, 5, 6, 6, 6), True),
        ((5, 5, 5, 5, 6), True),
        ((2**32 - 1, 0, 0, 0, 0), True),
    ],
)
def test_a_loss_within_the_story_makes_it_incomplete(lost: tuple[int, ...], incomplete: bool) -> None:
    events = story()
    for each, count in zip(events, lost, strict=True):
        each.fields["lost"] = count  # type: ignore[index]
    (alert,) = feed(engine(STORY), events)
    assert alert.incomplete is incomplete


def test_a_loss_before_the_story_does_not() -> None:
    watch = engine(STORY)
    feed(watch, [event(0.1), event(0.2, lost=1)])
    events = [event(each.time / SECOND, *each.tags, **{**rest(each), "lost": 1}) for each in story()]
    (alert,) = feed(watch, events)
    assert not alert.incomplete


def rest(each: Event) -> dict[str, object]:
    """The fields but for the time."""
    return {name: value for name, value in each.fields.items() if name != "time"}


def test_a_gap_of_one_session_is_that_session_s() -> None:
    watch = engine(STORY)
    feed(watch, [story(1)[0], story(2)[0]])
    watch.gap(2)
    found = feed(watch, sorted([*story(1)[1:], *story(2)[1:]], key=lambda each: each.time))
    assert {alert.session: alert.incomplete for alert in found} == {1: False, 2: True}


def test_a_denial_by_its_rule_is_the_last_step() -> None:
    watch = engine(STORY)
    watch.blocks({70: "story", 71: "not one of ours"})
    denied = [event(5 + n, session=1, type=Type.DENIAL, rule=70, port=99) for n in range(3)]
    other = event(5, session=1, type=Type.DENIAL, rule=69)
    (alert,) = feed(watch, [*story()[:3], other, *denied])
    assert alert.blocked
    assert [link.step for link in alert.chain] == ["download", "ready", "scan", "scan"]
    assert alert.chain[-1].event["port"] == 99
    assert watch.counters.repeated_denials == 2


def test_a_denial_that_comes_after_the_call_that_it_denied_has_the_whole_chain() -> None:
    watch = engine(STORY)
    watch.blocks({70: "story"})
    late = event(story()[-1].time / SECOND, session=1, type=Type.DENIAL, rule=70, port=99)
    seen, denied = [*feed(watch, story()), *feed(watch, [event(9), late])]
    assert not seen.blocked
    assert denied.blocked
    assert [link.step for link in denied.chain] == [link.step for link in seen.chain]
    assert [link.event for link in denied.chain[:-1]] == [link.event for link in seen.chain[:-1]]
    assert denied.chain[-1].event["port"] == 99


def test_a_denial_that_the_stream_cannot_explain_is_told_all_the_same() -> None:
    watch = engine(STORY)
    watch.blocks({70: "story"})
    (alert,) = feed(watch, [event(5, session=3, type=Type.DENIAL, rule=70)])
    assert alert.blocked
    assert len(alert.chain) == 1


def test_what_has_expired_is_let_go() -> None:
    watch = engine(STORY)
    feed(watch, [event(1, "write", session=session) for session in range(1, 50)])
    assert watch.live_keys == 49
    feed(watch, [event(1000)])
    assert watch.live_keys == 0
    assert watch.counters.expired == 49


def test_a_flood_of_keys_costs_the_oldest_and_is_counted() -> None:
    watch = engine(STORY, limits=Limits(keys=10))
    feed(watch, [event(session / 1000, "write", session=session, path=FILE) for session in range(1, 31)])
    assert watch.live_keys == 10
    assert watch.counters.keys_evicted == 20
    assert [alert.session for alert in feed(watch, story(30)[1:])] == [30]
    assert not feed(watch, story(1)[1:])


def test_a_flood_within_one_session_costs_what_has_got_least_far() -> None:
    watch = engine(STORY, limits=Limits(runs=4))
    flood = [event(2.1 + n / 1000, "write", path=b"/tmp/%d" % n) for n in range(100)]
    events = story()
    assert len(feed(watch, [*events[:2], *flood, *events[2:]])) == 1
    assert watch.counters.runs_evicted == 96


def test_what_is_kept_of_a_step_with_many_events_is_bounded() -> None:
    document = written("- {name: many, tag: write, count: 60}\n- {name: end, tag: run}")
    (alert,) = feed(engine(document), [*(event(n / 100, "write") for n in range(60)), event(2, "run")])
    assert len(alert.chain) == 8 + 1 + 1


def test_events_wait_for_those_that_are_on_their_way() -> None:
    watch = engine(written("- {name: a, tag: write}\n- {name: b, tag: run}"), limits=Limits(slack=SECOND))
    symbols = Symbols()
    assert not watch.feed(*batch([event(2, "run")], TAGS, symbols))
    assert not watch.feed(*batch([event(1.5, "write")], TAGS, symbols))
    assert len(watch.feed(*batch([event(3.1)], TAGS, symbols))) == 1
    assert not watch.feed(*batch([event(1.5, "write")], TAGS, symbols))
    assert watch.late == 1


def test_an_event_that_comes_far_too_late_undoes_nothing_that_has_begun() -> None:
    watch, symbols = engine(STORY), Symbols()
    events = story(at=1000)
    assert not watch.feed(*batch(events[:2], TAGS, symbols))
    assert not watch.feed(*batch([event(5)], TAGS, symbols))
    assert len(watch.feed(*batch(events[2:], TAGS, symbols)) + watch.drain()) == 1
    assert watch.late == 1


def test_nothing_is_let_go_before_what_came_earlier_was_looked_at() -> None:
    watch = engine(written("- {name: a, tag: write}\n- {name: b, tag: run}", within="3s"))
    symbols = Symbols()
    assert not watch.feed(*batch([event(0.5, "write"), event(1)], TAGS, symbols))
    assert len(watch.feed(*batch([event(1.5, "run"), event(20)], TAGS, symbols))) == 1
