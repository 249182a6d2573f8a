"""Lines as they come, drawn one by one when they are on the screen: what is not seen costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.buffer import KEPT
from tui.lines import Line
from tui.query import Query

SLACK: Final = KEPT // 4
"""Lines above KEPT at which the oldest are let go, many at once."""
WORD: Final = 11
"""Columns of the kind: the longest word is `file-create`."""


class LogView(ScrollView, can_focus=True):
    """The newest lines that pass the filter, with a cursor. Follows the newest unless told otherwise."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, action, show=False)
        for key, action in (
            ("up", "move(-1)"),
            ("down", "move(1)"),
            ("pageup", "page(-1)"),
            ("pagedown", "page(1)"),
            ("home", "move(-1000000000)"),
            ("end", "move(1000000000)"),
        )
    ]

    class Changed(Message):
        """Following, freezing or the filter changed, or lines came."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._all: list[Line] = []
        self._shown: list[Line] = []
        self._held: list[Line] = []
        self._query = Query()
        self.cursor = 0
        self.following = True
        self.frozen = False

    # What is shown

    @property
    def shown(self) -> Sequence[Line]:
        """The lines in the view, oldest first."""
        return self._shown

    @property
    def held(self) -> int:
        """Lines that came while the view was frozen."""
        return len(self._held)

    @property
    def query_text(self) -> Query:
        """The filter in force."""
        return self._query

    @property
    def selected(self) -> Line | None:
        """The line under the cursor."""
        return self._shown[self.cursor] if self._shown else None

    def add(self, lines: Sequence[Line]) -> None:
        """New lines at the end."""
        if not lines:
            return
        if self.frozen:
            self._held = [*self._held, *lines][-KEPT:]
        else:
            self._take_in(lines)
        self.post_message(self.Changed())

    def search(self, query: Query) -> None:
        """Show only what passes this filter."""
        self._query = query
        self._shown = [line for line in self._all if query(line)]
        self._settle()

    def follow(self) -> None:
        """Stay with the newest line, or stop."""
        self.following = not self.following
        self._settle()

    def freeze(self) -> None:
        """Hold still, or show what came meanwhile."""
        self.frozen = not self.frozen
        if not self.frozen:
            held, self._held = self._held, []
            self._take_in(held)
        self._settle()

    def _take_in(self, lines: Sequence[Line]) -> None:
        self._all.extend(lines)
        self._shown.extend(line for line in lines if self._query(line))
        if len(self._all) > KEPT + SLACK:
            oldest = self._all[-KEPT].number
            del self._all[:-KEPT]
            gone = next(
                (at for at, line in enumerate(self._shown) if line.number >= oldest), len(self._shown)
            )
            del self._shown[:gone]
            self.cursor = max(0, self.cursor - gone)
        self._settle()

    def _settle(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._shown))
        last = max(0, len(self._shown) - 1)
        self.cursor = last if self.following else min(self.cursor, last)
        self._keep_cursor_in_view()
        self.refresh()
        self.post_message(self.Changed())

    # Moving

    def action_move(self, by: int) -> None:
        """Move the cursor; the last line follows again."""
        last = max(0, len(self._shown) - 1)
        self.cursor = min(max(0, self.cursor + by), last)
        self.following = self.cursor == last
        self._keep_cursor_in_view()
        self.refresh()
        self.post_message(self.Changed())

    def action_page(self, by: int) -> None:
        """By a screenful."""
        self.action_move(by * max(1, self.size.height - 1))

    def _keep_cursor_in_view(self) -> None:
        top, height = int(self.scroll_offset.y), max(1, self.size.height)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)

    def on_resize(self) -> None:
        """The width of a line is the width of the view."""
        self._settle()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        at, width = y + int(self.scroll_offset.y), self.size.width
        base = self.rich_style
        if at >= len(self._shown):
            return Strip.blank(width, base)
        line = self._shown[at]
        chosen = at == self.cursor and self.has_focus
        row = base + (Style(reverse=True) if chosen else Style())
        segments = [
            Segment(f"{line.clock} ", row + Style(dim=not chosen)),
            Segment(f"{line.word:{WORD}} ", row + Style.parse(line.style)),
            Segment(line.text, row),
        ]
        return Strip(segments).adjust_cell_length(width, row).crop(0, width)
