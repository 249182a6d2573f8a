"""`menshen agent`, the same as the script `menshen-agent` that the service runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
@click.option("--metrics", help="Where Prometheus' metrics can be had: unix, none, or ADDRESS:PORT.")
@click.option("--metrics-file", help="Write them here too, for node_exporter's text-file collector (*.prom).")
def agent(root: Path, **given: str | None) -> None:
    """Run the agent: load the gate or take over a running one, apply the policies, serve the API.

    It is told what it needs by /etc/menshen/agent.yaml, and is normally started by systemd.
    """
    from enforcer.agent.run import run  # noqa: PLC0415

    raise SystemExit(run(root, **{name: text for name, text in given.items() if text is not None}))
