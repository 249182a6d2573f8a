"""Runs jobs in a guest, one after the other, and prints a line of JSON for each: `inside.py JOBS`.

A job is a list: name, command (for sh), folder, seconds. One whose time is over has the status 124, and what
it leaves behind in its session is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST = 200_000
"""Bytes of output that are kept, the last ones."""


def run(command: str, folder: str, seconds: float) -> tuple[int, str]:
    """Status and output. The output goes to a file: who lives on could keep a pipe open."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = 124
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - MOST))
        return status, output.read().decode(errors="replace")


def main() -> None:
    for name, command, folder, seconds in json.loads(Path(sys.argv[1]).read_text()):
        began = time.monotonic()
        status, output = run(command, folder, seconds)
        took = round(time.monotonic() - began, 1)
        print(json.dumps({"name": name, "status": status, "output": output, "seconds": took}), flush=True)


main()
