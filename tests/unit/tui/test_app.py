"""The application: pages at fixed sizes, keys, hostile names, a flood."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest

from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from tests.unit.tui import recording
from tests.unit.tui.conftest import Open, screen
from tui.app import MenshenApp
from tui.buffer import KEPT, Buffer
from tui.query import Query
from tui.replay import Replay
from tui.source import Inbox
from tui.widgets.log_view import SLACK

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = {"80x24": (80, 24), "160x48": (160, 48)}
PAGES = {
    "live": [],
    "filtered": ["slash", *"deny", "enter"],
    "details": ["home", "down", "down", "enter"],
    "alerts": ["2"],
    "incident": ["2", "enter"],
    "policies": ["3"],
    "health": ["4"],
    "keys": ["question_mark"],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_looks_as_it_did(opened: Open, page: str, size: str) -> None:
    """MENSHEN_SNAPSHOTS=1 writes them anew: then look at what changed."""

    async def look() -> str:
        async with opened(SIZES[size]) as (app, pilot):
            await pilot.press(*PAGES[page])
            await pilot.pause()
            return screen(app)

    shown = asyncio.run(look())
    kept = SNAPSHOTS / f"{page}-{size}.txt"
    if os.environ.get("MENSHEN_SNAPSHOTS"):
        kept.write_text(shown)
    assert shown == kept.read_text()


def test_what_a_host_calls_its_files_cannot_drive_the_terminal(opened: Open) -> None:
    async def look() -> list[str]:
        async with opened() as (app, pilot):
            shown = [screen(app)]
            for keys in (["home", "down", "down", "down", "enter"], ["escape", "2", "enter"]):
                await pilot.press(*keys)
                await pilot.pause()
                shown.append(screen(app))
            return shown

    for text in asyncio.run(look()):
        assert all(char.isprintable() or char == "\n" for char in text)


def test_following_stops_when_the_cursor_goes_up_and_comes_back_at_the_end(opened: Open) -> None:
    async def look() -> list[bool]:
        async with opened() as (app, pilot):
            view, seen = app.live, []
            for key in ("up", "end", "f", "f"):
                await pilot.press(key)
                seen.append(view.following)
            return seen

    assert asyncio.run(look()) == [False, True, False, True]


def test_a_frozen_view_holds_still_and_shows_everything_afterwards(opened: Open) -> None:
    async def look() -> list[int]:
        async with opened() as (app, pilot):
            view = app.live
            counts = [len(view.shown)]
            await pilot.press("space")
            app.inbox.lines.put([recording.seen(90, "fork"), recording.seen(91, "exit")])
            app.tick()
            counts += [len(view.shown), view.held]
            await pilot.press("space")
            counts += [len(view.shown), view.held]
            return counts

    assert asyncio.run(look()) == [7, 7, 2, 9, 0]


def test_escape_clears_the_filter(opened: Open) -> None:
    async def look() -> tuple[int, int]:
        async with opened() as (app, pilot):
            view = app.live
            await pilot.press("slash", *"curl !write", "enter")
            narrowed = len(view.shown)
            await pilot.press("slash", "escape")
            return narrowed, len(view.shown)

    assert asyncio.run(look()) == (1, 7)


def test_an_export_can_be_replayed(opened: Open, tmp_path: Path) -> None:
    async def look() -> None:
        async with opened() as (_, pilot):
            await pilot.press("slash", *"curl", "enter", "e")
            await pilot.pause()

    asyncio.run(look())
    (path,) = tmp_path.glob("menshen-*.jsonl")
    inbox = Inbox()
    Replay(path, speed=0).start(inbox)
    assert [message.type for message in inbox.lines.take()] == ["exec", "file-write"]
    assert json.loads(path.read_text().splitlines()[0])["stream"] == "observation"


def test_why_of_a_recording_says_that_it_cannot_be_asked(opened: Open) -> None:
    async def look() -> list[str]:
        async with opened() as (app, pilot):
            await pilot.press("home", "down", "down", "x")
            await app.workers.wait_for_complete()
            await pilot.pause()
            return [notification.message for notification in app._notifications]

    assert any("recording" in text for text in asyncio.run(look()))


class Flood:
    """20,000 events a second, from a thread of its own, for as long as it runs."""

    name = "flood"

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.sent = 0

    def start(self, inbox: Inbox) -> None:
        threading.Thread(target=self._pour, args=[inbox], daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def why(self, event: pb.Event) -> None:
        return None

    def policy(self, name: str) -> None:
        return None

    def _pour(self, inbox: Inbox) -> None:
        begun = time.monotonic()
        while not self._stopped.wait(0.02):
            due = int((time.monotonic() - begun) * 20_000) - self.sent
            inbox.lines.put(
                [wpb.Observation(id=self.sent + at, type="fork", exe=b"/usr/bin/make") for at in range(due)]
            )
            self.sent += due


def test_twenty_thousand_events_a_second_neither_block_the_keys_nor_grow_the_memory() -> None:
    async def look() -> tuple[list[float], int, int, int]:
        flood = Flood()
        app = MenshenApp(flood)
        waits = []
        async with app.run_test(size=(160, 48)):
            await asyncio.sleep(0.5)
            for number in range(40):
                begun, key = time.monotonic(), ("up", "end")[number % 2]
                app.simulate_key(key)
                while app.live.following is (key == "up") and time.monotonic() - begun < 5:
                    await asyncio.sleep(0.001)
                waits.append(time.monotonic() - begun)
                await asyncio.sleep(0.06)
            return waits, flood.sent, len(app.live._all), app.inbox.lines.received

    waits, sent, kept, received = asyncio.run(look())
    waits.sort()
    assert sent > 40_000
    assert received > 0.8 * sent
    assert kept <= KEPT + SLACK
    assert waits[len(waits) // 2] < 0.2, f"median {waits[len(waits) // 2]:.3f} s, longest {waits[-1]:.3f} s"


def test_a_full_buffer_lets_the_oldest_go_and_counts_them() -> None:
    buffer = Buffer(room=10)
    buffer.put(range(8))
    buffer.put(range(8, 15), lost=2)
    assert buffer.take() == list(range(5, 15))
    assert (buffer.received, buffer.dropped) == (15, 5 + 2)


class Text:
    """Something that can be searched."""

    word = "DENY"
    text = "payments/api open write /etc/SSH/sshd_config"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", True),
        ("deny ssh", True),
        ("ssh nginx", False),
        ("!nginx", True),
        ("deny !SSH", False),
        ("!", True),
    ],
)
def test_a_filter_means_all_of_its_words(typed: str, found: bool) -> None:
    assert Query.of(typed)(Text()) is found


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"at": 0}',
        '{"at": 0, "stream": "x", "data": {}}',
        '{"at": 0, "stream": "event", "data": {"id": "many"}}',
    ],
)
def test_a_line_that_is_no_recording_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    import click

    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(click.ClickException, match=r"bad\.jsonl:1: not a line of a recording"):
        Replay(path)
