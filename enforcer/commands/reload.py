"""`menshen reload`: look at the host again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.pass_obj
def reload(socket: Path | None) -> None:
    """Read trust roots, the catalogue, signed programs and the policies on disk anew, now."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import agent  # noqa: PLC0415
    from enforcer.output import show_problems  # noqa: PLC0415
    from enforcer.wire import problem_of  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.Reload(pb.ReloadRequest(), timeout=600)
    problems = [problem_of(message) for message in reply.problems]
    show_problems(problems)
    click.echo(f"{reply.identities} programs by digest: {reply.added} new, {reply.removed} gone")
    changed = "new policies are" if reply.policies_changed else "the policies are unchanged;"
    click.echo(
        f"{changed} in force (generation {reply.generation})"
        if reply.policies_changed
        else f"{changed} generation {reply.generation} is in force"
    )
    if any(not problem.warning for problem in problems):
        raise SystemExit(1)
