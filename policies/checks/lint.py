"""Lint of the documents themselves: patterns that miss, patterns that are too wide, waivers, mighty
rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from policies.checks.issue import Issue, Subject, Validator, validator, warning
from policies.model import Effect, ExecRule, FileRule, Located, Mode, Policy, Word
from policies.pattern import Pattern, literal
from policies.special import TABLE, TOTAL_CAPABILITIES

ALIASES: Final = {
    "/bin": "/usr/bin",
    "/sbin": "/usr/sbin",
    "/lib": "/usr/lib",
    "/lib32": "/usr/lib32",
    "/lib64": "/usr/lib64",
    "/libx32": "/usr/libx32",
    "/var/run": "/run",
    "/var/lock": "/run/lock",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/etc/mtab": "/proc/self/mounts",
    "/proc/mounts": "/proc/self/mounts",
    "/proc/net": "/proc/self/net",
    "/proc/thread-self": "/proc/self/task/*",
}
"""Symbolic links on Debian: canonical paths never begin with them."""

CHANGES: Final = frozenset(
    {Word.WRITE, Word.APPEND, Word.CREATE, Word.DELETE, Word.RENAME, Word.LINK, Word.ATTRIBUTES}
)
SYSTEM: Final = frozenset({"bin", "boot", "dev", "etc", "lib", "proc", "root", "sbin", "sys", "usr"})
PRIVILEGED_PORTS: Final = 1024


@validator("never-matches")
def aliases(subject: Subject) -> Iterator[Issue]:
    """Patterns below a symbolic link never match: what is judged is the canonical path."""
    documents = subject.compiled.documents
    for rule, patterns in _patterns(documents.policies):
        yield from _aliases(rule, patterns)
    for protection in documents.protections:
        yield from _aliases(protection, protection.objects)


def _aliases(rule: Located, patterns: Iterable[Pattern]) -> Iterator[Issue]:
    for pattern in patterns:
        if pattern.abstract:
            continue
        for root in pattern.roots():
            for link, target in ALIASES.items():
                if root == link or root.startswith(link + "/"):
                    message = f'pattern "{pattern}" never matches: {link} is a symbolic link'
                    instead = (
                        str(pattern).replace(link, target, 1) if str(pattern).startswith(link) else target
                    )
                    yield warning("never-matches", message, rule.place, f'write "{instead}"')


@validator("process-number")
def process_numbers(subject: Subject) -> Iterator[Issue]:
    """A process directory by number is another process tomorrow."""
    for rule, patterns in _patterns(subject.compiled.documents.policies):
        for pattern in patterns:
            for root in () if pattern.abstract else pattern.roots():
                parts = root.split("/")
                if len(parts) > 2 and parts[1] == "proc" and parts[2].isdigit() and parts[2] != "1":
                    message = f'pattern "{pattern}" names a process by number'
                    hint = 'write "/proc/self/..." for its own directory, "/proc/[0-9]*/..." for any'
                    yield warning("process-number", message, rule.place, hint)


@validator("broad")
def broad(subject: Subject) -> Iterator[Issue]:
    """Rights to change everything, or everything of the system's; programs of any path."""
    for policy in subject.compiled.documents.policies:
        for rule in policy.files:
            if rule.effect is Effect.DENY:
                continue
            words = ", ".join(sorted(word.value for word in rule.rights & CHANGES))
            for pattern in rule.paths:
                where = _reach(pattern)
                if words and where:
                    message = f'"{pattern}" with {words} opens {where}'
                    yield warning("broad", message, rule.place, "name the folders that the program owns")
                elif where == EVERYTHING:
                    message = f'"{pattern}" opens {where} for {_words(rule)}'
                    yield warning("broad", message, rule.place, "name the folders that the program needs")
        for program in policy.exec:
            for pattern in program.paths:
                if _reach(pattern) == EVERYTHING:
                    message = f'"{pattern}" lets it run every program'
                    yield warning("broad", message, program.place, "name the programs")


EVERYTHING: Final = "the whole file system"


def _reach(pattern: Pattern) -> str:
    """What a pattern with ** lays open beyond a program's own folders; empty if nothing."""
    for branch in () if pattern.abstract else pattern.branches:
        if None not in branch:
            continue
        first = branch.index(None)
        names = [literal(component) for component in branch[:first]]
        if "" in names or not names:
            if not any(names):
                return EVERYTHING
            continue
        if (
            len(branch) == first + 1
            and len(names) == 1
            and (names[0] in SYSTEM or names[0] in {"home", "var"})
        ):
            return f"all of /{names[0]}"
    return ""


