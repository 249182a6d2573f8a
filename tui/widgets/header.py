"""The line at the top: which host, in which mode, how much happens, what was lost."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from enforcer.escape import escape
from tui.source import Inbox

MODE_STYLES = {
    "enforcing": "bold white on dark_green",
    "audit only": "bold black on yellow",
    "mixed": "bold black on yellow",
}


class Header(Static):
    """What must be seen at any time."""

    def show(self, inbox: Inbox, *, alerts: int, rate: float, dropped: int) -> None:
        """Draw it from what is known now."""
        self.update(header(inbox, alerts=alerts, rate=rate, dropped=dropped), layout=False)


def header(inbox: Inbox, *, alerts: int, rate: float, dropped: int) -> Text:
    """The content of the header."""
    agent, watch = inbox.agent, inbox.watch
    text = Text(" Menshen ", style="bold", no_wrap=True, overflow="ellipsis")
    if watch is not None and watch.host:
        text.append(f" {escape(watch.host)} ")
    if agent is None:
        text.append(" no gate ", style="bold white on dark_red")
    else:
        text.append(f" {agent.mode.upper()} ", style=MODE_STYLES.get(agent.mode, "bold white on dark_red"))
        text.append(f"  gen {agent.generation}")
    text.append(f"  {rate:,.0f} events/s")
    lost = losses(inbox) + dropped
    text.append(f"  lost {lost:,}", style="bold red" if lost else "")
    text.append(f"  alerts {alerts:,}", style="bold magenta" if alerts else "")
    if agent is not None:
        denied, would = (agent.counters.get(name, 0) for name in ("denied", "would_deny"))
        text.append(f"  denied {denied:,}  would {would:,}")
    if watch is None:
        text.append("  no watch", style="yellow")
    elif watch.breaker_open:
        text.append("  breaker open", style="bold red")
    return text


def losses(inbox: Inbox) -> int:
    """Records that were lost between the kernel and the services."""
    lost = 0
    if inbox.agent is not None:
        lost += sum(inbox.agent.counters.get(name, 0) for name in ("denials_lost", "events_lost"))
    if inbox.watch is not None:
        lost += sum(tally.lost for tally in inbox.watch.types)
    return lost
