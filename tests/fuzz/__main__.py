"""`python -m tests.fuzz TARGET --seconds 60`: libFuzzer by way of atheris; 0 if nothing was found.

What takes longer than a round goes in rounds, each a process of its own that goes on with the corpus:
what atheris 3.0 instruments loses some KB with each input, and the limit on memory is there for our faults.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["policies", "identity", "bpf_lsm"], enable_loader_override=False):
    from tests.fuzz.targets import ROOT, TARGETS, Target

SLOWEST: Final = 25
"""Seconds for one input: what takes longer is a fault, too."""
MEMORY: Final = 2048
"""MiB."""
ROUND: Final = 120
"""Seconds."""


def main() -> int:
    """Fuzz one target until its time is over or something is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--input", type=Path, help="only this one: what was kept of a fault, for example")
    chosen = parser.parse_args()
    target = TARGETS[chosen.target]
    if chosen.input:
        target.run(chosen.input.read_bytes())
        return 0
    if chosen.seconds > ROUND:
        return _rounds(chosen.target, chosen.seconds)
    folder = ROOT / "build/fuzz" / chosen.target
    corpus, seeds, faults = (folder / name for name in ("corpus", "seeds", "faults"))
    for each in (corpus, seeds, faults):
        each.mkdir(parents=True, exist_ok=True)
    _sow(target, seeds)
    arguments = [
        sys.argv[0],
        f"-max_total_time={chosen.seconds}",
        f"-max_len={target.max_bytes}",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={faults}/",
        "-print_final_stats=1",
    ]
    if target.words:
        words = folder / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        arguments.append(f"-dict={words}")
    atheris.Setup([*arguments, str(corpus), str(seeds)], target.run)
    atheris.Fuzz()
    return 0


def _rounds(name: str, seconds: int) -> int:
    """The status of the first round that finds something."""
    end = time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(min(left, ROUND))]
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
    return 0


def _sow(target: Target, folder: Path) -> None:
    for seed in target.seeds():
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


sys.exit(main())
