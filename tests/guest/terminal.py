"""This terminal and a command in a guest: what is typed goes in, what it writes comes out."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Sequence

from tests.guest import wire
from tests.guest.channel import Process
from tests.guest.guest import Guest

FAILED = 125  # ours, as `env` and `timeout` have it: the command itself was not run to its end


def is_there() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def attach(guest: Guest, command: Sequence[str]) -> int:
    """The command on this terminal, until it ends; its status. For the main thread."""
    process = guest.popen(command, pty=True, env={"TERM": os.environ.get("TERM", "xterm-256color")})

    def fit(*_: object) -> None:
        size = shutil.get_terminal_size()
        process.resize(size.lines, size.columns)

    fit()
    signal.signal(signal.SIGWINCH, fit)
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        threading.Thread(target=feed, args=(process,), daemon=True).start()
        return show(process)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def show(process: Process) -> int:
    """Passes the command's output on as it comes; Ctrl-C goes to the command."""
    while True:
        try:
            for kind, data in process.events():
                stream = sys.stdout.buffer if kind == wire.OUT else sys.stderr.buffer
                stream.write(data)
                stream.flush()
        except KeyboardInterrupt:
            process.signal(signal.SIGINT)
            continue
        return process.status if process.status is not None else FAILED


def feed(process: Process) -> None:
    """Our standard input to the command, byte by byte as it comes."""
    while process.status is None:
        if select.select([0], [], [], 0.2)[0]:
            data = os.read(0, wire.CHUNK)
            if not data:
                process.close_input()
                return
            process.write(data)
