"""Followers: none waits for another, and what one misses it is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from enforcer.errors import EnforcerError
from enforcer.events import Event, Filter
from enforcer.serving.feed import MAX_FOLLOWERS, Feed, Numbers


def events(*numbers: int, kind: str = "denial", **more: str) -> list[Event]:
    return [Event(id=number, time=0.0, kind=kind, **more) for number in numbers]  # type: ignore[arg-type]


def test_a_follower_gets_old_events_and_then_every_new_one() -> None:
    feed: Feed[Event] = Feed()
    feed.publish(events(1, 2))
    old, follower = feed.follow(Filter())
    feed.publish(events(3))
    assert [event.id for event in old] == [1, 2]
    assert [event.id for event in follower.take(10, 0)[0]] == [3]


def test_a_slow_follower_loses_the_oldest_is_told_how_many_and_slows_nobody() -> None:
    feed: Feed[Event] = Feed(kept=10, queue=5)
    _, slow = feed.follow(Filter())
    _, fast = feed.follow(Filter())
    seen = []
    for number in range(100):
        feed.publish(events(number))
        seen += fast.take(10, 0)[0]
    got, lost = slow.take(10, 0)
    assert [event.id for event in got] == [95, 96, 97, 98, 99]
    assert lost == 95
    assert len(seen) == 100
    assert slow.take(10, 0) == ([], 0)


def test_taking_wakes_at_an_event_and_at_the_end() -> None:
    feed: Feed[Event] = Feed()
    _, follower = feed.follow(Filter())
    threading.Timer(0.05, feed.publish, [events(1)]).start()
    assert follower.take(1, 10)[0]
    threading.Timer(0.05, feed.close).start()
    assert follower.take(1, 10) == ([], 0)
    assert follower.closed


def test_only_so_many_may_follow() -> None:
    feed: Feed[Event] = Feed()
    followers = [feed.follow(Filter())[1] for _ in range(MAX_FOLLOWERS)]
    with pytest.raises(EnforcerError, match="followers"):
        feed.follow(Filter())
    feed.leave(followers[0])
    feed.follow(Filter())


def test_the_buffer_is_bounded_and_found_by_id() -> None:
    feed: Feed[Event] = Feed(kept=3)
    feed.publish(events(1, 2, 3, 4))
    assert feed.find(1) is None
    assert feed.find(4) is not None
    assert [event.id for event in feed.old(Filter(), last=2)] == [3, 4]
    assert [event.id for event in feed.old(Filter(), since=3)] == [4]


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Filter(), True),
        (Filter(kinds=frozenset({"denial"})), True),
        (Filter(kinds=frozenset({"exec"})), False),
        (Filter(subject="payments/api"), True),
        (Filter(subject="payments/*"), True),
        (Filter(subject="pay"), False),
        (Filter(rule="ssh"), True),
        (Filter(rule="other"), False),
        (Filter(path="/etc/"), True),
        (Filter(path="/var"), False),
    ],
)
def test_filters(wanted: Filter, matches: bool) -> None:
    event = Event(id=1, time=0, kind="denial", subject="payments/api", rule_name="ssh", path="/etc/x")
    assert wanted(event) is matches


def test_ids_are_never_given_twice_also_not_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    given = [
        *Numbers(path).take(3),
        *Numbers(path).take(2),
        *Numbers(path).take(2_000_000),
        *Numbers(path).take(1),
    ]
    assert given == sorted(set(given))
