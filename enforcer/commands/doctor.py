"""`menshen doctor`: what this host can do, and what is to be done."""

from __future__ import annotations

import json
from pathlib import Path

import click

COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
def doctor(*, output: str, root: Path) -> None:
    """Check the kernel, the programs, identities, policies and the service. Exit status 1 on a FAIL."""
    from dataclasses import asdict  # noqa: PLC0415

    from enforcer.doctor import Level, examine  # noqa: PLC0415
    from enforcer.output import escape_line  # noqa: PLC0415
    from enforcer.places import Places  # noqa: PLC0415

    found = []
    for finding in examine(Places(root)):
        found.append(finding)
        if output == "text":
            first, *rest = finding.text.splitlines() or [""]
            mark = click.style(f"{finding.level:4}", fg=COLOURS[finding.level])
            click.echo(f"{mark}  {finding.check:11} {escape_line(first)}")
            for line in rest:
                click.echo(f"                  {escape_line(line)}")
            if finding.remedy and finding.level is not Level.OK:
                for line in finding.remedy.splitlines():
                    click.echo(f"                  -> {escape_line(line)}")
    if output == "json":
        click.echo(json.dumps([asdict(finding) for finding in found], ensure_ascii=True))
    if any(finding.level is Level.FAIL for finding in found):
        raise SystemExit(1)
