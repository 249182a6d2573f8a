"""`menshen observations`: what the watch sees, as it sees it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new events until interrupted.")
@click.option("-o", "--output", type=click.Choice(["compact", "json"]), default="compact", show_default=True)
@click.option("--type", "types", multiple=True, help="Only these, for example exec or connect; repeatable.")
@click.option("--text", default="", help="Part of a program, argument, path, address, identity or tag.")
@click.option("--session", default="", help="Only this session, as the events show it.")
@click.option("--tagged", is_flag=True, help="Only what a rule matches.")
@click.option("-n", "--last", default=50, show_default=True, help="So many old events; 0: all that are kept.")
@click.option("--socket", "watch_socket", type=click.Path(path_type=Path), help="The watch's socket.")
def observations(
    *,
    follow: bool,
    output: str,
    types: tuple[str, ...],
    text: str,
    session: str,
    tagged: bool,
    last: int,
    watch_socket: Path | None,
) -> None:
    """Show events of the host, the newest last."""
    import json  # noqa: PLC0415

    from enforcer.api import watch_pb2 as pb  # noqa: PLC0415
    from enforcer.client import watch  # noqa: PLC0415
    from enforcer.observed import compact  # noqa: PLC0415
    from enforcer.watch.messages import observation_line  # noqa: PLC0415

    try:
        number = int(session, 16) if session else 0
    except ValueError:
        raise click.BadParameter("a session is a hexadecimal number, as the events show it") from None
    wanted = pb.ObservationFilter(types=types, text=text, session=number, tagged=tagged)
    with watch(watch_socket) as stub:
        try:
            request = pb.StreamObservationsRequest(filter=wanted, follow=follow, last=last)
            for batch in stub.StreamObservations(request):
                if batch.lost:
                    click.echo(f"-- {batch.lost} events were not shown: this terminal was too slow", err=True)
                for seen in batch.observations:
                    shown = json.dumps(observation_line(seen)) if output == "json" else compact(seen)
                    click.echo(shown)
        except KeyboardInterrupt:
            pass
