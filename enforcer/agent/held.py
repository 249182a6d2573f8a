"""What processes hold that the policies in force do not allow: found, counted, and closed on request.

Nothing is closed by itself. A connection can be shut through a descriptor of ours on the same socket; no
kernel lets one take an open file or a mapping away from another process, so there the process is ended.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bpf_lsm.errors import GateError
from bpf_lsm.layout import LabelFlag
from enforcer.agent.gateway import GateLike
from enforcer.agent.resolve import Resolver
from enforcer.agent.rings import Journal
from enforcer.errors import EnforcerError
from enforcer.escape import escape
from enforcer.events import Event, Filter

if TYPE_CHECKING:
    from bpf_lsm.events import Event as Record

log = logging.getLogger("menshen.held")

PATIENCE: Final = 5.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that is held: as the kernel said it, and with names."""

    record: Record
    event: Event

    @property
    def kind(self) -> str:
        """file, mapping or socket."""
        if self.event.operation == "hold-mapped":
            return "mapping"
        return "socket" if self.event.address else "file"

    @property
    def words(self) -> str:
        """For a notice."""
        event = self.event
        what = escape(event.path) if event.path else f"{event.address} port {event.port}"
        return f"{event.right} of {what}, held by {event.subject} (process {event.pid})"


class Held:
    """Looks, counts and closes."""

    def __init__(self, gate: GateLike, resolver: Resolver, journal: Journal) -> None:
        self._gate = gate
        self._resolver = resolver
        self._journal = journal
        self.tally: Counter[tuple[str, ...]] = Counter()
        """By kind and mode, when it was last looked for."""
        self.fault = ""
        """Why it is not known what is held; empty if it is."""

    @property
    def total(self) -> int | None:
        """How many; None if that is not known."""
        return None if self.fault else self.tally.total()

    def look(self, subject: str = "", pid: int = 0) -> list[Holding]:
        """Look now; EnforcerError if that is not possible. `subject` as in a filter of events."""
        try:
            found = [Holding(record, self._resolver.event(record, 0)) for record in self._gate.held()]
        except (GateError, KeyError) as error:
            self.fault = f"what is held cannot be looked for: {error}"
            raise EnforcerError(
                self.fault, "menshen doctor; a gate of an older release is upgraded"
            ) from None
        self.fault = ""
        self.tally = Counter((one.kind, one.event.mode) for one in found)
        wanted = Filter(subject=subject)
        return [one for one in found if wanted(one.event) and pid in (0, one.event.pid)]

    def count(self) -> int | None:
        """Look for the sake of the count, under a new image; None if that is not possible."""
        try:
            self.look()
        except EnforcerError as error:
            log.error("%s", error)
        return self.total

    def close(self, subject: str, pid: int, *, end: bool, by: str) -> list[tuple[Event, str]]:
        """Shut the connections among what is held; with `end` end the processes that hold anything else."""
        found = self.look(subject, pid)
        ended: dict[int, str] = {}
        if end:
            ended = self._end({one.event.pid: one.record.subject for one in found if one.kind != "socket"})
        done = []
        for one in found:
            if one.kind == "socket" and one.event.pid not in ended:
                said = self._shut(one)
            else:
                said = ended.get(one.event.pid, "left: a file cannot be taken away; --end ends the process")
            done.append((one.event, said))
            if not said.startswith("left"):
                self._journal.notice(f"{said} for {by}: {one.words}", subject=one.event.subject)
        with suppress(EnforcerError):
            self.look()
        return done

    def _shut(self, one: Holding) -> str:
        """Through a descriptor of ours, if it is that socket still."""
        from bpf_lsm.held import take  # noqa: PLC0415 - loads libbpf, which tests of the rest do without

        try:
            process = os.pidfd_open(one.event.pid)
        except OSError:
            return "gone: the process has ended"
        try:
            with socket.socket(fileno=take(process, one.event.detail)) as ours:
                if os.fstat(ours.fileno()).st_ino != one.record.inode:
                    return "gone: the descriptor is another one by now"
                ours.shutdown(socket.SHUT_RDWR)
        except (OSError, GateError) as error:
            return f"left: {error}"
        finally:
            os.close(process)
        return "shut"

    def _end(self, processes: dict[int, int]) -> dict[int, str]:
        """By pid and identity: ask each to end, and after PATIENCE seconds end it."""
        said: dict[int, str] = {}
        asked: dict[int, int] = {}
        try:
            for pid, identity in processes.items():
                try:
                    asked[pid] = os.pidfd_open(pid)
                except OSError:
                    said[pid] = "gone: the process has ended"
                    continue
                if refusal := self._refusal(pid, identity):
                    said[pid] = refusal
                    os.close(asked.pop(pid))
                    continue
                _send(asked[pid], signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            for pid, process in asked.items():
                if _ends(process, deadline - time.monotonic()):
                    said[pid] = "ended by SIGTERM"
                    continue
                _send(process, signal.SIGKILL)
                said[pid] = "ended by SIGKILL" if _ends(process, PATIENCE) else "left: it does not end"
        finally:
            for process in asked.values():
                os.close(process)
        return said

    def _refusal(self, pid: int, identity: int) -> str:
        """Why a process is not ended; empty if it is."""
        label = self._gate.label_of(pid)
        if label is not None and label.identity != identity:
            return "gone: it runs another program by now"
        if pid == 1 or (label is not None and label.flags & (LabelFlag.AGENT | LabelFlag.WATCH)):
            return "left: the host and Menshen need it"
        return ""


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def _ends(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], max(0.0, seconds))[0])
