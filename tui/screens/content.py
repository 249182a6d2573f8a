"""What the pages say: a line's fields, an alert's story, an explanation, a policy, the keys."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from enforcer import observed
from enforcer.api import menshen_pb2 as pb
from enforcer.api import watch_pb2 as wpb
from enforcer.escape import escape
from enforcer.observed import clock
from tui import keys
from tui.lines import LEVELS, fields


def details(message: Any) -> RenderableType:
    """Every field, and for a denial the rule's own line."""
    table = _grid()
    for name, value in fields(message):
        table.add_row(name, Text(value))
    if isinstance(message, pb.Event) and message.rule_text:
        return Group(table, Text(), _rule(message.rule_place, message.rule_text))
    return table


def why(reply: pb.WhyReply) -> RenderableType:
    """What was decided, by which rule, and what would allow it."""
    table = _grid()
    event = reply.event
    table.add_row("verdict", Text(escape(reply.verdict)))
    table.add_row("who", Text(f"{escape(event.subject)} (pid {event.pid})"))
    parts: list[RenderableType] = [table, Text()]
    if reply.source_line:
        parts += [_rule(event.rule_place, reply.source_line), Text()]
    parts.append(_lines(reply.advice))
    if reply.snippet:
        parts += [Text(), _lines(reply.snippet, style="green")]
    return Group(*parts)


def incident(alert: wpb.Alert) -> RenderableType:
    """An alert's story, step by step."""
    head = _grid()
    head.add_row("level", Text(alert.level, style=LEVELS.get(alert.level, "")))
    head.add_row("session", Text(f"{alert.session:x}"))
    head.add_row("defined at", Text(escape(alert.place)))
    if alert.tags:
        head.add_row("ATT&CK", Text(", ".join(map(escape, alert.tags))))
    outcome = "the kernel denied the last step" if alert.blocked else "reported only"
    if alert.incomplete:
        outcome += "; events of this session were lost, so something may be missing"
    head.add_row("outcome", Text(outcome, style="bold green" if alert.blocked else ""))
    chain = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "time", "step", "pid", "what"):
        chain.add_column(heading)
    for number, step in enumerate(alert.chain, 1):
        seen = step.observation
        last = number == len(alert.chain) and alert.blocked
        chain.add_row(
            str(number),
            clock(seen.time),
            Text(escape(step.step)),
            str(seen.pid),
            Text(f"{seen.type} {observed.text(seen)}" + ("  DENIED" if last else "")),
            style="bold red" if last else "",
        )
    return Group(head, Text(), chain)


def policy(reply: pb.ShowPolicyReply) -> RenderableType:
    """The file of a document, with line numbers; its own first line stands out."""
    text = Text()
    content = reply.document.content.decode("utf-8", "surrogateescape")
    for number, line in enumerate(content.splitlines(), 1):
        style = "bold" if number == reply.policy.line else ""
        text.append(f"{number:4}  ", style="dim")
        text.append(f"{''.join(c if c.isprintable() else escape(c) for c in line)}\n", style=style)
    return text


def help_page() -> RenderableType:
    """The keys."""
    table = _grid()
    for key, _, _, meaning in keys.KEYS:
        table.add_row(keys.name(key), meaning)
    for key, meaning in keys.MOVES:
        table.add_row(key, meaning)
    return table


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    return table


def _rule(place: str, text: str) -> Group:
    return Group(Text(f"the rule, at {escape(place)}:", style="bold"), _lines(text, style="cyan"))


def _lines(text: str, style: str = "") -> Text:
    return Text("\n".join(escape(line) for line in text.splitlines()), style=style)
