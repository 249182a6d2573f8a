"""The command line: run a command in a guest, or have a shell there; prepare images and snapshots."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from pathlib import Path

import click

from tests.guest import kernels, wire
from tests.guest.channel import ChannelError, Process
from tests.guest.guest import Guest
from tests.guest.host import HostError
from tests.guest.machine import LSM
from tests.guest.progress import note
from tests.guest.qmp import QmpError

FAILED = 125  # ours, as `env` and `timeout` have it: the command itself was not run to its end


@click.group()
def main() -> None:
    """Guests: real kernels under QEMU, with Menshen installed."""


@main.command()
@click.option("--kernel", default="6.1", show_default=True, type=click.Choice(kernels.NAMES))
@click.option("--share", type=click.Path(exists=True, file_okay=False, path_type=Path), help="To /mnt/share.")
@click.option(
    "--icount", is_flag=True, help="One CPU that counts instructions: the same run, the same count."
)
@click.option("--lsm", default=LSM, show_default=True, help="The kernel's list of security modules.")
@click.option("--cmdline", default="", help="More words for the kernel's command line.")
@click.option("--memory", default=1024, show_default=True, help="In MiB.")
@click.option("--cpus", default=2, show_default=True)
@click.option(
    "--forward", multiple=True, metavar="OURS:THEIRS", help="A port of our loopback to one of the guest."
)
@click.option("--without-menshen", is_flag=True, help="The Debian guest as it is before Menshen is put in.")
@click.argument("command", required=False)
def run(  # noqa: PLR0917 - click passes by keyword
    kernel: str,
    share: Path | None,
    icount: bool,
    lsm: str,
    cmdline: str,
    memory: int,
    cpus: int,
    forward: tuple[str, ...],
    without_menshen: bool,
    command: str | None,
) -> None:
    """Runs COMMAND as root in a fresh guest and ends with its status; without it, a shell."""
    ports = {int(ours): int(theirs) for ours, _, theirs in (pair.partition(":") for pair in forward)}
    try:
        guest = Guest(
            kernel,
            share=share,
            lsm=lsm,
            cmdline=cmdline,
            memory=memory,
            cpus=cpus,
            icount=icount,
            menshen=not without_menshen,
            forward=ports,
        )
        with guest:
            status = _stream(guest, command) if command else _shell(guest)
    except (HostError, ChannelError, QmpError) as error:
        note(f"error: {error}")
        sys.exit(FAILED)
    sys.exit(status if status >= 0 else 128 - status)


@main.command()
@click.option("--kernels", "names", default=",".join(kernels.NAMES), show_default=True)
def image(names: str) -> None:
    """Makes everything that guests start from: the image, a boot of each kernel, Menshen in it."""
    try:
        for name in filter(None, names.split(",")):
            with Guest(name) as guest:
                note(f"{name} is ready: {guest.run('uname -r').stdout.strip()}")
    except (HostError, ChannelError, QmpError) as error:
        note(f"error: {error}")
        sys.exit(FAILED)


def _stream(guest: Guest, command: str) -> int:
    process = guest.popen(command)
    process.close_input()
    return _show(process)


def _show(process: Process) -> int:
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


def _shell(guest: Guest) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        process = guest.popen("sh")
        threading.Thread(target=_feed, args=(process,), daemon=True).start()
        return _show(process)
    note("a shell in the guest; leave it with exit or Ctrl-D")
    process = guest.popen(["bash", "-l"], pty=True)

    def fit(*_: object) -> None:
        size = shutil.get_terminal_size()
        process.resize(size.lines, size.columns)

    fit()
    signal.signal(signal.SIGWINCH, fit)
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        threading.Thread(target=_feed, args=(process,), daemon=True).start()
        return _show(process)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _feed(process: Process) -> None:
    """Our standard input to the command, byte by byte as it comes."""
    while process.status is None:
        if select.select([0], [], [], 0.2)[0]:
            data = os.read(0, wire.CHUNK)
            if not data:
                process.close_input()
                return
            process.write(data)
