"""Alerts, the newest first; Enter opens the incident with its chain."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import DataTable

from enforcer.api import watch_pb2 as wpb
from enforcer.escape import escape
from enforcer.observed import clock
from tui.lines import LEVELS

KEPT = 1_000


class Alerts(DataTable[Text]):
    """A table of incidents."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self.alerts: list[wpb.Alert] = []
        self._needle = ""

    def on_mount(self) -> None:
        """The columns."""
        self.add_columns("time", "level", "what", "session", "outcome", "steps")

    def add(self, alerts: list[wpb.Alert]) -> None:
        """New alerts go to the top."""
        if alerts:
            self.alerts = [*reversed(alerts), *self.alerts][:KEPT]
            self._fill()

    def search(self, text: str) -> None:
        """Only alerts with this text in title, name or tags."""
        self._needle = text.casefold()
        self._fill()

    @property
    def shown(self) -> list[wpb.Alert]:
        """The rows, from the top."""
        return [alert for alert in self.alerts if self._needle in _searchable(alert)]

    @property
    def selected(self) -> wpb.Alert | None:
        """The row under the cursor."""
        shown = self.shown
        return shown[self.cursor_row] if 0 <= self.cursor_row < len(shown) else None

    def _fill(self) -> None:
        row = self.cursor_row
        self.clear()
        for alert in self.shown:
            self.add_row(*cells(alert))
        self.move_cursor(row=row)


def cells(alert: wpb.Alert) -> list[Text]:
    """One row."""
    outcome = "blocked" if alert.blocked else "incomplete" if alert.incomplete else ""
    return [
        Text(clock(alert.time)),
        Text(alert.level, style=LEVELS.get(alert.level, "")),
        Text(escape(alert.title or alert.name)),
        Text(f"{alert.session:x}"),
        Text(outcome, style="bold green" if alert.blocked else "yellow"),
        Text(str(len(alert.chain)), justify="right"),
    ]


def _searchable(alert: wpb.Alert) -> str:
    return f"{alert.level} {alert.title} {alert.name} {' '.join(alert.tags)} {alert.session:x}".casefold()
