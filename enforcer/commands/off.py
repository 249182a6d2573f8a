"""`menshen off`: the way out."""

from __future__ import annotations

from pathlib import Path

import click

from enforcer.escape import escape


@click.command()
@click.option("--reason", required=True, help="Why; it is written to the log, with who you are.")
@click.pass_obj
def off(socket: Path | None, reason: str) -> None:
    """End enforcement now, until `systemctl start menshen` or the next boot.

    To keep it off: `systemctl disable menshen`. If the agent cannot be started: boot with `menshen=off`.
    """
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.Off(pb.OffRequest(reason=reason), timeout=TIMEOUT)
    if reply.left:
        for text in reply.left:
            click.echo(f"still there: {escape(text)}", err=True)
        raise click.ClickException(
            "enforcement could not be taken away whole; a boot with menshen=off ends it"
        )
    click.echo("enforcement is off, and nothing of it is left in the kernel. It begins again with the agent:")
    click.echo("  systemctl start menshen, or the next boot (systemctl disable menshen keeps it off)")
