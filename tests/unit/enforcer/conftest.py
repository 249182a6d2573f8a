"""A host of its own for each test: folders below a temporary root, an agent over a gate in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from enforcer.agent.compiling import Compiler
from enforcer.agent.credentials import Credentials
from enforcer.agent.life import Agent
from enforcer.agent.tasks import Executables
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


def make_agent(
    gate: FakeGate,
    places: Places,
    settings: Settings | None = None,
    compiler: Compiler | None = None,
    *,
    adopted: bool = False,
    **more: Any,
) -> Agent:
    """An agent as enforcer.agent.run makes it, not started yet."""
    settings = settings or Settings(scan=())
    credentials = Credentials(places, settings.scan)
    credentials.load(search=not adopted)
    return Agent(
        gate,
        compiler or FakeLanguage(),
        places,
        settings,
        credentials=credentials,
        executables=Executables(),
        **more,
    )


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
        agent = make_agent(gate, places, given, adopted=adopted)
        running.append(agent)
        agent.start(adopted=adopted)
        return Host(agent, gate, places)

    yield begin
    for agent in running:
        agent.stop()


@pytest.fixture
def host(start: Start) -> Host:
    return start()
