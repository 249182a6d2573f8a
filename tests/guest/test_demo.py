"""`make demo`: the intrusion is denied on every kernel; without enforcement it succeeds, the demo fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.demo.run import demo


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_step_of_an_intrusion_is_denied_while_all_services_go_on(
    kernel: str, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    kernels = pytestconfig.getoption("--kernels").split(",")
    if kernel in kernels[1:-1] and not os.environ.get("MENSHEN_NIGHTLY"):
        pytest.skip("takes minutes: on the oldest and the newest kernel, on all with MENSHEN_NIGHTLY=1")
    run = demo(kernel, enforce=True, folder=tmp_path)
    written = json.loads((tmp_path / "demo.json").read_text())
    assert run.passed, (tmp_path / "demo.txt").read_text()
    assert written["passed"]
    assert {attempt["step"] for attempt in written["attempts"]} == set(range(1, 14))
    assert all(attempt["event"]["rule_name"] for attempt in written["attempts"])
    assert written["last_act"]["last"]["error"] == "EPERM"
    assert written["last_act"]["last"]["event"]["rule_name"] == "download-run-scan"


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_without_enforcement_every_step_succeeds_and_the_demo_fails(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    kernel = pytestconfig.getoption("--kernels").split(",")[0]
    run = demo(kernel, enforce=False, folder=tmp_path)
    text = (tmp_path / "demo-off.txt").read_text()
    assert not run.passed
    assert all(outcome.succeeded for outcome in run.outcomes), text
    assert run.served, text
    assert f"FAIL      enforcement was off, {len(run.outcomes)} attempts succeeded" in text
