"""What the agent says about itself: status, policies, documents."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer import __version__
from enforcer.agent.compiling import Compiled, Document
from enforcer.agent.rules import Rule
from enforcer.api import menshen_pb2 as pb
from enforcer.boot.beginning import Beginning, noted
from enforcer.errors import EnforcerError
from enforcer.serving.process import resident_bytes

if TYPE_CHECKING:
    from enforcer.agent.life import Agent


class Report:
    """Answers of the reading methods."""

    def __init__(self, agent: Agent, beginning: Path, proc: Path = Path("/proc")) -> None:
        """`beginning`: the note of how late enforcement began."""
        self._agent = agent
        self._beginning = beginning
        self._proc = proc

    def status(self) -> pb.StatusReply:
        """How things stand."""
        agent = self._agent
        current, gate = agent.policy.current, agent.gate
        tasks = self._tasks()
        standing = self._standing(tasks)
        return pb.StatusReply(
            mode=mode_in_words(current),
            generation=agent.policy.generation,
            hash=current.hash if current else "",
            version=__version__,
            kernel=os.uname().release,
            started=agent.started,
            policies=len(current.documents) if current else 0,
            identities=len(agent.credentials.catalogue),
            tasks_unconfined=standing["unconfined"],
            tasks_unidentified=standing["unidentified"],
            counters=gate.counters(),
            hooks=sorted(_hooks(gate.metadata())),
            guard=gate.guarded,
            rules=self._rules(current),
            subjects=self._subjects(current, tasks),
            health=[pb.HealthLine(name=n, ok=ok, text=text) for n, ok, text in agent.health()],
            events_seen=agent.feed.seen,
            events_log_lost=agent.denials_log.lost,
            resident_bytes=resident_bytes(),
            cpu_seconds=time.process_time(),
            metrics=agent.exporter.where,
            beginning=_beginning(noted(self._beginning)),
            held=agent.held.total,
        )

    def standing(self) -> dict[str, int]:
        """How many processes are unidentified, unconfined, confined."""
        return self._standing(self._tasks())

    def _standing(self, tasks: dict[int, int]) -> dict[str, int]:
        current = self._agent.policy.current
        confined = {one.identity for one in current.subjects if one.confined} if current else set()
        found = dict.fromkeys(("unidentified", "unconfined", "confined"), 0)
        for who, count in tasks.items():
            found["unidentified" if not who else "confined" if who in confined else "unconfined"] += count
        return found

    def policies(self) -> pb.ListPoliciesReply:
        """The documents in force with their counts."""
        current = self._agent.policy.current
        if current is None:
            return pb.ListPoliciesReply()
        fired = self._agent.tallies.rules(len(current.rules))
        return pb.ListPoliciesReply(
            generation=self._agent.policy.generation,
            hash=current.hash,
            policies=[_summary(one, current.rules, fired) for one in current.documents],
        )

    def policy(self, name: str) -> pb.ShowPolicyReply:
        """One document, by its name or its file's."""
        found = [one for one in self.policies().policies if name in (one.name, one.file)]
        if not found:
            raise EnforcerError(f"there is no policy named {name[:80]!r}", "menshen policy list")
        content = self._agent.policy.files().get(found[0].file, b"")
        return pb.ShowPolicyReply(policy=found[0], document=pb.Document(name=found[0].file, content=content))

    def _rules(self, current: Compiled | None) -> list[pb.RuleTally]:
        if current is None:
            return []
        fired = self._agent.tallies.rules(len(current.rules))
        return [
            pb.RuleTally(rule=rule.name, place=rule.place, mode=rule.mode, denied=pair[0], would_deny=pair[1])
            for number, pair in sorted(fired.items(), key=lambda item: -sum(item[1]))
            if number < len(current.rules) and (rule := current.rules[number])
        ]

    def _subjects(self, current: Compiled | None, tasks: dict[int, int]) -> list[pb.SubjectTally]:
        if current is None:
            return []
        fired = self._agent.tallies.rows(len(current.subjects))
        named = {subject.identity for subject in current.subjects}
        unconfined = sum(count for identity, count in tasks.items() if identity not in named)
        return [
            pb.SubjectTally(
                subject=subject.name,
                confined=subject.confined,
                denied=fired.get(row, (0, 0))[0],
                would_deny=fired.get(row, (0, 0))[1],
                tasks=tasks.get(subject.identity, 0) if row else unconfined,
            )
            for row, subject in enumerate(current.subjects)
            if subject.confined or row in fired
        ]

    def _tasks(self) -> dict[int, int]:
        """Identity -> number of processes now. Kernel threads do not count."""
        found: dict[int, int] = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit() and _is_user_process(entry):
                identity = self._agent.identify(int(entry.name))
                found[identity] = found.get(identity, 0) + 1
        return found


def _beginning(found: Beginning | None) -> pb.Beginning | None:
    if found is None:
        return None
    return pb.Beginning(
        stage=found.stage,
        at=found.at,
        uptime=found.uptime,
        started=found.started,
        running=found.running,
        programs=found.programs,
    )


def mode_in_words(current: Compiled | None) -> str:
    """What the image in force does, for the first line of everything."""
    if current is None:
        return "nothing is in force: everything is allowed"
    modes = {document.mode for document in current.documents}
    if not modes:
        return "no policies: everything is allowed"
    if modes == {"enforce"}:
        return "enforcing"
    if modes == {"audit"}:
        return "audit only: nothing is denied, what would be is reported"
    enforced = sum(document.mode == "enforce" for document in current.documents)
    return f"enforcing {enforced} of {len(current.documents)} policies, the others audit"


def _summary(
    document: Document, rules: tuple[Rule, ...], fired: dict[int, tuple[int, int]]
) -> pb.PolicySummary:
    own = [n for n, rule in enumerate(rules) if _belongs(rule, document)]
    return pb.PolicySummary(
        name=document.name,
        kind=document.kind,
        file=document.file,
        line=document.line,
        subject=document.subject,
        mode=document.mode,
        rules=len(own),
        denied=sum(fired.get(n, (0, 0))[0] for n in own),
        would_deny=sum(fired.get(n, (0, 0))[1] for n in own),
    )


def _belongs(rule: Rule, document: Document) -> bool:
    if rule.name != document.name or rule.kind in ("builtin", "base"):
        return False
    return (rule.kind == "protection") == (document.kind == "Protection")


def _hooks(metadata: dict[str, object]) -> list[str]:
    programs = metadata.get("programs", [])
    return [str(name) for name in programs] if isinstance(programs, list | dict) else []


def _is_user_process(entry: Path) -> bool:
    try:
        (entry / "exe").readlink()
    except OSError:
        return False
    return True
