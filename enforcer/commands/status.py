"""`menshen status`: how things stand, on one page."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.escape import escape
from enforcer.output import table

if TYPE_CHECKING:
    from enforcer.api import menshen_pb2 as pb


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def status(socket: Path | None, output: str) -> None:
    """Show the mode in force, who is confined, what was denied, and what needs attention."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.Status(pb.StatusRequest(), timeout=TIMEOUT)
    if output == "json":
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

        fields = MessageToDict(
            reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        click.echo(json.dumps(fields, indent=1, ensure_ascii=True))
    else:
        _show(reply)
    if not all(line.ok for line in reply.health):
        raise SystemExit(1)


def _show(reply: pb.StatusReply) -> None:
    def row(name: str, text: str) -> None:
        click.echo(f"{click.style(f'{name:12}', bold=True)} {text}")

    counters = reply.counters
    row("mode", reply.mode)
    row("generation", f"{reply.generation}  {reply.hash[:16]}")
    row("policies", f"{reply.policies}")
    row("programs", f"{reply.identities} known by digest")
    row("processes", f"{reply.tasks_unconfined} unconfined, {reply.tasks_unidentified} unidentified")
    row("denied", f"{counters.get('denied', 0)}, would be denied {counters.get('would_deny', 0)}")
    lost = f"denials {counters.get('denials_lost', 0)}, events {counters.get('events_lost', 0)}"
    row("lost records", f"{lost} (counted; verdicts do not depend on them)")
    row("hooks", f"{len(reply.hooks)} attached, guard {'armed' if reply.guard else 'not armed'}")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(reply.started))
    row("agent", f"{escape(reply.version)} since {since}, kernel {escape(reply.kernel)}")
    if reply.subjects:
        click.echo(click.style("\nsubjects", bold=True))
        table(
            [
                (escape(s.subject), f"{s.tasks} running", f"{s.denied} denied", f"{s.would_deny} would be")
                for s in reply.subjects
            ],
        )
    if reply.rules:
        click.echo(click.style("\nrules that fired", bold=True))
        table(
            [
                (escape(r.rule), escape(r.place), f"{r.denied} denied", f"{r.would_deny} would be")
                for r in reply.rules[:20]
            ],
        )
    for line in reply.health:
        if not line.ok:
            click.echo(click.style(f"\nattention: {line.name}", fg="red"))
            for text in line.text.splitlines():
                click.echo(f"  {escape(text)}")
