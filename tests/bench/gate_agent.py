"""The agent of tests/bench/gate_memory.py: it holds what an agent holds, and nothing of the bench."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

SUBJECTS: Final = ("bench/subject", "bench/child")
FIELDS: Final = {"rss": "VmRSS", "peak": "VmHWM", "anonymous": "RssAnon"}
CATALOGUE: Final = 2_608
"""Programs and libraries of a Debian host with some services."""


def main(name: str) -> None:
    """The agent; answers words on standard input with numbers."""
    folder = Path(name)
    from bpf_lsm import gate as gate_module

    gate_module.INIT_MOUNTS = Path("/proc/self/ns/mnt")  # type: ignore[misc]  # some machines hide process 1
    agent = _agent(folder)
    for line in sys.stdin:
        word = line.strip()
        answer: Any = 0
        if word in FIELDS:
            answer = _status(FIELDS[word])
        elif word == "helper":
            answer = _own(agent._compiler.helper)
        elif word == "fill":
            _fill(agent)
        print(json.dumps(answer), flush=True)
        if word == "end":
            break
    agent.turn_off()
    agent.stop()


def _agent(folder: Path) -> Any:
    """As enforcer.agent.run starts it."""
    from bpf_lsm.gate import Gate
    from bpf_lsm.memory import return_blocks
    from enforcer.agent.credentials import Credentials
    from enforcer.agent.life import Agent
    from enforcer.agent.remote_compiler import RemoteCompiler
    from enforcer.agent.tasks import Executables
    from enforcer.places import Places
    from enforcer.settings import Settings
    from identity import catalogue_file

    return_blocks()
    places, settings = Places(folder), Settings(scan=())
    places.state.mkdir(parents=True)
    catalogue_file.save(_catalogue(), places.catalogue)
    credentials, executables = Credentials(places, settings.scan), Executables()
    credentials.load()
    executables.look(credentials.lookup)
    gate = Gate.load(
        folder / "gate.bpf.o",
        pin_dir=folder / "bpf/menshen",
        run_dir=places.run,
        capacity=settings.image_capacity,
        catalogue_size=settings.catalogue_size,
    )
    credentials.push(gate)
    capacity = gate.capacity

    def language() -> Any:
        from enforcer.agent.language import Language

        return Language(capacity, guarded=False, prefix=Path(sys.prefix))

    compiler = RemoteCompiler(language)
    compiler.start()
    agent = Agent(
        gate,
        compiler,
        places,
        settings,
        credentials=credentials,
        executables=executables,
        armed=compiler.start,
    )
    agent.start(adopted=False)
    return agent


def _catalogue() -> Any:
    from identity.catalogue import Catalogue, Entry, Source

    names = [*SUBJECTS, *(f"os/package-{number % 250}" for number in range(CATALOGUE - 2))]
    return Catalogue(
        Entry(hashlib.sha256(b"%d" % at).digest(), name, Source.PACKAGE, f"/usr/bin/program-{at}")
        for at, name in enumerate(names)
    )


def _fill(agent: Any) -> None:
    """As many denials as the feed keeps, each with a path of its own, by the way that they come."""
    from enforcer.agent.resolve import Resolver
    from enforcer.agent.rings import RingReader
    from tests.unit.enforcer.fakes import FakeRing, record

    ring = FakeRing()
    resolver = Resolver(agent.credentials.names, agent.policy._tables)
    reader = RingReader("bench", ring, resolver, agent.journal, keep=True, wait=0.0)
    total = agent._settings.keep_events
    for first in range(0, total, 500):
        ring.put(
            *(
                record(b"/srv/tenant-%05d/ledger" % number, pid=number, generation=agent.policy.generation)
                for number in range(first, first + 500)
            )
        )
        reader.drain(0)
    if len(agent.feed.old(lambda _: True)) != total:
        raise AssertionError("the feed is not full")


def _status(field: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _own(pid: int) -> float:
    """Memory that no other process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


if __name__ == "__main__":
    main(sys.argv[1])
