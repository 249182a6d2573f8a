"""`menshen alerts`: what the watch found, each with the chain of events that justifies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from enforcer.api import watch_pb2 as pb

LEVELS = ["informational", "low", "medium", "high", "critical"]
COLOURS = {"medium": "yellow", "high": "red", "critical": "red"}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new alerts until interrupted.")
@click.option("-o", "--output", type=click.Choice(["compact", "json"]), default="compact", show_default=True)
@click.option("--level", type=click.Choice(LEVELS), default=LEVELS[0], help="This one and graver.")
@click.option("-n", "--last", default=50, show_default=True, help="So many old alerts; 0: all that are kept.")
@click.option("--socket", "watch_socket", type=click.Path(path_type=Path), help="The watch's socket.")
def alerts(*, follow: bool, output: str, level: str, last: int, watch_socket: Path | None) -> None:
    """Show alerts, the newest last."""
    from enforcer.api import watch_pb2 as pb  # noqa: PLC0415
    from enforcer.client import watch  # noqa: PLC0415

    show = _json if output == "json" else _compact
    with watch(watch_socket) as stub:
        try:
            for batch in stub.StreamAlerts(pb.StreamAlertsRequest(follow=follow, last=last, level=level)):
                if batch.lost:
                    click.echo(f"-- {batch.lost} alerts were not shown: this terminal was too slow", err=True)
                for alert in batch.alerts:
                    click.echo(show(alert))
        except KeyboardInterrupt:
            pass


def _json(alert: pb.Alert) -> str:
    from enforcer.watch.messages import as_line  # noqa: PLC0415

    return json.dumps(as_line(alert), ensure_ascii=True, separators=(",", ":"))


def _compact(alert: pb.Alert) -> str:
    """A line for the alert, and one for each step of its chain."""
    from enforcer.escape import escape  # noqa: PLC0415
    from enforcer.observed import clock, compact  # noqa: PLC0415

    level = click.style(f"{alert.level:8}", fg=COLOURS.get(alert.level))
    outcome = "  BLOCKED" if alert.blocked else "  incomplete" if alert.incomplete else ""
    title = escape(alert.title or alert.name)
    lines = [f"{clock(alert.time)} {level} {title}  session {alert.session:x}{outcome}  #{alert.id}"]
    lines += [f"    {escape(step.step):24} {compact(step.observation)}" for step in alert.chain]
    return "\n".join(lines)
