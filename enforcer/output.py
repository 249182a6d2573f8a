"""How events and problems look on a terminal: one line each, nothing of the host's unescaped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence

import click

from enforcer.errors import Problem
from enforcer.escape import escape
from enforcer.events import Event, Kind, as_line

WORDS = {
    Kind.DENIAL: ("DENY", "red"),
    Kind.WOULD_DENY: ("would", "yellow"),
    Kind.EXEC: ("exec", "green"),
    Kind.NOTICE: ("note", "cyan"),
}


def compact(event: Event) -> str:
    """For example: 12:03:44 DENY payments/api open write /etc/ssh/sshd_config  rule sshd (ssh.yaml:9)  #17"""
    word, colour = WORDS.get(Kind(event.kind), (event.kind, "")) if event.kind in list(Kind) else ("?", "")
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    head = f"{clock} {click.style(f'{word:5}', fg=colour or None)}"
    if event.kind == Kind.NOTICE:
        return f"{head} {' '.join(escape(part) for part in event.text.splitlines())}  #{event.id}"
    if event.kind == Kind.EXEC:
        who = f"{escape(event.subject)} {escape(event.path)}"
        return f"{head} {who}  pid {event.pid} ppid {event.ppid}  #{event.id}"
    parts = [escape(event.subject), event.operation]
    if event.right and event.right != event.operation:
        parts.append(event.right)
    parts.append(thing(event))
    rule = escape(event.rule_name) + (f" ({escape(event.rule_place)})" if event.rule_place else "")
    return f"{head} {' '.join(filter(None, parts))}  rule {rule}  #{event.id}"


def thing(event: Event) -> str:
    """What the access was to."""
    parts = []
    if event.path:
        parts.append(escape(event.path) + ("..." if "path-cut" in event.flags else ""))
    if event.address:
        host = f"[{event.address}]" if ":" in event.address else event.address
        protocol = f"/{event.protocol}" if event.protocol else ""
        parts.append(f"{host}:{event.port}{protocol}")
    elif event.port:
        parts.append(f"port {event.port}" + (f"/{event.protocol}" if event.protocol else ""))
    if event.operation == "inherit":
        parts.append(f"as {event.detail_words} from {escape(event.target)}")
    elif event.target and event.operation != "exec":
        parts.append(
            f"toward {escape(event.target)}" + (f" pid {event.target_pid}" if event.target_pid else "")
        )
    if not parts and event.detail_words:
        parts.append(event.detail_words)
    return " ".join(parts)


def as_json(event: Event) -> str:
    """One JSON line, the same as in denials.jsonl."""
    return json.dumps(as_line(event), ensure_ascii=True, separators=(",", ":"))


def problem_line(problem: Problem) -> dict[str, object]:
    """A problem for `-o json`."""
    return {
        "severity": "warning" if problem.warning else "error",
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
    }


def show_problems(problems: Iterable[Problem]) -> None:
    """Problems on standard error, each with its line and caret."""
    for problem in problems:
        kind = click.style(
            "warning" if problem.warning else "error", fg="yellow" if problem.warning else "red"
        )
        text = "\n".join(escape_line(line) for line in str(problem).splitlines())
        click.echo(f"{kind}: {text}", err=True)


def escape_line(line: str) -> str:
    """A line that was rendered for a terminal already: only what could drive one is taken out."""
    return line if line.isprintable() else "".join(c if c.isprintable() else escape(c) for c in line)


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in aligned columns; the cells are escaped already."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for cells in rows:
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        click.echo(f"  {line}".rstrip())
