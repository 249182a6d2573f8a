"""The documents in force: mode, and what they denied or would have."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import DataTable

from enforcer.api import menshen_pb2 as pb
from enforcer.escape import escape

MODES = {"enforce": "bold green", "audit": "yellow"}


class Policies(DataTable[Text]):
    """A table of documents."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self._all: list[pb.PolicySummary] = []
        self._needle = ""

    def on_mount(self) -> None:
        """The columns."""
        self.add_columns("name", "kind", "subject", "mode", "denied", "would deny", "place")

    def show_all(self, reply: pb.ListPoliciesReply | None) -> None:
        """What is in force now; nothing moves if nothing changed."""
        found = list(reply.policies) if reply is not None else []
        if found != self._all:
            self._all = found
            self._fill()

    def search(self, text: str) -> None:
        """Only documents with this text in name, kind, subject or file."""
        self._needle = text.casefold()
        self._fill()

    @property
    def shown(self) -> list[pb.PolicySummary]:
        """The rows, from the top."""
        return [each for each in self._all if self._needle in _searchable(each)]

    @property
    def selected(self) -> pb.PolicySummary | None:
        """The row under the cursor."""
        shown = self.shown
        return shown[self.cursor_row] if 0 <= self.cursor_row < len(shown) else None

    def _fill(self) -> None:
        row = self.cursor_row
        self.clear()
        for summary in self.shown:
            self.add_row(*cells(summary))
        self.move_cursor(row=row)


def cells(summary: pb.PolicySummary) -> list[Text]:
    """One row."""
    return [
        Text(escape(summary.name)),
        Text(summary.kind),
        Text(escape(summary.subject)),
        Text(summary.mode, style=MODES.get(summary.mode, "yellow")),
        Text(f"{summary.denied:,}", justify="right", style="red" if summary.denied else ""),
        Text(f"{summary.would_deny:,}", justify="right", style="yellow" if summary.would_deny else ""),
        Text(f"{escape(summary.file)}:{summary.line}"),
    ]


def _searchable(summary: pb.PolicySummary) -> str:
    return f"{summary.name} {summary.kind} {summary.subject} {summary.mode} {summary.file}".casefold()
