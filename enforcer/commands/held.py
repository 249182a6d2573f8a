"""`menshen held`: what is open, mapped or connected that the policies in force do not allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.escape import escape

if TYPE_CHECKING:
    from enforcer.api import menshen_pb2 as pb


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--subject", default="", help="Only this identity; a trailing * stands for any rest.")
@click.option("--pid", default=0, help="Only this process.")
@click.option("--close", is_flag=True, help="Shut the connections among it.")
@click.option(
    "--end", is_flag=True, help="End the processes that hold files or mappings: SIGTERM, then SIGKILL."
)
@click.pass_obj
def held(socket: Path | None, *, output: str, subject: str, pid: int, close: bool, end: bool) -> None:
    """Show what processes hold that the policies in force do not allow, and close it if told to.

    Rights are asked when something is opened, not at each read and write: a tightened policy leaves open what
    was opened before it. An open file cannot be taken away from a process; --end ends the process instead.
    """
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415

    with agent(socket) as stub:
        if close or end:
            asked = pb.CloseHeldRequest(subject=subject, pid=pid, end=end)
            reply = stub.CloseHeld(asked, timeout=TIMEOUT)
        else:
            reply = stub.ListHeld(pb.ListHeldRequest(subject=subject, pid=pid), timeout=TIMEOUT)
    if output == "json":
        click.echo(json.dumps([_line(one) for one in reply.held], indent=1, ensure_ascii=True))
    else:
        _show(reply)


def _line(one: pb.Held) -> dict[str, object]:
    from enforcer.events import as_line  # noqa: PLC0415
    from enforcer.wire import event_of  # noqa: PLC0415

    event = {
        name: value for name, value in as_line(event_of(one.event)).items() if name not in ("id", "detail")
    }
    found: dict[str, object] = {**event, "descriptor": _descriptor(one)}
    return found | ({"done": one.done} if one.done else {})


def _descriptor(one: pb.Held) -> int | None:
    return None if one.event.operation == "hold-mapped" else one.descriptor


def _show(reply: pb.HeldReply) -> None:
    from enforcer.output import table, thing  # noqa: PLC0415
    from enforcer.wire import event_of  # noqa: PLC0415

    if not reply.held:
        click.echo(f"nothing is held that generation {reply.generation} does not allow")
        return
    rows = [("SUBJECT", "PID", "DESCRIPTOR", "RIGHT", "WHAT", "RULE", "MODE", "DONE")]
    for one in reply.held:
        event = event_of(one.event)
        number = _descriptor(one)
        rows.append(
            (
                escape(event.subject),
                str(event.pid),
                "mapped" if number is None else str(number),
                event.right,
                thing(event),
                f"{escape(event.rule_name)} ({escape(event.rule_place)})",
                event.mode,
                escape(one.done),
            )
        )
    table(rows)
