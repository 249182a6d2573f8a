"""`menshen watch`, the same as the script `menshen-watch` that the service runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
def watch(root: Path) -> None:
    """Run the watch: see what the host does, judge it by rules and sequences, keep it, tell.

    It is told what it needs by /etc/menshen/watch.yaml, and is normally started by systemd. It works without
    the gate too, and then knows no identities.
    """
    from enforcer.watch.run import run  # noqa: PLC0415

    raise SystemExit(run(root))
