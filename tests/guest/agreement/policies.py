"""Random policies about the tree of `world`, as YAML text."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from policies.compile import Compiled, compile_documents
from policies.errors import PolicyErrors
from policies.image import Special
from policies.parse import parse_text
from tests.guest.agreement import world
from tests.guest.agreement.stage import CAPACITY, LEAD, TOOL

Document = dict[str, Any]

FILE_RIGHTS: Final = (
    "read", "write", "append", "create", "delete", "rename", "link", "attributes", "map-exec", "ioctl"
)  # fmt: skip
PROTECTED_RIGHTS: Final = (*FILE_RIGHTS, "execute", "mount", "connect", "listen")
CAPABILITIES: Final = (
    "chown", "kill", "net_bind_service", "net_raw", "net_admin", "sys_admin", "sys_chroot", "sys_ptrace",
    "sys_nice", "sys_time", "mknod", "syslog", "bpf", "perfmon", "sys_module", "dac_override", "fowner",
)  # fmt: skip
OTHER_PATHS: Final = ("/dev/null", "/dev/*", "/proc/self/**", "/proc/self/status", "/proc/1/comm", "/proc/**")
ADDRESSES: Final = (
    "127.0.0.1",
    "127.0.0.2",
    "127.1.0.1",
    "10.20.30.40",
    "10.0.2.15",
    "::1",
    "2001:db8::7",
    "::",
)
PORTS: Final = (0, 80, 4001, 4002, 4010, 5000, 65535)
PROTOCOLS: Final = ("tcp", "udp", "any", "sctp", "icmp")
SPECIAL_META: Final = "*?[]{},\\"


def make(rng: random.Random) -> tuple[str, Compiled]:
    """A set of policies that compiles, and its text."""
    while True:
        text = "\n---\n".join(json.dumps(each, ensure_ascii=False) for each in _documents(rng))
        try:
            return text, compile_documents(parse_text(text), capacity=CAPACITY)
        except PolicyErrors:
            continue


def _documents(rng: random.Random) -> list[Document]:
    subjects: list[Document] = [
        {"identity": name} for name in rng.sample(world.IDENTITIES, rng.choice((1, 2, 3, 3)))
    ]
    if rng.random() < 0.6:
        subjects.append({"unidentified": True})
    found = [_policy(rng, number, subject) for number, subject in enumerate(subjects)]
    return found + [_protection(rng, number) for number in range(rng.choice((0, 1, 2, 3, 4)))]


def _document(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": "menshen/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _policy(rng: random.Random, number: int, subject: Document) -> Document:
    spec: Document = {"subject": subject, "base": rng.random() < 0.1}
    if rng.random() < 0.9:
        spec["mode"] = _mode(rng)
    wide = rng.random() < 0.3
    files = [_file_rule(rng) for _ in range(rng.randint(0, 7))]
    if wide:  # most is allowed, so that what comes later in an operation is reached
        rights = [right for right in FILE_RIGHTS if rng.random() < 0.85]
        files.append({"allow": rights or ["read"], "paths": [f"{world.ROOT.decode()}/**"]})
    rng.shuffle(files)
    for section, rules in (
        ("files", files),
        ("exec", [_exec_rule(rng, wide) for _ in range(rng.randint(0, 3))]),
        ("network", [_network_rule(rng) for _ in range(rng.randint(0, 5))]),
    ):
        if rules:
            spec[section] = rules
    if rng.random() < 0.3:
        spec["jit"] = rng.random() < 0.7
    if rng.random() < 0.7:
        spec["special"] = _special(rng)
    return _document("Policy", f"policy-{number}", spec)


def _protection(rng: random.Random, number: int) -> Document:
    only = [{"identity": name} for name in (*world.IDENTITIES, world.FREE) if rng.random() < 0.3]
    spec = {
        "objects": _patterns(rng),
        "operations": rng.sample(PROTECTED_RIGHTS, rng.randint(1, 6)),
        "only": [*only, {"identity": LEAD}],
        "mode": _mode(rng),
    }
    if rng.random() < 0.4:  # one name of a file that has several
        spec["objects"] = [escape(rng.choice(_LINKED).decode())]
        spec["operations"] = rng.sample(PROTECTED_RIGHTS, 8)
    elif rng.random() < 0.15:
        spec["objects"] = [_abstract(rng)]
        spec["operations"] = rng.choice((["connect"], ["listen"], ["connect", "listen"]))
    return _document("Protection", f"protection-{number}", spec)


def _mode(rng: random.Random) -> str:
    return rng.choice(("audit", "enforce"))


def _file_rule(rng: random.Random) -> Document:
    if rng.random() < 0.4:
        rule: Document = {
            "deny": rng.sample((*FILE_RIGHTS, "execute"), rng.randint(1, 4)),
            "paths": _patterns(rng),
        }
        if rng.random() < 0.5:
            rule["mode"] = _mode(rng)
        return rule
    rights = rng.sample(FILE_RIGHTS, rng.randint(1, 8))
    rule = {"allow": rights, "paths": _patterns(rng)}
    if "map-exec" in rights and rng.random() < 0.5:
        rule["unsigned"] = True
    return rule


def _exec_rule(rng: random.Random, wide: bool) -> Document:
    rule: Document = {
        "paths": [f"{world.ROOT.decode()}/**"] if wide and rng.random() < 0.5 else _patterns(rng)
    }
    if rng.random() < 0.5:
        rule["as"] = rng.choice(("self", "own"))
    if rng.random() < 0.3:
        rule["unsigned"] = True
    return rule


def _network_rule(rng: random.Random) -> Document:
    effect = rng.choice(("allow", "allow", "allow", "deny"))
    action = rng.choice(("connect", "listen"))
    where: Document = {}
    if rng.random() < 0.3:
        where["unix"] = _abstract(rng) if rng.random() < 0.5 else pattern(rng)
    else:
        where["protocol"] = rng.choice(PROTOCOLS)
        if rng.random() < 0.6:
            where["ports"] = [_ports(rng) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.7:
            where["cidr" if action == "connect" else "address"] = _network(rng)
    rule: Document = {effect: action, **({"to": where} if action == "connect" else where)}
    if effect == "deny" and rng.random() < 0.5:
        rule["mode"] = _mode(rng)
    return rule


def _ports(rng: random.Random) -> int | str:
    low = rng.choice(PORTS)
    return low if rng.random() < 0.5 else f"{low}-{min(low + rng.randint(0, 1200), 65535)}"


def _network(rng: random.Random) -> str:
    address = rng.choice(ADDRESSES)
    if ":" in address:
        return rng.choice((address, "::/0", "::/127", "2001:db8::/32"))
    first, second, third, _ = address.split(".")
    return rng.choice(
        (
            address,
            "0.0.0.0/0",
            f"{first}.0.0.0/8",
            f"{first}.{second}.0.0/16",
            f"{first}.{second}.{third}.0/26",
        )
    )


def _abstract(rng: random.Random) -> str:
    return rng.choice(
        ("@agree", "@agree-b", "@agree-d", "@agree*", "@*", "@agre[d-f]-?", "@a", "@agree\u00ff*")
    )


def _special(rng: random.Random) -> Document:
    words: list[Any] = []
    some = rng.choice((0.1, 0.5, 0.9))
    for special in Special:
        if special in (Special.KILL, Special.PTRACE, Special.SCHEDULE_OTHERS) and rng.random() < 0.4:
            words.append({special.word: rng.sample((*world.IDENTITIES, world.FREE, TOOL), rng.randint(1, 3))})
        elif rng.random() < some:
            words.append(special.word)
    return {"allow": words, "capabilities": [name for name in CAPABILITIES if rng.random() < some]}


def _patterns(rng: random.Random) -> list[str]:
    return [pattern(rng) for _ in range(rng.randint(1, 3))]


_LINKED: Final = [thing.path for thing in world.THINGS if thing.inode]
_PATHS: Final = [
    *_LINKED * 4,
    *(thing.path for thing in world.THINGS if thing.kind != "way"),
    world.LONG,
    world.DEEP,
    *(world.ROOT + b"/" + name for name in world.NEW),
    *(folder + b"/" + name for folder in world.directories() for name in world.NEW[:2]),
    *(thing.path for thing in world.FOREIGN),
    *world.STREAMS,
    *world.DATAGRAMS,
    world.ALIAS + b"/x",
]


def pattern(rng: random.Random) -> str:
    """A pattern near something: some components of its path made vague."""
    if rng.random() < 0.06:
        return rng.choice(OTHER_PATHS)
    if rng.random() < 0.15:  # strictly below what does not exist yet, but may be moved or made there
        folder = rng.choice((*world.directories(), *[world.ROOT + b"/**"] * 13))
        return f"{folder.decode()}/{escape(rng.choice(world.NEW).decode())}/**"
    names = rng.choice(_PATHS)[len(world.ROOT) + 1 :].split(b"/")[:4]
    if rng.random() < 0.5:
        names = names[: rng.randint(0, len(names))]
        names = [*names, b"**"]
    parts = ["**" if name == b"**" else vague(rng, name) for name in names if name]
    if len(parts) > 1 and parts[-1] != "**" and rng.random() < 0.15:
        parts.insert(rng.randrange(len(parts)), "**")
    return "/".join((world.ROOT.decode(), *parts))


def escape(text: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join("\\" + each if each in SPECIAL_META else each for each in text)


def vague(rng: random.Random, name: bytes) -> str:
    """A component that matches `name`, more or less."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return rng.choice(("*", "?", "??", "[!a]*"))
    if rng.random() < 0.5 and len(text) < 200:
        return escape(text)
    at = rng.randrange(len(text))
    before, char, after = escape(text[:at]), text[at], escape(text[at + 1 :])
    plain = char.isalpha() and char.isascii()
    return rng.choice(
        (
            "*",
            f"{before}*",
            f"*{after}" if after else "*",
            f"{before}?{after}",
            f"{before}[{char}-{chr(min(ord(char) + 2, 0x7A))}]{after}" if plain and char != "z" else "*",
            f"{before}[!{char}]{after}" if plain else "?*",
            f"{{{escape(text)},q}}",
        )
    )
