"""`menshen watch`, the same as the script `menshen-watch` that the service runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
@click.option("--metrics", help="Where Prometheus' metrics can be had: unix, none, or ADDRESS:PORT.")
@click.option("--metrics-file", help="Write them here too, for node_exporter's text-file collector (*.prom).")
def watch(root: Path, **given: str | None) -> None:
    """Run the watch: see what the host does, judge it by rules and sequences, keep it, tell.

    It is told what it needs by /etc/menshen/watch.yaml, and is normally started by systemd. It works without
    the gate too, and then knows no identities.
    """
    from enforcer.watch.run import run  # noqa: PLC0415

    raise SystemExit(run(root, **{name: text for name, text in given.items() if text is not None}))
