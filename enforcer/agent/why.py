"""Why: one event in whole sentences, and what to write so that it would be allowed."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.escape import escape
from enforcer.events import UNIDENTIFIED, Event, Kind
from policies.image import Special

_NETWORK = {"connect", "listen"}
_FILE_RIGHTS = {
    "read", "write", "append", "create", "delete", "rename", "link", "attributes", "map-exec", "ioctl",
}  # fmt: skip
_SPECIALS = {
    "ptrace": "ptrace", "kill": "kill", "module": "module", "kexec": "kexec", "firmware": "module",
    "bpf": "bpf", "perf": "perf", "mount": "mount", "umount": "mount", "move-mount": "mount",
    "pivot-root": "mount", "userns": "userns", "chroot": "chroot", "keyring": "keyring",
    "settime": "clock", "syslog": "syslog", "swap": "swap", "quota": "quota", "io-uring": "io-uring",
    "setnice": "schedule-others", "namespaces": "namespaces", "setid": "setid", "hostname": "hostname",
    "reboot": "reboot", "acct": "acct", "ioport": "ioport", "fanotify": "fanotify", "mknod": "mknod",
    "userfaultfd": "userfaultfd", "raw-device": "raw-device", "cgroup": "cgroup", "usb": "usb",
}  # fmt: skip
_SOCKETS = {16: "netlink", 17: "packet-socket", 38: "af-alg", 40: "vsock"}
"""By address family; what else needs a special right is a raw socket."""
_GLOB = "*?[]{}\\"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say about an event."""

    verdict: str
    advice: str = ""
    snippet: str = ""


def explain(event: Event) -> Explanation:
    """The verdict in words, what could be done, and YAML for it."""
    if event.kind == Kind.EXEC:
        return Explanation(
            "started", f"{escape(event.path)} runs as {event.subject}; before it was {event.target}"
        )
    if event.kind == Kind.NOTICE:
        return Explanation("said by the agent", escape(event.text))
    denied = event.kind == Kind.DENIAL
    verdict = "denied" if denied else "allowed; it would be denied if the rule were enforced (mode audit)"
    of_kind = {"protection": _protection, "builtin": _builtin}
    advice, snippet = of_kind.get(event.rule_kind, _policy)(event)
    if event.operation == "inherit":
        advice = f"open {event.detail_words} close-on-exec where it is opened; or, {advice}"
    return Explanation(verdict, advice, snippet)


def _protection(event: Event) -> tuple[str, str]:
    if event.subject == UNIDENTIFIED:
        return (
            f"the Protection {event.rule_name} keeps this from everyone but those that it names, and the "
            "program has no identity: sign it (menshen identity sign), then name its identity",
            "",
        )
    return (
        f"in the Protection {event.rule_name} ({event.rule_place}) add this subject to spec.only:",
        f"only:\n  - {{identity: {event.subject}}}\n",
    )


def _builtin(event: Event) -> tuple[str, str]:
    match event.rule_name:
        case "unidentified-program":
            what = "map it as code" if event.right == "map-exec" else "run it"
            entry = (
                f"files:\n  - {{allow: [map-exec], paths: [{_quoted(event.path)}], unsigned: true}}\n"
                if event.right == "map-exec"
                else f"exec:\n  - {{paths: [{_quoted(event.path)}], unsigned: true}}\n"
            )
            return (
                "the file has no credential that checks. Sign it, or enrol it with its package; only if that "
                f"cannot be done let {event.subject} {what} unsigned:",
                entry,
            )
        case "guard":
            return (
                "this is Menshen's own. The way to change it is `menshen policy apply`, "
                "the way out `menshen off`",
                "",
            )
        case "gain":
            return (
                "the new name would give rights that the old one does not: allow them on the old name too, "
                "or copy the file",
                "",
            )
        case "unresolved-path":
            return (
                "the path cannot be resolved (a detached or lazily unmounted tree): use an attached path",
                "",
            )
        case _:
            return (event.rule_text, "")


def _policy(event: Event) -> tuple[str, str]:
    if event.rule_kind in ("file", "network"):
        return (
            f"the rule at {event.rule_place} denies it, and a deny wins over any allow: narrow that rule",
            "",
        )
    where = f"in the Policy {event.rule_name} ({event.rule_place}), under spec:"
    if event.operation == "exec":
        return where, f"exec:\n  - {{paths: [{_quoted(event.path)}]}}\n"
    if event.right in _NETWORK:
        return where, _network(event)
    if event.right in _FILE_RIGHTS and event.path:
        return where, f"files:\n  - {{allow: [{event.right}], paths: [{_quoted(event.path)}]}}\n"
    if event.right == "map-exec":
        return f"{where} (memory that nobody vouches for becomes code)", "jit: true\n"
    if event.operation == "capable":
        return where, f"special:\n  capabilities: [{event.detail_words}]\n"
    word = _special(event)
    if event.operation == "kill" and event.target:
        return where, f"special:\n  allow: [{{kill: [{event.target}]}}]\n"
    if word:
        return where, f"special:\n  allow: [{word}]\n"
    return f"see the rule at {event.rule_place}", ""


def _special(event: Event) -> str:
    """The special right that was missing."""
    if event.operation == "socket":
        return _SOCKETS.get(event.detail >> 16, "raw-socket")
    if event.detail_words in {special.word for special in Special}:
        return event.detail_words
    return _SPECIALS.get(event.operation, "")


def _network(event: Event) -> str:
    if event.path:
        name = _quoted(event.path)
        if event.right == "listen":
            return f"network:\n  - {{allow: listen, unix: {name}}}\n"
        return f"network:\n  - {{allow: connect, to: {{unix: {name}}}}}\n"
    port = f", ports: [{event.port}]" if event.port or event.right == "listen" else ""
    protocol = f", protocol: {event.protocol}" if event.protocol not in ("", "tcp") else ""
    if event.right == "listen":
        return f"network:\n  - {{allow: listen{port}{protocol}}}\n"
    cidr = f'"{event.address}/{128 if ":" in event.address else 32}"'
    return f"network:\n  - {{allow: connect, to: {{cidr: {cidr}{port}{protocol}}}}}\n"


def _quoted(path: str) -> str:
    """A path as a pattern that matches itself only, in YAML's double quotes."""
    literal = "".join(f"\\{char}" if char in _GLOB else char for char in path)
    out = "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else f"\\u{ord(char):04x}"
        for char in literal
    )
    return f'"{out}"'
