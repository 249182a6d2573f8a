"""A verdict in words: who may not do what, which rule said so, where it stands, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.errors import Place, printable
from policies.evaluate import NO_RIGHT, Evaluator, Verdict
from policies.image import Builtin, Right
from policies.meta import RuleEntry
from policies.model import Mode

DOES: Final = {
    Right.READ: "read",
    Right.LIST: "list",
    Right.WRITE: "write",
    Right.APPEND: "append to",
    Right.CREATE: "create",
    Right.DELETE: "delete",
    Right.RENAME: "rename",
    Right.LINK: "link",
    Right.ATTRIBUTES: "change the attributes of",
    Right.EXECUTE: "execute",
    Right.MAP_EXEC: "map as code",
    Right.IOCTL: "use ioctl on",
    Right.MOUNT: "mount over",
    Right.CONNECT: "connect to",
    Right.LISTEN: "listen on",
}

WRITES: Final = {Right.LIST: "read", Right.MAP_EXEC: "map-exec"}
"""Rights whose word in a policy is not the name of the bit in lower case."""

BUILTIN: Final = {
    Builtin.NONE: "no rule had to allow it",
    Builtin.UNRESOLVED_PATH: "its path cannot be resolved, which the confined are denied",
    Builtin.GUARD: "it is Menshen's own, and nobody's but the agent's",
    Builtin.UNIDENTIFIED_PROGRAM: "it has no credential that checks",
    Builtin.NO_PATH: "it is memory without a path, and such is no program",
    Builtin.GAIN: "it would give more rights than there were before",
    Builtin.SCRATCH: "there was no memory to judge with",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """`sentence` for a person; the rule's place and source line; `advice` what would change it."""

    sentence: str
    place: Place
    text: str
    advice: str


def explain(evaluator: Evaluator, row: int, verdict: Verdict, what: str) -> Explanation:
    """The verdict on `what` (a path, an endpoint, a special word) for the subject of a row."""
    subject = evaluator.meta.rows[row]
    rule = evaluator.meta.rules[verdict.rule]
    may = "may" if verdict.allowed and not verdict.reported else "may not"
    does = "use" if verdict.right == NO_RIGHT else DOES[Right(verdict.right)]
    sentence = f"{subject} {may} {does} {printable(what)}: {_reason(rule, verdict)}"
    if verdict.reported and not verdict.enforced:
        sentence += "; this is reported and not enforced"
    return Explanation(sentence, rule.place, rule.text, _advice(rule, verdict, what, subject))


def _reason(rule: RuleEntry, verdict: Verdict) -> str:
    where = f"{rule.place}"
    if rule.kind == "builtin":
        return BUILTIN[Builtin(verdict.rule)]
    if verdict.allowed and not verdict.reported:
        return f"allowed by {where} of {rule.owner}"
    if rule.kind == "default":
        return f"no rule of policy {rule.owner} allows it ({where})"
    if rule.kind == "protection":
        return f"protection {rule.owner} keeps it for others ({where})"
    if rule.kind in ("special", "capabilities", "jit"):
        return f"it is not in {rule.kind} of policy {rule.owner} ({where})"
    if rule.kind == "sequence":
        return f"it would be the last step of sequence {rule.owner} ({where})"
    return f"policy {rule.owner} denies it ({where})"


def _advice(rule: RuleEntry, verdict: Verdict, what: str, subject: str) -> str:
    if verdict.allowed and not verdict.reported:
        return ""
    if rule.kind == "protection":
        return f"add {{identity: {subject}}} to only of protection {rule.owner}, if {subject} is to do this"
    if rule.kind == "sequence":
        return f"if this was no attack: menshen certify --revoke {rule.owner} --reason WHY"
    if rule.kind == "builtin":
        if verdict.rule == Builtin.UNIDENTIFIED_PROGRAM:
            return (
                "sign the program, enrol its package, or write unsigned: true on the rule that names its path"
            )
        return ""
    if rule.kind != "default":
        mode = f" ({rule.mode.value})" if rule.mode is Mode.AUDIT else ""
        return f"change the rule at {rule.place}{mode}"
    if verdict.right == NO_RIGHT:
        return f"add it to special of policy {rule.owner}"
    return f"add to policy {rule.owner}: {_rule_for(Right(verdict.right), what)}"


def _rule_for(right: Right, what: str) -> str:
    path = _quoted(what)
    if right is Right.EXECUTE:
        return f"exec: - {{paths: [{path}]}}"
    if right in (Right.CONNECT, Right.LISTEN):
        if what.startswith(("/", "@")):
            peer = f"to: {{unix: {path}}}" if right is Right.CONNECT else f"unix: {path}"
        else:
            peer = "to: {cidr: ..., ports: [...]}" if right is Right.CONNECT else "ports: [...]"
        return f"network: - {{allow: {right.name.lower()}, {peer}}}"
    return f"files: - {{allow: [{WRITES.get(right, right.name.lower())}], paths: [{path}]}}"


def _quoted(path: str) -> str:
    """A path as a pattern for itself, in quotes."""
    special = {char: "\\" + char for char in "*?[]{}\\"}
    escaped = "".join(special.get(char, char if char.isprintable() else "?") for char in path)
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
