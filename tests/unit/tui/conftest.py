"""A recording, and the screen as text."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tui import recording
from tui.app import MenshenApp
from tui.replay import Replay

Open = Callable[..., AbstractAsyncContextManager[tuple[MenshenApp, Any]]]


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return recording.write(tmp_path / "afternoon.jsonl")


@pytest.fixture
def opened(recorded: Path, tmp_path: Path) -> Open:
    """The application over the recording, with its pilot."""

    @asynccontextmanager
    async def make(size: tuple[int, int] = (160, 48)) -> AsyncIterator[tuple[MenshenApp, Any]]:
        app = MenshenApp(Replay(recorded, speed=0), folder=tmp_path)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield app, pilot

    return make


def screen(app: MenshenApp) -> str:
    """What is on the screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"
