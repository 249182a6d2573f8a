"""The errors of this package: each says what is wrong, why the kernel said so, and what to do."""

from __future__ import annotations

import os
from pathlib import Path


class GateError(Exception):
    """The gate cannot do what was asked. The hint says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class KernelError(GateError):
    """A call into the kernel failed."""

    def __init__(self, what: str, number: int, *, hint: str = "") -> None:
        super().__init__(f"{what}: {os.strerror(number)} (errno {number})", hint=hint)
        self.errno = number


class TableFullError(GateError):
    """A table of the gate has no room; nothing was changed."""

    def __init__(self, table: str, wanted: int, room: int) -> None:
        super().__init__(
            f"{table} has room for {room} entries and {wanted} are needed; nothing was changed",
            hint=f"load the gate with a larger {table}, or remove entries that are no longer used",
        )
        self.table = table
        self.wanted = wanted
        self.room = room


class LoadError(GateError):
    """A program could not be loaded or attached; nothing was left behind."""

    def __init__(
        self, program: str, number: int, reason: str, *, tail: tuple[str, ...] = (), log: Path | None = None
    ) -> None:
        super().__init__(f"{program}: {reason} (errno {number}, {os.strerror(number)})")
        self.program = program
        self.errno = number
        self.reason = reason
        self.tail = tail
        self.log = log
        self.others: tuple[tuple[str, str], ...] = ()
        """Programs that this kernel refuses as well, each with the reason."""

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.tail)]
        lines += [f"{program}: {reason}" for program, reason in self.others]
        if self.log:
            lines.append(f"  the whole log: {self.log}")
        return "\n".join(lines)
