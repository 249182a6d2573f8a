"""`menshen why`: an event explained."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enforcer.escape import escape

if TYPE_CHECKING:
    from enforcer.api import menshen_pb2 as pb
    from enforcer.events import Event


@click.command()
@click.argument("event", type=click.IntRange(1))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def why(socket: Path | None, event: int, output: str) -> None:
    """Explain EVENT (its number, as `menshen events` shows it), and what to write to allow it."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415
    from enforcer.events import as_line  # noqa: PLC0415
    from enforcer.wire import event_of  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.Why(pb.WhyRequest(event=event), timeout=TIMEOUT)
    found = event_of(reply.event)
    if output == "json":
        said = {"verdict": reply.verdict, "advice": reply.advice, "snippet": reply.snippet}
        click.echo(json.dumps({"event": as_line(found), **said}, ensure_ascii=True))
        return
    for name, text in _lines(found, reply):
        click.echo(f"{click.style(f'{name:8}', bold=True)} {text}")
    if reply.advice:
        click.echo(f"\n{reply.advice}")
    if reply.snippet:
        click.echo()
        for line in reply.snippet.splitlines():
            click.echo(f"    {line}")


def _lines(event: Event, reply: pb.WhyReply) -> list[tuple[str, str]]:
    from enforcer.output import thing  # noqa: PLC0415

    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
    lines = [("event", f"{event.id}, {moment}"), ("verdict", escape(reply.verdict))]
    if event.subject:
        lines.append(("who", _who(event)))
    if event.operation:
        words = [event.operation, event.right if event.right != event.operation else "", thing(event)]
        detail = f"  ({event.detail_words})" if event.detail_words else ""
        lines.append(("what", " ".join(filter(None, words)) + detail))
    if event.flags:
        lines.append(("note", ", ".join(event.flags)))
    if event.rule_name:
        place = f" at {escape(event.rule_place)}" if event.rule_place else ""
        lines.append(("rule", f"{escape(event.rule_name)} ({escape(event.rule_kind)}){place}"))
        if reply.source_line:
            lines.append(("", escape(reply.source_line)))
        lines.append(("mode", f"{event.mode}, generation {event.generation}"))
    return lines


def _who(event: Event) -> str:
    uid = (
        f"uid {event.uid}"
        if event.login_uid in (0xFFFFFFFF, event.uid)
        else f"uid {event.uid}, logged in as {event.login_uid}"
    )
    exe = f", runs {escape(event.exe)}" if event.exe else ""
    return (
        f'{escape(event.subject)} (pid {event.pid} "{escape(event.comm)}"{exe}, {uid}, child of {event.ppid})'
    )
