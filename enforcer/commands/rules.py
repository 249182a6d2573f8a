"""`menshen rules`: validate, list, test. All without the watch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enforcer.escape import escape

if TYPE_CHECKING:
    from detect.rules.model import Rule
    from policies.errors import PolicyError

_PATHS = click.Path(exists=True, path_type=Path)
_SHOWN = ("exe", "args", "path", "path2", "address", "port")


@click.group()
def rules() -> None:
    """Validate, list and try rules in Sigma."""


@rules.command()
@click.argument("paths", nargs=-1, required=True, type=_PATHS)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def validate(paths: tuple[Path, ...], output: str) -> None:
    """Read rule files and folders: every fault with its place, then exit status 1."""
    from detect.rules.parse import load  # noqa: PLC0415
    from policies.errors import PolicyErrors  # noqa: PLC0415

    faults: tuple[PolicyError, ...] = ()
    found: tuple[Rule, ...] = ()
    try:
        found = load(paths)
    except PolicyErrors as errors:
        faults = errors.errors
    if output == "json":
        click.echo(json.dumps({"valid": not faults, "problems": [_problem(fault) for fault in faults]}))
    else:
        _show(faults)
        click.echo(click.style("not valid", fg="red") if faults else _count(len(found)), err=bool(faults))
    if faults:
        raise SystemExit(1)


@rules.command("list")
@click.argument("paths", nargs=-1, type=_PATHS)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(paths: tuple[Path, ...], output: str) -> None:
    """The rules of files and folders, or those that are shipped: the tag of each, what it is, where it is."""
    from enforcer.output import table  # noqa: PLC0415

    found = _load(paths)
    if output == "json":
        click.echo(json.dumps([_rule(rule) for rule in found]))
        return
    if not found:
        click.echo("no rules")
        return
    rows = [(rule.name, rule.level.name.lower(), rule.title, rule.place) for rule in found]
    table([("TAG", "LEVEL", "TITLE", "PLACE"), *(tuple(escape(cell) for cell in row) for row in rows)])


@rules.command()
@click.argument("events", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rules", "paths", multiple=True, type=_PATHS, help="Rules to try; not given: those shipped.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def test(events: Path, paths: tuple[Path, ...], output: str) -> None:
    """Run rules over a file of events, one JSON object a line, and print what matches."""
    from detect.rules.engine import RuleEngine  # noqa: PLC0415
    from detect.rules.event_file import read  # noqa: PLC0415
    from policies.errors import PolicyError  # noqa: PLC0415

    engine = RuleEngine(_load(paths))
    seen = 0
    matches: Counter[str] = Counter()
    try:
        for part in read(events):
            seen += len(part.batch)
            tagged = engine.match(part.batch)
            for event, tag in zip(tagged.event.tolist(), tagged.tag.tolist(), strict=True):
                if tag >= len(engine.rules):
                    continue
                rule = engine.rules[tag]
                matches[rule.name] += 1
                line, row = part.lines[event], part.batch.row(event)
                click.echo(
                    json.dumps({"line": line, **_rule(rule)}) if output == "json" else _match(line, rule, row)
                )
    except PolicyError as error:
        _show([error])
        raise SystemExit(1) from None
    if output == "text":
        total = sum(matches.values())
        click.echo(f"{seen} events, {total} matches of {len(matches)} of {len(engine.rules)} rules", err=True)


def _load(paths: Iterable[Path]) -> tuple[Rule, ...]:
    from detect.rules.library import shipped  # noqa: PLC0415
    from detect.rules.parse import load  # noqa: PLC0415
    from policies.errors import PolicyErrors  # noqa: PLC0415

    chosen = tuple(paths)
    try:
        return load(chosen) if chosen else shipped()
    except PolicyErrors as errors:
        _show(errors.errors)
        raise SystemExit(1) from None


def _show(faults: Iterable[PolicyError]) -> None:
    from enforcer.errors import Problem  # noqa: PLC0415
    from enforcer.output import show_problems  # noqa: PLC0415

    show_problems(Problem(fault.message, rendered=fault.render()) for fault in faults)


def _problem(fault: PolicyError) -> dict[str, object]:
    return {
        "severity": "error",
        "message": fault.message,
        "hint": fault.hint,
        "file": fault.path,
        "line": fault.line,
        "column": fault.column,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "id": rule.id,
        "title": rule.title,
        "level": rule.level.name.lower(),
        "place": rule.place,
        "tags": list(rule.tags),
        "types": sorted(kind.word for kind in rule.types),
    }


def _match(line: int, rule: Rule, row: dict[str, Any]) -> str:
    from detect.rules.fields import OWN  # noqa: PLC0415
    from detect.rules.values import text  # noqa: PLC0415

    words = [str(text(OWN["type"].value(row)), "ascii")]
    for name in _SHOWN:
        value = text(OWN[name].value(row)).decode("utf-8", "surrogateescape")
        if value not in {"", "0"}:
            words.append(f"{name}={escape(value)}")
    return f"{line}: {escape(rule.name)} ({rule.level.name.lower()}): {' '.join(words)}"


def _count(number: int) -> str:
    return "1 rule" if number == 1 else f"{number} rules"
