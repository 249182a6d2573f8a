"""A page of text over the others: details, why, a policy, the keys. Escape closes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.console import RenderableType
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class Page(ModalScreen[None]):
    """Anything that can be read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "close"),
        ("enter", "dismiss", "close"),
        ("q", "dismiss", "close"),
    ]

    def __init__(self, title: str, content: RenderableType, *, start: int = 0) -> None:
        """`start` is the line that is to be in view."""
        super().__init__()
        self._title = title
        self._content = content
        self._start = start

    def compose(self) -> Iterator[VerticalScroll]:
        """A box that scrolls."""
        box = VerticalScroll(Static(self._content, id="content"), id="page")
        box.border_title = self._title
        yield box

    def on_mount(self) -> None:
        """Bring the line into view."""
        if self._start:
            self.query_one("#page", VerticalScroll).scroll_to(y=self._start, animate=False)
