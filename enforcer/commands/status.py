"""`menshen status`: how things stand, on one page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enforcer.escape import escape
from enforcer.output import table

if TYPE_CHECKING:
    from enforcer.api import menshen_pb2 as pb
    from enforcer.api import watch_pb2 as wpb

MEGABYTE = 1_000_000
PATIENCE = 10.0
"""Seconds for the watch, which is not what was asked for first."""


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def status(socket: Path | None, output: str) -> None:
    """Show the mode in force, who is confined, what was denied, and what needs attention."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.Status(pb.StatusRequest(), timeout=TIMEOUT)
    watch, why = _watch(socket)
    if output == "json":
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

        def fields(message: Any) -> dict[str, Any]:
            return MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )

        shown = fields(reply) | {"watch": fields(watch) if watch is not None else None}
        click.echo(json.dumps(shown, indent=1, ensure_ascii=True))
    else:
        _show(reply, watch, why)
    if not all(line.ok for line in reply.health):
        raise SystemExit(1)


def _watch(socket: Path | None) -> tuple[wpb.WatchStatusReply | None, str]:
    """How the watch beside this agent stands, or why that is not known."""
    from enforcer.api import watch_pb2 as wpb  # noqa: PLC0415
    from enforcer.client import watch  # noqa: PLC0415
    from enforcer.places import Places  # noqa: PLC0415

    beside = (socket or Places().socket).with_name(Places().watch_socket.name)
    try:
        with watch(beside) as stub:
            reply: wpb.WatchStatusReply = stub.Status(wpb.WatchStatusRequest(), timeout=PATIENCE)
            return reply, ""
    except click.ClickException as error:
        return None, error.message.splitlines()[0] if beside.exists() else "not running"


def _show(reply: pb.StatusReply, watch: wpb.WatchStatusReply | None, why: str) -> None:
    def row(name: str, text: str) -> None:
        click.echo(f"{click.style(f'{name:12}', bold=True)} {text}")

    counters = reply.counters
    row("mode", reply.mode)
    row("generation", f"{reply.generation}  {reply.hash[:16]}")
    row("policies", f"{reply.policies}")
    row("programs", f"{reply.identities} known by digest")
    row("processes", f"{reply.tasks_unconfined} unconfined, {reply.tasks_unidentified} unidentified")
    row("denied", f"{counters.get('denied', 0)}, would be denied {counters.get('would_deny', 0)}")
    row(
        "held", f"{reply.held} that are not allowed (menshen held)" if reply.HasField("held") else "not known"
    )
    missing = f"denials {counters.get('denials_lost', 0)}, events {counters.get('events_lost', 0)}"
    row("lost records", f"{missing} (counted; verdicts do not depend on them)")
    row("hooks", f"{len(reply.hooks)} attached, guard {'armed' if reply.guard else 'not armed'}")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(reply.started))
    if reply.HasField("beginning"):
        row("boot", _beginning(reply.beginning))
    row("agent", f"{escape(reply.version)} since {since}, kernel {escape(reply.kernel)}")
    row("", f"{_uses(reply)}; metrics: {escape(reply.metrics)}")
    if watch is None:
        row("watch", escape(why))
    else:
        lost = sum(each.lost for each in watch.types)
        limited = sum(each.limited for each in watch.types)
        breaker = ", the circuit breaker is open" if watch.breaker_open else ""
        row("watch", f"{watch.events_per_second:,.0f} events/s, {lost} lost, {limited} limited{breaker}")
        row("", f"{watch.rules} rules, {watch.sequences} sequences, {watch.alerts} alerts")
        row("", f"{watch.stored_events:,} events in {watch.stored_bytes / MEGABYTE:,.1f} MB on disk")
        row("", f"{_uses(watch)}; metrics: {escape(watch.metrics)}")
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
    _attend(reply.health)
    if watch is not None:
        _attend(watch.health, "watch, ")


def _beginning(found: pb.Beginning) -> str:
    from enforcer.boot.beginning import Beginning, Stage  # noqa: PLC0415

    programs = found.programs if found.HasField("programs") else None
    return str(Beginning(Stage(found.stage), found.at, found.uptime, found.started, found.running, programs))


def _uses(reply: pb.StatusReply | wpb.WatchStatusReply) -> str:
    return f"{reply.resident_bytes / MEGABYTE:,.0f} MB, {reply.cpu_seconds:,.1f} s of processor time"


def _attend(health: Iterable[pb.HealthLine | wpb.WatchHealth], whose: str = "") -> None:
    for line in health:
        if not line.ok:
            click.echo(click.style(f"\nattention: {whose}{line.name}", fg="red"))
            for text in line.text.splitlines():
                click.echo(f"  {escape(text)}")
