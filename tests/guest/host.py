"""Running the host's programs: output to a log, the log's end in the error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class HostError(Exception):
    """A program on this machine failed; says which, how, and the last lines of what it printed."""


def environment() -> dict[str, str]:
    """Ours with the administrator's folders on PATH: Debian keeps mkfs.ext4, bpftool and chroot there."""
    variables = dict(os.environ)
    variables["PATH"] = f"{variables.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
    variables["DEBIAN_FRONTEND"] = "noninteractive"
    return variables


def run(
    command: Sequence[str | Path], *, log: Path | None = None, cwd: Path | None = None, stdin: str = ""
) -> str:
    """Runs a program to its end and returns its standard output; raises HostError if it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=environment(), input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise HostError(f"{words[0]} is not installed here: run `make setup`") from error
    if log is not None:
        with log.open("a") as handle:
            handle.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise HostError(f"`{' '.join(words)}` ended with {done.returncode}:\n{tail}")
    return done.stdout
