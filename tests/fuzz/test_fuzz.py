"""Each fuzzer for a moment: it runs, and finds nothing at once. `make fuzz` runs them for long."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.fuzz.targets import ROOT, TARGETS

SECONDS = 10


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_a_moment(target: str) -> None:
    pytest.importorskip("atheris", reason="no wheel of atheris for this Python")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, "--seconds", str(SECONDS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    tried = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    assert tried
    assert int(tried[1]) > 50, done.stderr[-2000:]


@pytest.mark.parametrize("target", TARGETS)
def test_what_fuzzers_begin_with_is_no_fault(target: str) -> None:
    one = TARGETS[target]
    seeds = list(one.seeds())
    assert seeds
    for seed in seeds:
        one.run(seed)
        one.run(seed[: len(seed) // 2])
