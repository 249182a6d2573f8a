"""What a kernel can do is found by loading."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf_lsm import host, probe
from bpf_lsm.errors import LoadError
from tests.unit.bpf_lsm.conftest import Objects

pytestmark = pytest.mark.usefixtures("bpffs")


def test_every_program_is_answered_for_as_if_it_were_loaded_alone(objects: Objects) -> None:
    verdicts = {verdict.program: verdict for verdict in probe.programs(objects("BROKEN_LOAD"))}
    assert {name for name, verdict in verdicts.items() if not verdict.loadable} == {
        "unloadable",
        "hookless",
        "needless",
    }
    assert verdicts["unloadable"].reason.startswith("the verifier refused it: R0 invalid mem access")
    assert verdicts["hookless"].reason == "this kernel has no no_such_tracepoint to attach to"
    assert verdicts["needless"].optional
    assert verdicts["adopt"].loadable
    assert verdicts["adopt"].section == "iter/task"


def test_only_what_was_asked_for_is_tried(objects: Objects) -> None:
    assert [v.program for v in probe.programs(objects("BROKEN_LOAD"), only=["adopt"])] == ["adopt"]


def test_a_refusal_that_names_nobody_is_found_one_by_one(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def load(_path: Path, wanted: list[str], _log: Path | None) -> dict[str, int]:
        tried.append(list(wanted))
        if "emit" in wanted:
            raise LoadError("fixture.bpf.o", 1, "the kernel refused it")
        return dict.fromkeys(wanted, 1)

    monkeypatch.setattr(probe, "_load", load)
    verdicts = probe.programs(objects())
    assert [verdict.program for verdict in verdicts if not verdict.loadable] == ["emit"]
    assert len(tried) == 1 + len(verdicts)


def test_what_a_program_costs_the_verifier_is_known(objects: Objects) -> None:
    costs = {verdict.program: verdict.cost for verdict in probe.programs(objects())}
    assert 0 < costs["touch_catalogue"] < 100 < costs["emit"]
    assert costs["needless"] == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (host.Host("6.1", ("capability",), True, True), ["lsm=capability,bpf"]),
        (host.Host("6.1", None, True, True), ["mount -t securityfs"]),
        (host.Host("6.1", ("bpf",), False, False), ["BTF", "mount -t bpf"]),
        (host.Host("6.1", ("lockdown", "bpf"), True, True), []),
    ],
)
def test_what_a_host_lacks_is_said_with_its_remedy(found: host.Host, said: list[str]) -> None:
    problems = [str(problem) for problem in found.problems()]
    assert len(problems) == len(said)
    assert all(word in problem for word, problem in zip(said, problems, strict=True))


def test_this_host_can_be_looked_at() -> None:
    assert host.look().kernel
