"""A record of the kernel to an event with names: identities, rule, place, right, detail in words."""

from __future__ import annotations

import os
import time
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING

from bpf_lsm.layout import NO_RIGHT, EventKind, Operation
from enforcer import words
from enforcer.agent.rules import RuleTables
from enforcer.events import Event, Kind
from enforcer.names import Names
from policies.image import Right, Special

if TYPE_CHECKING:
    from bpf_lsm.events import Event as Record

_KINDS = {
    EventKind.DENIAL: Kind.DENIAL,
    EventKind.WOULD_DENY: Kind.WOULD_DENY,
    EventKind.EXEC: Kind.EXEC,
}


class Resolver:
    """Knows names, rules and clocks. Words that many events share are kept once: thousands of events are."""

    def __init__(self, names: Names, rules: RuleTables, proc: Path = Path("/proc")) -> None:
        self._names = names
        self._rules = rules
        self._proc = proc

    def event(self, record: Record, number: int) -> Event:
        """The event of one record."""
        rule = self._rules.rule(record.generation, record.rule)
        kind = _KINDS.get(record.kind, Kind.DENIAL)
        started = kind is Kind.EXEC
        return Event(
            id=number,
            time=round(_boot_offset() + record.time / 1e9, 6),
            kind=kind,
            subject=intern(self._names(record.subject)),
            target=intern(self._names(record.target)) if record.target else "",
            operation=intern(record.operation.word),
            right="" if record.right == NO_RIGHT else intern(right_word(record.right)),
            path=record.path,
            address=record.address,
            port=record.port,
            protocol=words.protocol(record.protocol),
            pid=record.pid,
            tid=record.tid,
            ppid=record.ppid,
            uid=record.uid,
            login_uid=record.login_uid,
            comm=intern(record.comm),
            exe=record.path if started else intern(self._exe(record.pid)),
            generation=record.generation,
            rule=0 if started else record.rule,
            rule_name="" if started else rule.name,
            rule_kind="" if started else rule.kind,
            rule_place="" if started else intern(rule.place),
            rule_text="" if started else rule.text,
            mode="" if started else _mode(kind),
            detail=record.detail,
            detail_words=intern(_detail(record)),
            flags=tuple(flag.name.lower().replace("_", "-") for flag in record.flags if flag.name),
            cgroup=record.cgroup,
            target_pid=record.target_pid,
            session=record.session,
        )

    def _exe(self, pid: int) -> str:
        """What the process runs when we look; it may have ended, or gone on to another program."""
        try:
            return os.readlink(f"{self._proc}/{pid}/exe")  # noqa: PTH115 - pathlib keeps every pid it saw
        except OSError:
            return ""


def right_word(number: int) -> str:
    """The right as the policy language writes it; listing is reading a directory."""
    try:
        right = Right(number)
    except ValueError:
        return f"right-{number}"
    return "read" if right is Right.LIST else right.name.lower().replace("_", "-")


def _mode(kind: Kind) -> str:
    return "enforce" if kind is Kind.DENIAL else "audit"


def _boot_offset() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _detail(record: Record) -> str:
    operation, detail = record.operation, record.detail
    if operation is Operation.OPEN and record.right != NO_RIGHT:
        return words.open_flags(detail)
    if operation in (Operation.INHERIT, Operation.HOLD):
        return f"descriptor {detail}"
    if operation is Operation.KILL:
        return words.signal_name(detail)
    if operation is Operation.CAPABLE:
        return words.capability(detail)
    if operation is Operation.SOCKET:
        return words.socket_kind(detail)
    if operation is Operation.GUARD:
        return Operation(detail).word
    if record.right == NO_RIGHT and record.object_class in set(Special):
        return Special(record.object_class).word  # the word that was missing: event.h
    return f"{detail:#x}" if detail else ""
