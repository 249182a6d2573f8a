"""What callers ask of the agent, once it is known that they may. Changes are logged before they are made."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from enforcer import wire
from enforcer.agent.why import explain
from enforcer.api import menshen_pb2 as pb
from enforcer.errors import EnforcerError, Problem
from enforcer.events import from_line
from enforcer.places import Places
from enforcer.serving.logfile import AuditLog, newest_first
from enforcer.serving.peers import Peer
from enforcer.settings import Settings

if TYPE_CHECKING:
    from enforcer.agent.life import Agent

log = logging.getLogger("menshen.calls")


class Calls:
    """The changing methods, and why."""

    def __init__(self, agent: Agent, places: Places, settings: Settings) -> None:
        self._agent = agent
        self._places = places
        self._settings = settings
        self._audit = AuditLog(places.audit_log)

    def who(self, peer: Peer, identity: str) -> dict[str, Any]:
        """A caller for the audit log."""
        return {"pid": peer.pid, "uid": peer.uid, "identity": identity, "login_uid": _login_uid(peer.pid)}

    def refused(self, what: str, peer: Peer | None, reason: str) -> None:
        """Somebody asked for what they may not."""
        log.warning("%s refused: %s", what, reason)
        pid = peer.pid if peer else 0
        self._agent.journal.notice(f"{what} was refused to process {pid}: {reason}")

    def apply(self, request: pb.ApplyPoliciesRequest, who: Mapping[str, Any]) -> pb.ApplyPoliciesReply:
        """A new set of policies."""
        files = {document.name: document.content for document in request.documents}
        if len(files) != len(request.documents):
            raise EnforcerError("two documents have the same file name")
        if request.confirm_within:
            raise EnforcerError("confirm_within is not built yet: apply in audit mode first")
        if not request.dry_run:
            self._write_audit("apply", who, files=sorted(files), force=request.force, replace=request.replace)
        try:
            done = self._agent.policy.apply(
                files, dry_run=request.dry_run, force=request.force, replace=request.replace
            )
        except EnforcerError as error:
            problems = error.problems or (Problem(error.message, rendered=str(error)),)
            return pb.ApplyPoliciesReply(
                applied=False,
                generation=self._agent.policy.generation,
                problems=map(wire.problem_message, problems),
                summary=str(error)
                if not error.problems
                else "\n".join(filter(None, (error.message, error.hint))),
            )
        held = None
        if not request.dry_run:
            self._agent.journal.notice(
                f"applied by {who['identity']}: {done.summary} (generation {done.generation})"
            )
            held = self._agent.held.count()
        return pb.ApplyPoliciesReply(
            applied=not request.dry_run,
            generation=done.generation,
            hash=done.hash,
            problems=map(wire.problem_message, done.problems),
            summary=done.summary,
            held=held,
        )

    def reload(self, who: Mapping[str, Any]) -> pb.ReloadReply:
        """Look at everything again; a set of policies that cannot be used leaves the old in force."""
        self._write_audit("reload", who)
        self._agent.revoke()
        problems = [*self._agent.credentials.load()]
        change = self._agent.credentials.push(self._agent.gate, self._agent.journal)
        changed = False
        try:
            changed = self._agent.policy.reload()
            if changed:
                self._agent.held.count()
        except EnforcerError as error:
            problems += error.problems or (Problem(error.message, rendered=str(error)),)
        for problem in problems:
            log.warning("%s", problem)
        return pb.ReloadReply(
            identities=change.total,
            added=change.added,
            removed=change.removed,
            problems=map(wire.problem_message, problems),
            policies_changed=changed,
            generation=self._agent.policy.generation,
        )

    def close_held(self, request: pb.CloseHeldRequest, who: Mapping[str, Any]) -> pb.HeldReply:
        """Close what is held and not allowed; what that came to, for each."""
        wanted = {"subject": request.subject, "pid": request.pid}
        self._write_audit("close-held", who, **wanted, end=request.end)
        by = f"{who['identity']} (uid {who['uid']})"
        done = self._agent.held.close(request.subject, request.pid, end=request.end, by=by)
        return wire.held_reply(self._agent.policy.generation, done)

    def note_gaps(self, request: pb.NoteGapsRequest) -> pb.NoteGapsReply:
        """What these sessions began is told and not denied."""
        sessions = set(request.sessions) | (self._agent.gate.followed_sessions() if request.all else set())
        for session in sessions:
            self._agent.gate.note_gap(session)
        log.info("events of %d sessions were lost: what they began does not block", len(sessions))
        return pb.NoteGapsReply()

    def why(self, number: int) -> pb.WhyReply:
        """An event explained: from memory, or from the log."""
        event = self._agent.feed.find(number)
        if event is None:
            lines = newest_first(self._places.denials_log, self._settings.log_files)
            event = next((from_line(line) for line in lines if line.get("id") == number), None)
        if event is None:
            raise EnforcerError(f"there is no event {number}", "menshen events --last 20 shows the newest")
        said = explain(event)
        return pb.WhyReply(
            event=wire.event_message(event),
            verdict=said.verdict,
            source_line=event.rule_text,
            advice=said.advice,
            snippet=said.snippet,
        )

    def off(self, who: Mapping[str, Any], reason: str) -> pb.OffReply:
        """End enforcement. It is on disk who did it and why before it happens."""
        self._write_audit("off", who, reason=reason)
        log.critical("enforcement is turned off by %s (uid %s): %s", who["identity"], who["uid"], reason)
        self._agent.journal.notice(f"turned off by {who['identity']} (uid {who['uid']}): {reason}")
        return pb.OffReply(left=self._agent.turn_off())

    def _write_audit(self, action: str, who: Mapping[str, Any], **more: Any) -> None:
        try:
            self._audit.write({"time": round(time.time(), 3), "action": action, **who, **more})
        except OSError as error:
            if action != "off":
                raise EnforcerError(f"nothing was changed, since it cannot be logged: {error}") from None
            log.error("the audit log cannot be written: %s", error)  # a full disk must not lock the door


def _login_uid(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/loginuid") as stream:  # noqa: PTH123 - a pseudo file, nothing to resolve
            number = int(stream.read())
    except (OSError, ValueError):
        return None
    return None if number == 0xFFFFFFFF else number
