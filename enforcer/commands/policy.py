"""`menshen policy`: validate, apply, list, show."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click

from enforcer.escape import escape

SUFFIXES = (".yaml", ".yml")


@click.group()
def policy() -> None:
    """Validate, apply, list and show policies."""


@policy.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def validate(paths: tuple[Path, ...], output: str) -> None:
    """Compile and check policy files, without an agent: every fault with its place, then exit status 1."""
    from enforcer.agent.language import Language  # noqa: PLC0415
    from enforcer.errors import EnforcerError, Problem  # noqa: PLC0415
    from enforcer.output import problem_line, show_problems  # noqa: PLC0415

    files = _read(paths, whole_names=True)
    try:
        compiled = Language().compile(files)
        problems = (*compiled.warnings, *compiled.lockouts)
        good = not compiled.lockouts
        summary = f"{len(files)} files, {len(compiled.documents)} documents, {len(compiled.rules)} rules"
        summary += f", {len(compiled.image)} bytes, {compiled.hash[:16]}"
    except EnforcerError as error:
        problems = error.problems or (Problem(error.message, rendered=str(error)),)
        good, summary = False, ""
    if output == "json":
        click.echo(json.dumps({"valid": good, "problems": [problem_line(one) for one in problems]}))
    else:
        show_problems(problems)
        click.echo(summary if good else click.style("not valid", fg="red"), err=not good)
    if not good:
        raise SystemExit(1)


@policy.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Compile and check in the agent, and change nothing.")
@click.option("--force", is_flag=True, help="Also if it would lock out sshd, systemd or the agent.")
@click.option("--replace", is_flag=True, help="Remove every policy that is not among these files.")
@click.pass_obj
def apply(socket: Path | None, paths: tuple[Path, ...], *, dry_run: bool, force: bool, replace: bool) -> None:
    """Put files, or the files of folders, in force. Whole or not at all; on an error the old ones stay."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415
    from enforcer.output import show_problems  # noqa: PLC0415
    from enforcer.wire import problem_of  # noqa: PLC0415

    documents = [
        pb.Document(name=name, content=content) for name, content in _read(paths, whole_names=False).items()
    ]
    request = pb.ApplyPoliciesRequest(documents=documents, dry_run=dry_run, force=force, replace=replace)
    with agent(socket) as stub:
        reply = stub.ApplyPolicies(request, timeout=TIMEOUT)
    show_problems(map(problem_of, reply.problems))
    if reply.applied:
        click.echo(f"generation {reply.generation} is in force: {escape(reply.summary)}")
        if not reply.HasField("held"):
            click.echo("what is held already could not be looked for: menshen held", err=True)
        elif reply.held:
            click.echo(f"{reply.held} held already that are not allowed: menshen held")
    elif dry_run and reply.hash:
        click.echo(f"it would be in force: {escape(reply.summary)}")
    else:
        for line in reply.summary.splitlines():
            click.echo(escape(line), err=True)
        click.echo(f"nothing was changed, generation {reply.generation} is still in force", err=True)
        raise SystemExit(1)


@policy.command("list")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def list_(socket: Path | None, output: str) -> None:
    """Show the documents in force, with their mode and what they denied."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415
    from enforcer.output import table  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.ListPolicies(pb.ListPoliciesRequest(), timeout=TIMEOUT)
    if output == "json":
        click.echo(json.dumps(MessageToDict(reply, preserving_proto_field_name=True), ensure_ascii=True))
        return
    head = ("NAME", "KIND", "SUBJECT", "MODE", "RULES", "DENIED", "WOULD", "PLACE")
    rows = [
        (
            escape(one.name),
            one.kind,
            escape(one.subject),
            one.mode,
            str(one.rules),
            str(one.denied),
            str(one.would_deny),
            f"{escape(one.file)}:{one.line}",
        )
        for one in reply.policies
    ]
    table([head, *rows])
    click.echo(f"generation {reply.generation}  {reply.hash[:16]}")


@policy.command()
@click.argument("name")
@click.pass_obj
def show(socket: Path | None, name: str) -> None:
    """Print the file of the Policy or Protection NAME as it is in force."""
    from enforcer.api import menshen_pb2 as pb  # noqa: PLC0415
    from enforcer.client import TIMEOUT, agent  # noqa: PLC0415
    from enforcer.output import escape_line  # noqa: PLC0415

    with agent(socket) as stub:
        reply = stub.ShowPolicy(pb.ShowPolicyRequest(name=name), timeout=TIMEOUT)
    one = reply.policy
    click.echo(f"# {escape(one.name)}: {one.kind}, {one.mode}, from {escape(one.file)}:{one.line}")
    for line in reply.document.content.decode("utf-8", "replace").splitlines():
        click.echo(escape_line(line))


def _read(paths: Iterable[Path], *, whole_names: bool) -> dict[str, bytes]:
    """The files, and the policy files of folders; by path, or by the name that they will be stored under."""
    found: dict[str, bytes] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
            if not inside:
                raise click.ClickException(f"{path} has no .yaml files")
        else:
            inside = [path]
        for one in inside:
            name = str(one) if whole_names else one.name
            if name in found:
                raise click.ClickException(f"there are two files named {name}: they are stored side by side")
            try:
                found[name] = one.read_bytes()
            except OSError as error:
                raise click.ClickException(f"{one} cannot be read: {error.strerror}") from None
    return found
