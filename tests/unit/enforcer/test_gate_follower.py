"""The watch follows the agent: over the real API, whether or not anything is denied."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from enforcer.names import Names
from enforcer.watch import gate
from enforcer.watch.gate import GateFollower
from tests.unit.enforcer.conftest import Host


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_an_agent_that_denies_nothing_is_followed_and_its_end_is_told(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "RETRY", 0.05)
    follower = GateFollower(host.places, Names())
    assert follower.trouble == "not connected yet"
    follower.start()
    try:
        assert until(lambda: not follower.trouble), follower.trouble
        host.agent.stop()
        assert until(lambda: bool(follower.trouble))
    finally:
        follower.stop()
