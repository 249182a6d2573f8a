"""`menshen tui`: the application over the running services, or over a recording."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click


@click.command()
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show a recording instead of this host.",
)
@click.option("--speed", default=1.0, show_default=True, help="Of a replay; 0: all at once.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything that is received to this file.",
)
@click.option("--watch-socket", type=click.Path(path_type=Path), help="Default: /run/menshen/watch.sock")
@click.pass_obj
def tui(
    socket: Path | None, *, replay: Path | None, speed: float, record: Path | None, watch_socket: Path | None
) -> None:
    """Watch denials, events and alerts live."""
    from tui.app import MenshenApp  # noqa: PLC0415
    from tui.replay import Replay  # noqa: PLC0415
    from tui.source import Live, Source  # noqa: PLC0415

    source: Source = Replay(replay, speed) if replay else Live(socket, watch_socket)
    with ExitStack() as stack:
        out = stack.enter_context(record.open("w", encoding="utf-8")) if record else None
        MenshenApp(source, record=out).run()
