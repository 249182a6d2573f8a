"""The compiler in a process of its own says what it says in this one, and its failures change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.agent import compiler_process, remote_compiler
from enforcer.agent.compiling import Compiled, Compiler, Document, Files
from enforcer.agent.language import Language
from enforcer.agent.remote_compiler import RemoteCompiler
from enforcer.errors import EnforcerError
from enforcer.places import Places
from tests.unit.enforcer.conftest import make_agent
from tests.unit.enforcer.fakes import FakeGate
from tests.unit.enforcer.test_language import FILES

Started = Callable[[Callable[[], Compiler]], RemoteCompiler]


@pytest.fixture
def started() -> Iterator[Started]:
    """Start a compiler; all of them end with the test."""
    all_of_them: list[RemoteCompiler] = []

    def start(make: Callable[[], Compiler]) -> RemoteCompiler:
        compiler = RemoteCompiler(make)
        compiler.start()
        all_of_them.append(compiler)
        return compiler

    yield start
    for each in all_of_them:
        each.stop()


class Broken(Language):
    """Compiles as it should, unless a file's name says otherwise."""

    def compile(self, files: Files, known: object = None) -> Compiled:
        for name in files:
            if name == "dies.yaml":
                os._exit(9)
            elif name == "raises.yaml":
                raise RuntimeError("out of ideas")
            elif name == "hangs.yaml":
                time.sleep(60)
            elif name == "stops.yaml":
                os.kill(os.getpid(), signal.SIGSTOP)
        compiled = super().compile({name: content for name, content in files.items() if name in FILES})
        if "lies.yaml" in files:
            return replace(compiled, image=bytes([compiled.image[0] ^ 1]) + compiled.image[1:])
        return replace(compiled, rules=(1, 2)) if "babbles.yaml" in files else compiled  # type: ignore[arg-type]

    def documents(self, files: Files) -> list[Document]:
        if files:
            return super().documents({name: content for name, content in files.items() if name in FILES})
        held = [each for each in list(Path("/proc/self/fd").iterdir()) if each.is_symlink()]
        return [Document(str(each.readlink()), each.name, "", 0, "", "") for each in held]


def test_it_says_what_the_compiler_in_this_process_says(started: Started) -> None:
    near, far = Language(), started(Language)
    known = {"os/openssh-server"}
    compiled = far.compile(FILES, known)
    assert compiled == near.compile(FILES, known)
    assert far.documents(FILES) == near.documents(FILES)
    assert far.read(compiled.image) == near.read(compiled.image)
    paths = ["/etc/ssh/sshd_config", "/etc/hostname", "/tmp/\udcff"]
    (roots, classes), (expected, classes_near) = far.aliases(compiled.image), near.aliases(compiled.image)
    assert (list(roots), list(classes(paths))) == (list(expected), list(classes_near(paths)))


def test_errors_keep_file_line_and_column(started: Started) -> None:
    wrong = {"w.yaml": FILES["api.yaml"].replace(b"mode: audit", b"mode: perhaps")}
    found = []
    for compiler in (Language(), started(Language)):
        with pytest.raises(EnforcerError) as caught:
            compiler.compile(wrong)
        found.append((str(caught.value), caught.value.problems))
    assert found[0] == found[1]
    assert found[1][1][0].line == 6
    assert found[1][1][0].column > 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("dies.yaml", "its process ended"),
        ("hangs.yaml", "its process ended"),
        ("raises.yaml", "out of ideas"),
        ("lies.yaml", "cannot be used"),
        ("babbles.yaml", "failed|cannot be used"),
    ],
)
def test_a_compiler_that_fails_is_an_error_and_the_next_call_has_another(
    started: Started, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(compiler_process, "LONGEST", 1)
    compiler = started(Broken)
    with pytest.raises(EnforcerError, match=said):
        compiler.compile({**FILES, fault: b""})
    assert compiler.compile(FILES) == Language().compile(FILES)


def test_a_worker_that_cannot_even_end_is_waited_for_no_longer_than_it_may_take(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_compiler, "LONGEST", 1)
    monkeypatch.setattr(remote_compiler, "_GRACE", 0)
    compiler = started(Broken)
    with pytest.raises(EnforcerError, match="no answer in 1 s"):
        compiler.compile({**FILES, "stops.yaml": b""})
    for stopped in _workers(compiler):
        os.kill(stopped, signal.SIGKILL)
    assert compiler.compile(FILES)


def test_a_killed_worker_is_replaced_in_the_same_call(started: Started) -> None:
    compiler = started(Language)
    expected = compiler.compile(FILES)
    for worker in _workers(compiler):
        os.kill(worker, signal.SIGKILL)
    assert compiler.compile(FILES) == expected


def _workers(compiler: RemoteCompiler) -> list[int]:
    children = Path(f"/proc/{compiler.helper}/task/{compiler.helper}/children")
    return [int(pid) for pid in children.read_text().split()]


def test_a_worker_that_has_nothing_to_do_ends_and_the_next_call_has_another(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_process, "IDLE", 0.05)
    compiler = started(Language)
    for _ in range(2):
        compiler.compile(FILES)
        assert _workers(compiler)
        end = time.monotonic() + 10
        while _workers(compiler):
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_without_its_helper_nothing_is_compiled(started: Started, end: str) -> None:
    compiler = started(Language)
    if end == "killed":
        os.kill(compiler.helper, signal.SIGKILL)
        os.waitid(os.P_PID, compiler.helper, os.WEXITED | os.WNOWAIT)
    else:
        compiler.stop()
    with pytest.raises(EnforcerError, match="its process ended"):
        compiler.compile(FILES)
    compiler.start()
    assert compiler.compile(FILES)


def test_it_holds_no_descriptor_of_the_agents(started: Started, tmp_path: Path) -> None:
    with (tmp_path / "link").open("w") as held:
        compiler = started(Broken)
        names = [one.name for one in compiler.documents({})]
        assert held.name not in names
        assert sum(name.startswith("socket:") for name in names) == 1


def test_an_apply_whose_compiler_fails_leaves_what_is_in_force(
    started: Started, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_process, "LONGEST", 1)
    gate = FakeGate()
    gate.capacity = 1 << 22
    agent = make_agent(gate, places, compiler=started(Broken))
    agent.start(adopted=False)
    agent.policy.apply({"api.yaml": FILES["api.yaml"]})
    before = (gate.image(), gate.generation, [*places.policies.iterdir()])
    assert before[0]
    for fault in ("dies.yaml", "hangs.yaml", "lies.yaml"):
        with pytest.raises(EnforcerError, match="what is in force stays"):
            agent.policy.apply({fault: b""})
        assert (gate.image(), gate.generation, [*places.policies.iterdir()]) == before
    agent.stop()


def test_the_agent_itself_imports_no_compiler_and_no_cryptography() -> None:
    agent = "enforcer.agent.life, enforcer.agent.credentials, enforcer.agent.remote_compiler"
    code = f"import sys, {agent}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(found.split())
    assert "policies.image" in loaded
    compiler = {"policies.compile", "policies.parse", "policies.evaluate", "policies.checks"}
    assert not {*compiler, "cryptography"} & loaded
