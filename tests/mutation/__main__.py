"""`python -m tests.mutation [FILE...]`: mutmut changes the code, a place at a time, and runs the tests.

Done in a copy of the tree (build/mutation), which later runs take up again: only what changed is tried anew.
A change that fails no test survives. Fewer than BAR killed ends with 1; the survivors are in
build/mutation/survivors.diff.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[2]
PLACE: Final = ROOT / "build/mutation"
MUTATED: Final = (
    *(f"policies/compile/{name}.py" for name in (
        "plan", "nfa", "dfa", "minimise", "subtree", "decide", "cells", "classes", "comb", "assemble",
        "compiler",
    )),
    "policies/sections.py",
    "policies/evaluate.py",
    "policies/operations.py",
)  # fmt: skip
COPIED: Final = ("policies", "bpf_lsm", "identity", "tests", "docs")
TESTS: Final = "tests/unit/policies"
BAR: Final = 0.9
MEMORY: Final = 3 << 30
"""Bytes of address space: a loop that does not end any more must not take the machine's."""
EXAMPLES: Final = "10"
"""Per cent of the examples of property tests."""
KILLED: Final = frozenset({1, 3, 24, 36, 152, 255, -24, -9, -11})
"""How mutmut says that a test failed, or the tests did not end in time or memory."""


def main() -> int:
    """Mutate, count, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", default=MUTATED, help="what to mutate; all that count without")
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="how many tests run at once")
    chosen = parser.parse_args()
    _copy(chosen.files)
    _try_again()
    _mutmut("run", "--max-children", str(chosen.children))
    return _tell(chosen.files)


def _copy(files: Sequence[str]) -> None:
    """The tree as it is, and what is to be mutated."""
    PLACE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *COPIED],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (PLACE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, PLACE / name)
    lines = [
        "[tool.mutmut]",
        'source_paths = ["policies"]',
        f"only_mutate = {json.dumps(list(files))}",
        f"also_copy = {json.dumps(COPIED)}",
        f"pytest_add_cli_args_test_selection = {json.dumps([TESTS])}",
        "timeout_multiplier = 4.0",  # some changes make loops that do not end
        "timeout_constant = 5.0",
        'pytest_add_cli_args = ["-p", "no:cacheprovider", "-m", "not slow"]',
        "[tool.pytest.ini_options]",
        'markers = ["slow", "guest"]',
    ]
    (PLACE / "pyproject.toml").write_text("\n".join(lines) + "\n")


def _try_again() -> None:
    """What survived may be killed by a new test; which test reaches what is measured anew."""
    mutants = PLACE / "mutants"
    (mutants / "mutmut-stats.json").unlink(missing_ok=True)
    for kept in mutants.rglob("*.meta"):
        known = json.loads(kept.read_text())
        outcomes = known["exit_code_by_key"]
        known["exit_code_by_key"] = {
            name: code if code in KILLED else None for name, code in outcomes.items()
        }
        kept.write_text(json.dumps(known))


def _mutmut(*arguments: str, capture: bool = False) -> str:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    environment = {**os.environ, "MENSHEN_EXAMPLES": EXAMPLES, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=PLACE, env=environment, check=not capture, capture_output=capture, text=True, preexec_fn=limit,
    )  # fmt: skip
    return done.stdout or ""


def _outcomes(file: str) -> dict[str, int]:
    kept = PLACE / "mutants" / f"{file}.meta"
    found: dict[str, int] = json.loads(kept.read_text())["exit_code_by_key"]
    return found


def _tell(files: Sequence[str]) -> int:
    """The table, the survivors, and whether they are few enough."""
    table = Table("file", "mutants", "killed", "survived", "per cent", title="Mutation testing")
    total: Counter[bool] = Counter()
    survivors: list[str] = []
    for file in files:
        outcomes = _outcomes(file)
        count = Counter(code in KILLED for code in outcomes.values())
        survivors += [name for name, code in outcomes.items() if code not in KILLED]
        table.add_row(file, *_row(count))
        total += count
    table.add_section()
    table.add_row("all", *_row(total))
    Console(width=100).print(table)
    (PLACE / "survivors.diff").write_text("".join(_changes(survivors)))
    share = total[True] / max(1, total.total())
    print(f"mutation: {share:.1%} of {total.total()} mutants killed, at least {BAR:.0%} are asked for")
    print(f"mutation: the others are in {(PLACE / 'survivors.diff').relative_to(ROOT)}")
    return int(share < BAR)


def _row(count: Counter[bool]) -> Iterator[str]:
    yield from (str(count.total()), str(count[True]), str(count[False]))
    yield f"{100 * count[True] / max(1, count.total()):.1f}"


def _changes(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"# {name}\n{_mutmut('show', name, capture=True)}\n"


raise SystemExit(main())
