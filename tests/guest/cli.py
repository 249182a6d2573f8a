"""The command line: run a command in a guest, or have a shell there; prepare images and snapshots."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import click

from tests.guest import kernels, terminal
from tests.guest.channel import ChannelError
from tests.guest.guest import Guest
from tests.guest.host import HostError
from tests.guest.machine import LSM
from tests.guest.progress import note
from tests.guest.qmp import QmpError
from tests.guest.terminal import FAILED


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
    return terminal.show(process)


def _shell(guest: Guest) -> int:
    if not terminal.is_there():
        process = guest.popen("sh")
        threading.Thread(target=terminal.feed, args=(process,), daemon=True).start()
        return terminal.show(process)
    note("a shell in the guest; leave it with exit or Ctrl-D")
    return terminal.attach(guest, ["bash", "-l"])
