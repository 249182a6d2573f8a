"""Cases that differ with Menshen, and why that is meant."""

from __future__ import annotations

from typing import Final

KNOWN: Final[dict[str, str]] = {
    "mount06": "while a Protection is about mounts, nobody but process 1 moves one by its name",
    "ptrace11": "it traces process 1, which the guard refuses",
}
"""Name of the case, and the reason."""
