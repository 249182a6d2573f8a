"""What the measured program may do, in Menshen's language and in AppArmor's: ten patterns, and many more.

The further patterns are of the usual kinds: whole trees, one star in a name, plain files; a tenth lies in
the measured tree itself, so that the automaton is no smaller there. `**/*.key` keeps every walk going to the
end of the path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.bench.world import (
    CHILD,
    CHILD_IDENTITY,
    DATA,
    HUGE,
    IDENTITIES,
    LARGE,
    POLICIES,
    PORT,
    PROGRAM,
    SECRET,
    SUBJECT,
    WORK,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern with its rights."""

    rights: tuple[str, ...]
    pattern: str
    deny: bool = False


OWN = (
    Rule(("read",), f"{DATA}/**"),
    Rule(("read", "write"), SECRET, deny=True),
    Rule(("read", "write"), f"{DATA}/**/*.key", deny=True),
    Rule(("read", "write", "create", "delete"), f"{WORK}/*"),
    Rule(("execute",), CHILD),
    Rule(("read",), "/usr/lib/x86_64-linux-gnu/**"),
    Rule(("read",), "/etc/bench/*.yaml"),
    Rule(("read", "append", "create"), "/var/log/bench/*.log"),
    Rule(("read",), "/usr/share/ca-certificates/**"),
    Rule(("read",), "/run/bench/ready"),
)


def rules(count: int) -> Iterator[Rule]:
    """`count` rules of one pattern each."""
    yield from OWN
    yield from _further(range(count - len(OWN)))


def _further(numbers: range) -> Iterator[Rule]:
    for number in numbers:
        match number % 10:
            case 0:
                yield Rule(("read",), f"{DATA}/eu/north/tenant-{number:03}/**")
            case 1 | 2 | 3:
                yield Rule(("read",), f"/srv/service-{number:03}/**")
            case 4 | 5:
                yield Rule(("append", "create"), f"/var/log/service-{number:03}/*.log")
            case 6:
                yield Rule(("write",), f"/srv/service-{number - 3:03}/keys/*", deny=True)
            case _:
                yield Rule(("read",), f"/etc/service-{number:03}/config.yaml")


def huge() -> str:
    """HUGE rules of POLICIES subjects, the measured one among them."""
    each = HUGE // POLICIES
    others = (
        _policy(
            f"other-{number}", f"bench/other-{number}", _further(range(number * each, (number + 1) * each))
        )
        for number in range(1, POLICIES)
    )
    return "---\n".join([policy(each), *others])


def many_identities() -> str:
    """LARGE rules of the measured subject, and a Policy for each of IDENTITIES others."""
    others = (_policy(f"other-{number}", f"bench/other-{number}", OWN[:1]) for number in range(IDENTITIES))
    return "---\n".join([policy(LARGE), *others])


def _policy(name: str, identity: str, file_rules: Iterable[Rule]) -> str:
    return f"""\
apiVersion: menshen/v1
kind: Policy
metadata: {{name: {name}}}
spec:
  subject: {{identity: {identity}}}
  mode: enforce
  files:
{_files(file_rules)}
"""


def _files(file_rules: Iterable[Rule]) -> str:
    return "\n".join(
        f'    - {{{"deny" if rule.deny else "allow"}: [{", ".join(rule.rights)}], paths: ["{rule.pattern}"]}}'
        for rule in file_rules
        if "execute" not in rule.rights
    )


def policy(count: int) -> str:
    """The subject's Policy with that many path patterns, and a Protection that binds everybody."""
    return f"""\
apiVersion: menshen/v1
kind: Policy
metadata: {{name: bench}}
spec:
  subject: {{identity: {SUBJECT}}}
  mode: enforce
  files:
{_files(rules(count))}
  exec:
    - {{paths: ["{CHILD}"], as: self}}
  network:
    - {{allow: listen, ports: ["{PORT}-{PORT + 1}"], address: 127.0.0.1, protocol: any}}
    - {{allow: connect, to: {{cidr: 127.0.0.1, ports: [{PORT}], protocol: any}}}}
    - {{allow: listen, unix: "{WORK}/socket"}}
    - {{allow: connect, to: {{unix: "{WORK}/socket"}}}}
---
apiVersion: menshen/v1
kind: Protection
metadata: {{name: secrets}}
spec:
  objects: ["{SECRET}"]
  operations: [read, write, create, delete, rename, link, attributes, mount]
  only: [{{identity: {CHILD_IDENTITY}}}]
  mode: enforce
"""


LETTERS = {"read": "r", "write": "w", "append": "a", "create": "w", "delete": "w", "execute": "ix"}


def profile(count: int = LARGE) -> str:
    """The same for AppArmor. Its `w` includes creating and deleting, and excludes `a`."""
    lines = []
    for rule in rules(count):
        letters = "".join(dict.fromkeys(LETTERS[right] for right in rule.rights))
        if "w" in letters:
            letters = letters.replace("a", "")
        lines.append(f"  {'deny ' if rule.deny else ''}{rule.pattern} {letters},")
    return "\n".join(
        [
            f"profile bench {PROGRAM} {{",
            *lines,
            f"  {PROGRAM} mr,",
            f"  {CHILD} mr,",
            f"  {WORK}/ r,",
            "  network inet stream,",
            "  network inet dgram,",
            "  network unix stream,",
            "  signal peer=bench,",
            "}\n",
        ]
    )
