"""`menshen agent`, the same as the script `menshen-agent` that the service runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
def agent(root: Path) -> None:
    """Run the agent: load the gate or take over a running one, apply the policies, serve the API.

    It is told what it needs by /etc/menshen/agent.yaml, and is normally started by systemd.
    """
    from enforcer.agent.run import run  # noqa: PLC0415

    raise SystemExit(run(root))
