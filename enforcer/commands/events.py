"""`menshen events`: what was denied, what would have been, what started."""

from __future__ import annotations

from pathlib import Path

import click

from enforcer.events import Kind

KINDS = [kind.value for kind in Kind]


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new events until interrupted.")
@click.option("-o", "--output", type=click.Choice(["compact", "json"]), default="compact", show_default=True)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; repeatable.")
@click.option("--subject", default="", help="Only this identity; a trailing * stands for any rest.")
@click.option("--rule", default="", help="Only this Policy or Protection.")
@click.option("--path", default="", help="Only paths that begin so.")
@click.option("-n", "--last", default=50, show_default=True, help="So many old events; 0: all that are kept.")
@click.option("--since", default=0, help="Only events after this one (its number).")
@click.pass_obj
def events(
    socket: Path | None,
    *,
    follow: bool,
    output: str,
    kinds: tuple[str, ...],
    subject: str,
    rule: str,
    path: str,
    last: int,
    since: int,
) -> None:
    """Show denials and other events, the newest last."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import agent  # noqa: PLC0415
    from enforcer.output import as_json, compact  # noqa: PLC0415
    from enforcer.wire import event_of  # noqa: PLC0415

    show = as_json if output == "json" else compact
    request = pb.StreamEventsRequest(
        filter=pb.Filter(kinds=kinds, subject=subject, rule=rule, path=path),
        follow=follow,
        since=since,
        last=last,
    )
    with agent(socket) as stub:
        try:
            for batch in stub.StreamEvents(request):
                if batch.lost:
                    click.echo(f"-- {batch.lost} events were not shown: this terminal was too slow", err=True)
                for message in batch.events:
                    click.echo(show(event_of(message)))
        except KeyboardInterrupt:
            pass
