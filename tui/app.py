"""The application: four pages, one header, and a clock that brings what the workers received."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO

from textual.app import App
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import ContentSwitcher, Footer, Input, Static

from enforcer.escape import escape
from tui import keys
from tui.lines import Line
from tui.query import Query
from tui.replay import encode
from tui.screens import content
from tui.screens.page import Page
from tui.source import Inbox, Source
from tui.widgets.alerts import Alerts
from tui.widgets.header import Header
from tui.widgets.health import Health
from tui.widgets.log_view import LogView
from tui.widgets.policies import Policies

TICK: Final = 0.1
"""Seconds between two looks into the inbox. However much comes, the screen is drawn no more often."""
RATE: Final = 10
"""Ticks over which events per second are taken."""


class MenshenApp(App[None]):
    """The terminal application, over any source."""

    CSS_PATH = "menshen.tcss"
    TITLE = "Menshen"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings()]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source: Source, *, record: TextIO | None = None, folder: Path | None = None) -> None:
        """`record` gets everything that is received; `folder` is where exports go."""
        super().__init__()
        self.inbox = Inbox()
        self._source = source
        self._record = record
        self._folder = folder or Path.cwd()
        self._started = time.monotonic()
        self._lines = 0
        self._received: list[int] = []
        self._statuses: dict[str, Any] = {}
        self._header = Header(id="header")
        self._pages = ContentSwitcher(initial="live", id="pages")
        self.live = LogView(id="live")
        self.alerts = Alerts(id="alerts")
        self.policies = Policies(id="policies")
        self.health = Health(id="health")
        self._filter = Input(placeholder="words that must be in a line; !word must not", id="filter")
        self._state = Static(id="state")

    def compose(self) -> Iterator[Any]:
        """The parts of the screen."""
        yield self._header
        with self._pages:
            yield from (self.live, self.alerts, self.policies, self.health)
        with Vertical(id="bottom"):
            yield self._filter
            yield self._state
        yield Footer()

    def on_mount(self) -> None:
        """Begin to receive."""
        self._filter.display = False
        self.live.focus()
        self._source.start(self.inbox)
        self.tick()
        self.set_interval(TICK, self.tick)

    def on_unmount(self) -> None:
        """End the workers."""
        self._source.stop()

    # What comes

    def tick(self) -> None:
        """Bring what was received onto the screen."""
        lines = self.inbox.lines.take()
        alerts = self.inbox.alerts.take()
        if self._record is not None:
            self._write(self._record, lines, alerts)
        numbered = [Line(message, self._lines + at) for at, message in enumerate(lines)]
        self._lines += len(lines)
        self.live.add(numbered)
        self.alerts.add(alerts)
        self.policies.show_all(self.inbox.policies)
        if self.page == "health":
            self.health.show(self.inbox)
        self._received = [*self._received, self.inbox.lines.received][-RATE - 1 :]
        self._show_header()
        self._show_state()

    def _show_header(self) -> None:
        span = (len(self._received) - 1) * TICK
        rate = (self._received[-1] - self._received[0]) / span if span else 0.0
        dropped = self.inbox.lines.dropped + self.inbox.alerts.dropped
        alerts = len(self.alerts.alerts)
        self._header.show(self.inbox, alerts=alerts, rate=rate, dropped=dropped)

    def _show_state(self) -> None:
        """The line above the keys: which page, and how it is narrowed."""
        live, parts = self.live, [f" {self.page}"]
        if self.page == "live":
            parts.append(f"{len(live.shown):,} lines")
            parts.append(f"frozen, {live.held:,} newer" if live.frozen else "")
            parts.append("following" if live.following and not live.frozen else "")
        if text := self._filter.value:
            parts.append(f"filter: {text}")
        parts += [f"{who}: {text.splitlines()[0]}" for who, text in sorted(self.inbox.trouble.items())]
        self._state.update("   ".join(part for part in parts if part), layout=False)

    def _write(self, record: TextIO, lines: list[Any], alerts: list[Any]) -> None:
        at = time.monotonic() - self._started
        for stream in ("agent", "watch", "policies"):
            status = getattr(self.inbox, stream)
            if status is not None and status is not self._statuses.get(stream):
                self._statuses[stream] = status
                record.write(encode(at, stream, status) + "\n")
        for message in lines:
            record.write(encode(at, stream_of(message), message) + "\n")
        for message in alerts:
            record.write(encode(at, "alert", message) + "\n")

    # What is pressed

    @property
    def page(self) -> str:
        """The page in front."""
        return self._pages.current or "live"

    def action_show(self, page: str) -> None:
        """Bring a page to the front."""
        self._pages.current = page
        self.query_one(f"#{page}").focus()
        self._search(self._filter.value)
        self.tick()

    def action_filter(self) -> None:
        """Open the filter."""
        self._filter.display = True
        self._filter.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow while it is typed."""
        self._search(event.value)

    def on_input_submitted(self) -> None:
        """Close the filter; it stays in force."""
        self._filter.display = False
        self.query_one(f"#{self.page}").focus()

    def on_key(self, event: Any) -> None:
        """Escape clears the filter."""
        if event.key == "escape" and len(self.screen_stack) == 1:
            self._filter.value = ""
            self.on_input_submitted()

    def _search(self, text: str) -> None:
        if self.page == "live":
            self.live.search(Query.of(text))
        elif self.page == "alerts":
            self.alerts.search(text)
        elif self.page == "policies":
            self.policies.search(text)

    def action_follow(self) -> None:
        """Stay with the newest line, or stop."""
        self.live.follow()

    def action_freeze(self) -> None:
        """Hold the view still, or go on."""
        self.live.freeze()

    def action_details(self) -> None:
        """Open what the cursor is on."""
        if self.page == "live" and (line := self.live.selected):
            self.push_screen(Page("details", content.details(line.message)))
        elif self.page == "alerts" and (alert := self.alerts.selected):
            self.push_screen(Page(escape(alert.title or alert.name), content.incident(alert)))
        elif self.page == "policies" and (summary := self.policies.selected):
            self._ask(lambda: self._source.policy(summary.name), content.policy, f"policy {summary.name}")

    def on_data_table_row_selected(self) -> None:
        """Enter on a table."""
        self.action_details()

    def action_why(self) -> None:
        """Ask why the event under the cursor was decided as it was."""
        line = self.live.selected if self.page == "live" else None
        if line is None or not hasattr(line.message, "rule_name"):
            self.notify("only a line of the gate has a reason: a denial, or what would be one")
            return
        self._ask(lambda: self._source.why(line.message), content.why, f"why {line.message.id}")

    def _ask(self, ask: Callable[[], Any], render: Callable[[Any], Any], title: str) -> None:
        """Ask a service in a thread, then open a page with the answer."""

        def work() -> None:
            reply = ask()
            self.call_from_thread(answer, reply)

        def answer(reply: Any) -> None:
            if reply is None:
                self.notify("no answer: the agent cannot be reached, or this is a recording")
            else:
                self.push_screen(Page(escape(title), render(reply)))

        self.run_worker(work, thread=True, exclusive=True, group="ask")

    def action_export(self) -> None:
        """Write the view to a file that `menshen tui --replay` reads."""
        shown: list[Any] = []
        if self.page == "live":
            shown = [line.message for line in self.live.shown]
        elif self.page == "alerts":
            shown = list(reversed(self.alerts.shown))
        if not shown:
            self.notify("there is nothing to export on this page")
            return
        path = self._folder / time.strftime("menshen-%Y%m%d-%H%M%S.jsonl")
        try:
            with path.open("w", encoding="utf-8") as out:
                out.writelines(
                    encode(message.time - shown[0].time, stream_of(message), message) + "\n"
                    for message in shown
                )
        except OSError as error:
            self.notify(f"cannot write {path}: {error.strerror}", severity="error")
            return
        self.notify(f"{len(shown):,} lines are in {path}")

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Page("keys", content.help_page()))


def stream_of(message: Any) -> str:
    """The stream that a message belongs to, as recordings name it."""
    return {"Event": "event", "Observation": "observation", "Alert": "alert"}[type(message).__name__]
