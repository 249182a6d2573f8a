"""The kernel's own tests of Landlock, and LTP's of system calls, find no difference that we do not name.

Three runs of each part: without Menshen, then as a subject that may do all, in audit and enforced.
Programs that differ run once more without: that tells what is flaky by itself. README.md says how to have
the suites.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.guest import cache
from tests.guest.conformance.allow_all import IDENTITY, SCRIPT, SUITE, policy
from tests.guest.conformance.build import RUNTEST
from tests.guest.conformance.differences import KNOWN
from tests.guest.conformance.groups import groups
from tests.guest.conformance.results import PASSED, Case, cases, compare, flaky, table
from tests.guest.guest import Guest
from tests.guest.share import PLACE
from tests.guest.test_agent import wait

HERE: Final = Path(__file__).resolve().parent
BUILT: Final = Path(os.environ.get("MENSHEN_CONFORMANCE", "/nonexistent"))
OFF: Final = "off"
MODES: Final = (OFF, "audit", "enforce")
LANDLOCK: Final = "landlock"
SECONDS: Final = 300
"""One program of LTP. Landlock's are one for all their cases, and get more."""
LTP: Final = {
    "LTPROOT": f"{PLACE}/ltp",
    "PATH": f"{PLACE}/ltp/testcases/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TMPDIR": "/var/tmp/ltp",
    "KCONFIG_PATH": "/root/config",
    "LTP_COLORIZE_OUTPUT": "0",
    "LTP_SINGLE_FS_TYPE": "ext4",
    "LTP_TIMEOUT_MUL": "10",
    "LTP_RUNTIME_MUL": "0.1",
}

pytestmark = [
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        "MENSHEN_CONFORMANCE" not in os.environ,
        reason="others' suites, built outside: MENSHEN_CONFORMANCE=FOLDER, see tests/guest/conformance",
    ),
]


@pytest.fixture(scope="module")
def prepared(kernel: str) -> Iterator[Guest]:
    """A guest with the suites, as it is in each mode."""
    with Guest(kernel, share=BUILT) as guest:
        guest.run(f"mkdir -p {LTP['TMPDIR']} && chmod 1777 {LTP['TMPDIR']} && cp -r {PLACE}/landlock /root")
        guest.put("/root/config", guest.kernel.config.read_bytes())
        guest.put("/root/inside.py", (HERE / "inside.py").read_bytes())
        guest.put(SUITE, SCRIPT, 0o755)
        guest.run("menshen enrol-self --service", timeout=300)
        guest.run(f"menshen identity enrol --as {IDENTITY} {SUITE}", timeout=300)
        guest.put("/etc/systemd/system/menshen.service.d/clock.conf", "[Service]\nWatchdogSec=0\n")
        guest.run("systemctl daemon-reload")
        guest.snapshot(OFF)
        guest.run("systemctl start menshen", timeout=600)
        for mode in ("audit", "enforce"):
            guest.put("/root/p/allow-all.yaml", policy(mode))
            guest.run("menshen policy apply /root/p/allow-all.yaml", timeout=300)
            guest.snapshot(mode)
        yield guest


def jobs(part: str, kernel: str) -> list[tuple[str, str, str, float]]:
    """Name, command, folder and seconds of each program of a part."""
    if part == LANDLOCK:
        folder = f"/root/landlock/{kernel}"
        programs = sorted(path.name for path in (BUILT / "landlock" / kernel).glob("*_test"))
        return [(program, f"./{program}", folder, 10 * SECONDS) for program in programs]
    lines = (BUILT / "ltp" / RUNTEST).read_text().splitlines()
    found = [line.split(maxsplit=2) for line in lines]
    return [
        (name, command, LTP["TMPDIR"], SECONDS) for group, name, command in found if group in groups()[part]
    ]


def play(
    guest: Guest, mode: str, programs: list[tuple[str, str, str, float]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """What became of each program, and what Menshen denied or would have."""
    guest.restore(mode)
    guest.put("/root/jobs", json.dumps(programs))
    ran = guest.run([SUITE, "python3", "/root/inside.py", "/root/jobs"], timeout=3600, env=LTP)
    outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    if mode == OFF:
        return outcomes, []
    wait(guest, "menshen policy list")
    return outcomes, guest.run("menshen events --kind denial -n 0").stdout.splitlines()


@pytest.mark.parametrize("part", [LANDLOCK, *groups()])
def test_the_suite_gives_the_same_results_with_and_without(prepared: Guest, kernel: str, part: str) -> None:
    runs: dict[str, dict[str, Case]] = {}
    kept: dict[str, Any] = {}
    programs = jobs(part, kernel)
    for mode in MODES:
        outcomes, denied = play(prepared, mode, programs)
        runs[mode] = cases(part, outcomes)
        kept[mode] = {"outcomes": outcomes, "denied": denied}
    differences = compare(runs, OFF)
    suspects = {one.program for one in differences}
    again, _ = play(prepared, OFF, [job for job in programs if job[0] in suspects])
    kept["off again"] = {"outcomes": again}
    folder = cache.REPOSITORY / "build/conformance"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kernel}-{part}.json").write_text(json.dumps(kept))

    by_themselves = flaky((one.name for one in differences), runs[OFF], cases(part, again))
    print(f"{kernel}, {part}:\n{table(runs)}\nflaky by themselves: {', '.join(by_themselves) or 'none'}")
    differences = [one for one in differences if one.name not in by_themselves]
    for one in differences:
        print(f"{one}\n    {KNOWN.get(one.name, 'NOT KNOWN')}")
    unknown = [one for one in differences if one.name not in KNOWN]
    assert not unknown, "\n".join(map(str, unknown))
    off = runs[OFF].values()
    assert sum(case.word.startswith(PASSED) for case in off) > len(off) / 2, "it does not run here"
