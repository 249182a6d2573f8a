"""How the gate and the watch are: what needs attention first, then the exact counts."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from enforcer.api import watch_pb2 as wpb
from enforcer.escape import escape
from tui.source import Inbox

MEGABYTE = 1_000_000


class Health(VerticalScroll):
    """One page of text."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._page = Static()

    def compose(self) -> Iterator[Static]:
        """The page."""
        yield self._page

    def show(self, inbox: Inbox) -> None:
        """Draw it from what is known now."""
        self._page.update(page(inbox))


def page(inbox: Inbox) -> Table:
    """The whole of it."""
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column()
    for who, text in sorted(inbox.trouble.items()):
        table.add_row(Text(who, style="bold red"), Text(" ".join(escape(t) for t in text.splitlines())))
    agent, watch = inbox.agent, inbox.watch
    if agent is not None:
        table.add_row(Text("gate", style="bold underline"), "")
        table.add_row("agent", Text(f"{escape(agent.version)}, kernel {escape(agent.kernel)}"))
        table.add_row("programs", Text(f"{len(agent.hooks)} attached, {agent.identities:,} known digests"))
        for line in agent.health:
            table.add_row(*_line(line.name, line.ok, line.text))
    if watch is not None:
        table.add_row(Text("watch", style="bold underline"), "")
        table.add_row("sources", Text(escape(watch.sources), style="" if not watch.missing else "yellow"))
        for missing in watch.missing:
            table.add_row("", Text(f"not seen: {escape(missing)}", style="yellow"))
        table.add_row("live", Text(f"{watch.sessions:,} sessions, {watch.processes:,} processes"))
        table.add_row("detects", Text(f"{watch.rules:,} rules, {watch.sequences:,} sequences"))
        megabytes = watch.stored_bytes / MEGABYTE
        table.add_row("store", Text(f"{watch.stored_events:,} events in {megabytes:,.1f} MB"))
        table.add_row(
            "uses", Text(f"{watch.resident_bytes / MEGABYTE:,.0f} MB, {watch.cpu_seconds:,.1f} s of CPU")
        )
        for each in watch.health:
            table.add_row(*_line(each.name, each.ok, each.text))
        if watch.types:
            table.add_row("", _tallies(watch))
    return table


def _line(name: str, ok: bool, text: str) -> tuple[str, Text]:
    return name, Text(" ".join(escape(part) for part in text.splitlines()), style="" if ok else "bold red")


def _tallies(watch: wpb.WatchStatusReply) -> Table:
    table = Table(box=None, padding=(0, 1))
    for heading in ("type", "generated", "delivered", "allowed", "limited", "lost"):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for tally in watch.types:
        counts = (tally.generated, tally.delivered, tally.allowed, tally.limited, tally.lost)
        table.add_row(tally.type, *(f"{count:,}" for count in counts), style="bold red" if tally.lost else "")
    return table
