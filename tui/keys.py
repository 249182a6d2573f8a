"""The keys, as data: what is pressed, which action it is, and what `?` says of it."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding

KEYS: Final = (
    ("1", "show('live')", "Live", "denials, would-denials and events as they come"),
    ("2", "show('alerts')", "Alerts", "incidents, each with the chain that justifies it"),
    ("3", "show('policies')", "Policies", "what is in force, with its mode and counts"),
    ("4", "show('health')", "Health", "losses, counters, and what needs attention"),
    ("slash", "filter", "filter", "words that must all be in a line; !word must not"),
    ("f", "follow", "follow", "stay with the newest line, or stop"),
    ("space", "freeze", "freeze", "hold the view still; nothing is lost from the buffer meanwhile"),
    ("enter", "details", "details", "everything about the line, with the rule's own line"),
    ("x", "why", "why", "why it was denied, and what would allow it"),
    ("e", "export", "export", "write what the view holds to a file of JSON lines"),
    ("question_mark", "help", "keys", "this page"),
    ("q", "quit", "quit", "end"),
)
"""Key, action, the word in the footer, and what it does."""

NAMES: Final = {"slash": "/", "space": "Space", "enter": "Enter", "question_mark": "?"}
MOVES: Final = (
    ("arrows, Page, Home, End", "move; moving up stops following"),
    ("Escape", "close what is open; clear the filter"),
)


def name(key: str) -> str:
    """How a key is written for people."""
    return NAMES.get(key, key)


def bindings() -> list[Binding]:
    """For the application."""
    return [Binding(key, action, word, key_display=name(key)) for key, action, word, _ in KEYS]
