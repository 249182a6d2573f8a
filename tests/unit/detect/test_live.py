"""Events of this machine through decoder, enricher and rules: nothing is unknown, whatever comes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpf_lsm import watch as collection
from bpf_lsm.observation import STRING_FIRST, Type
from bpf_lsm.watch import OBJECT, Breaker, Limit, Watch
from detect.batch import Batch
from detect.decode import Decoder
from detect.enrich import Enricher
from detect.host import Host
from detect.rules.engine import RuleEngine
from detect.rules.library import shipped

NUMBERS = 2000
"""Of strings, in the place of STRING_NUMBERS."""


@pytest.fixture
def watch() -> Iterator[Watch]:
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")
    if not OBJECT.exists():
        pytest.skip("the object is not built: make bpf")
    with Watch.load(prefer_functions=False) as loaded:
        loaded.set_limits(dict.fromkeys(Type, Limit(0)), breaker=Breaker(0))
        loaded.start()
        yield loaded


class Reader:
    """Reads until it is told to end, beside the test."""

    def __init__(self, watch: Watch) -> None:
        host = Host()
        self.decoder = Decoder(numbers=2 * NUMBERS)
        self.enricher = Enricher(container=host.container, ask=host.process)
        self.batches: list[Batch] = []
        self._watch = watch
        self._reads = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            raw = self._watch.read(0.05)
            self._reads += 1
            if len(raw.records) or raw.strings:
                self.batches.append(self.enricher.enrich(self.decoder.decode(raw)))
            elif self._ended.is_set():
                return

    def catch_up(self) -> None:
        """Wait until a read that began after this call has ended."""
        begun = self._reads
        while self._thread.is_alive() and self._reads < begun + 2:
            time.sleep(0.001)

    def end(self) -> None:
        time.sleep(0.1)
        self._ended.set()
        self._thread.join()

    def texts(self, kind: Type, name: str) -> list[tuple[int, bytes]]:
        """By pid, what a column of symbols says in events of one type."""
        return [
            (int(batch["pid"][at]), batch.symbols[batch[name][at]])
            for batch in self.batches
            for at in (batch["type"] == kind).nonzero()[0]
        ]


def test_a_program_that_was_silent_while_many_strings_came_is_still_known(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "RENUMBER_AT", STRING_FIRST + NUMBERS)
    reader = Reader(watch)
    folder = os.fsencode(tmp_path.resolve())
    code = "import sys; sys.stdin.readline(); open(sys.argv[1], 'w').close()"
    name = folder + b"/late"
    with subprocess.Popen([sys.executable, "-c", code, os.fsdecode(name)], stdin=subprocess.PIPE) as silent:
        for number in range(4 * NUMBERS):
            path = tmp_path / str(number)
            path.touch()
            path.unlink()
            if number % (NUMBERS // 10) == 0:  # a reader who falls behind by more than he keeps must forget
                reader.catch_up()
        assert silent.stdin is not None
        silent.stdin.write(b"\n")
    reader.end()
    assert watch.renumbered >= 1
    assert (reader.decoder.unknown, reader.decoder.forgotten) == (0, 0)
    exe = os.fsencode(Path(sys.executable).resolve())
    assert (silent.pid, exe) in reader.texts(Type.FILE_WRITE, "exe")
    assert (silent.pid, name) in reader.texts(Type.FILE_WRITE, "path")


def test_what_a_child_does_is_tagged_and_its_parent_is_known(watch: Watch, tmp_path: Path) -> None:
    reader = Reader(watch)
    program = tmp_path.resolve() / "run"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    child = subprocess.run(["/bin/sh", "-c", f"{program} a b; true"], check=True)
    reader.end()
    assert child.returncode == 0
    engine = RuleEngine(shipped())
    tags: set[str] = set()
    for batch in reader.batches:
        tagged = engine.match(batch)
        mine = {at for at in range(len(batch)) if batch.symbols[batch["exe"][at]] == os.fsencode(program)}
        tags |= {
            engine.tags[tag] for at, tag in zip(tagged.event, tagged.tag, strict=True) if int(at) in mine
        }
    assert "exec-from-temp" in tags or not str(program).startswith("/tmp/")
    (pid,) = {pid for pid, exe in reader.texts(Type.EXEC, "exe") if exe == os.fsencode(program)}
    parents = dict(reader.texts(Type.EXEC, "parent_exe"))
    assert Path(os.fsdecode(parents[pid])).name in {"dash", "bash", "sh", "busybox"}
