"""A host of its own for each test: folders below a temporary root, an agent over a gate in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from enforcer.agent.life import Agent
from enforcer.places import Places
from enforcer.settings import Settings
from tests.unit.enforcer.fakes import FakeGate, FakeLanguage


@dataclass
class Host:
    """A running agent and the ways to it."""

    agent: Agent
    gate: FakeGate
    places: Places

    def menshen(self, *arguments: str) -> Result:
        """Run the command line against this agent."""
        from enforcer.cli import main

        return CliRunner().invoke(main, ["--socket", str(self.places.socket), *arguments])


Start = Callable[..., Host]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture
def start(places: Places) -> Iterator[Start]:
    """Starts agents on this test's host; `adopted` over a gate that was running."""
    running: list[Agent] = []

    def begin(gate: FakeGate | None = None, *, adopted: bool = False, **settings: Any) -> Host:
        gate = gate or FakeGate()
        gate.labels.setdefault(os.getpid(), 99)
        given = Settings(**{"scan": (), "poll": 0.01, **settings})
        agent = Agent(gate, FakeLanguage(), places, given)
        running.append(agent)
        agent.start(adopted=adopted)
        return Host(agent, gate, places)

    yield begin
    for agent in running:
        agent.stop()


@pytest.fixture
def host(start: Start) -> Host:
    return start()