def _words(rule: FileRule) -> str:
    return ", ".join(sorted(word.value for word in rule.rights))


@validator("unsigned")
def unsigned(subject: Subject) -> Iterator[Issue]:
    """Waivers of the credential: whoever can write there can run there."""
    for policy in subject.compiled.documents.policies:
        rules: list[ExecRule | FileRule] = [*policy.exec, *policy.files]
        for rule in rules:
            if rule.unsigned:
                what = "programs" if isinstance(rule, ExecRule) else "libraries"
                shown = ", ".join(f'"{pattern}"' for pattern in rule.paths[:3])
                message = f"{what} without a credential may be used from {shown}"
                yield warning("unsigned", message, rule.place, "sign them: menshen identity sign FILE")


@validator("mighty", "no-capability")
def mighty(subject: Subject) -> Iterator[Issue]:
    """Special rights and capabilities that amount to the whole host, and words without their capability."""
    for policy in subject.compiled.documents.policies:
        special = policy.special
        for word in sorted(special.words):
            covers = TABLE[word]
            place = special.words_place or policy.place
            if covers.total:
                message = f"special {word.word} ({covers.what}) amounts to the whole host"
                yield warning(
                    "mighty", message, place, "leave it out, or give the program an identity of its own"
                )
            if covers.capabilities and not special.capabilities & set(covers.capabilities):
                needed = " or ".join(covers.capabilities)
                message = f"special {word.word} without the capability {needed} helps only the unprivileged"
                yield warning(
                    "no-capability", message, place, f"add {needed} to capabilities, if root is to use it"
                )
        for name in sorted(special.capabilities & TOTAL_CAPABILITIES):
            message = f"capability {name} amounts to the whole host"
            place = special.capabilities_place or policy.place
            yield warning("mighty", message, place, "find the narrower capability that the program needs")


@validator("no-create", "no-capability")
def listening(subject: Subject) -> Iterator[Issue]:
    """Listeners that would fail for another right: low ports, and socket paths that nobody may create."""
    for policy in subject.compiled.documents.policies:
        creates = {
            str(pattern)
            for rule in policy.files
            if rule.effect is Effect.ALLOW and Word.CREATE in rule.rights
            for pattern in rule.paths
        }
        for rule in policy.network:
            if rule.effect is Effect.DENY or rule.action is not Word.LISTEN:
                continue
            if rule.unix and not rule.unix.abstract and not _covered(rule.unix, creates):
                message = f'listening on "{rule.unix}" also creates it, and no rule allows create there'
                hint = f'add {{allow: [create, delete], paths: ["{rule.unix}"]}} under files'
                yield warning("no-create", message, rule.place, hint)
            ports = rule.endpoint.ports if rule.endpoint else ()
            low = any(0 < first < PRIVILEGED_PORTS for first, _ in ports)
            if low and "net_bind_service" not in policy.special.capabilities:
                message = f"ports below {PRIVILEGED_PORTS} need the capability net_bind_service"
                hint = "add it to special.capabilities, unless systemd passes the socket"
                yield warning("no-capability", message, rule.place, hint)


def _covered(pattern: Pattern, creates: set[str]) -> bool:
    """Whether one of the patterns is this one or a folder above it; this errs towards silence."""
    path = str(pattern)
    return path in creates or any("*" in each and path.startswith(each.split("*")[0]) for each in creates)


@validator("audited-rule")
def audited_rules(subject: Subject) -> Iterator[Issue]:
    """A deny in audit where the default denial is enforced, or the other way round, is easily misread."""
    for policy in subject.compiled.documents.policies:
        if policy.mode is not Mode.ENFORCE:
            continue
        for rule in policy.files:
            if rule.mode is Mode.AUDIT and rule.effect is Effect.DENY:
                message = "this deny only reports, while the policy enforces"
                hint = "what no rule allows is denied all the same; remove mode: audit when it has been quiet"
                yield warning("audited-rule", message, rule.place, hint)


def _patterns(policies: Iterable[Policy]) -> Iterator[tuple[Located, tuple[Pattern, ...]]]:
    for policy in policies:
        rules: list[ExecRule | FileRule] = [*policy.exec, *policy.files]
        for rule in rules:
            yield rule, rule.paths
        for each in policy.network:
            if each.unix:
                yield each, (each.unix,)


LINTERS: Final[tuple[Validator, ...]] = (
    aliases,
    process_numbers,
    broad,
    unsigned,
    mighty,
    listening,
    audited_rules,
)
