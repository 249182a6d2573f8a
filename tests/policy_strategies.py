"""Random policies and accesses, from a seed: for unit tests, and for guests that run the same accesses.

Everything lies in a `World`: a small tree of names, some identities, endpoints and sockets. It is small, so
that rules overlap and accesses hit them. The same seed and world make the same policies and accesses.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hypothesis import strategies as st

from policies.endpoint import TCP, UDP, encode
from policies.evaluate import Evaluator, Verdict
from policies.operations import Operations

FILE_RIGHTS: Final = (
    "read", "write", "append", "create", "delete", "rename", "link", "attributes", "map-exec", "ioctl"
)  # fmt: skip
PROTECTED_RIGHTS: Final = (*FILE_RIGHTS, "execute", "mount", "connect", "listen")
OPEN_FLAGS: Final = (
    os.O_RDONLY,
    os.O_WRONLY,
    os.O_RDWR,
    os.O_WRONLY | os.O_APPEND,
    os.O_RDWR | os.O_APPEND,
    os.O_WRONLY | os.O_TRUNC,
    os.O_RDONLY | os.O_TRUNC,
    os.O_WRONLY | os.O_APPEND | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
)


@dataclass(frozen=True)
class World:
    """Where policies and accesses live. Folders are `folders` nested to `depth`; each holds `files`."""

    root: str = "/srv/property"
    folders: tuple[str, ...] = ("a", "ab", "lib")
    files: tuple[str, ...] = ("x", "x.log", "y.log", "key")
    new_names: tuple[str, ...] = ("n", "n.log", "ab2")
    depth: int = 2
    identities: tuple[str, ...] = ("test/one", "test/two", "test/three")
    addresses: tuple[str, ...] = ("127.0.0.1", "127.0.0.2", "127.1.0.1", "::1")
    ports: tuple[int, ...] = (4001, 4002, 4010, 5000)
    abstract: tuple[str, ...] = ("@property", "@property-b")

    def directories(self) -> list[str]:
        """Every directory, parents first; the root of the world is the first."""
        found = [self.root]
        for level in range(1, self.depth + 1):
            found += [
                "/".join((self.root, *names)) for names in itertools.product(self.folders, repeat=level)
            ]
        return found

    def existing_files(self) -> list[str]:
        """Every regular file."""
        return [f"{directory}/{name}" for directory in self.directories() for name in self.files]


class Do(Enum):
    """What an access does."""

    OPEN = "open"
    LIST = "list"
    CREATE = "create"
    MKDIR = "mkdir"
    SYMLINK = "symlink"
    UNLINK = "unlink"
    RMDIR = "rmdir"
    RENAME = "rename"
    LINK = "link"
    TRUNCATE = "truncate"
    CHMOD = "chmod"
    EXECUTE = "execute"
    MAP_EXEC = "map-exec"
    CONNECT = "connect"
    SEND = "send"
    LISTEN = "listen"
    UNIX_CONNECT = "unix-connect"
    UNIX_LISTEN = "unix-listen"


@dataclass(frozen=True)
class Access:
    """One access by a subject. `path` is canonical; `other` the second path of rename and link."""

    subject: str | None
    """An identity, or None for a program without a credential."""
    do: Do
    path: str = ""
    other: str = ""
    flags: int = 0
    is_directory: bool = False
    exists: bool = True
    """Whether the name exists beforehand: of `path` for open, of `other` for rename."""
    identified: bool = True
    """For programs and libraries: whether they have a credential."""
    address: str = ""
    port: int = 0


def make_policies(
    rng: random.Random, world: World, *, policies: int = 3, rules: int = 6, base: bool = False
) -> str:
    """Policies for some of the world's identities, perhaps the unidentified, and Protections."""
    subjects: list[str | None] = [*rng.sample(world.identities, min(policies, len(world.identities)))]
    if rng.random() < 0.5:
        subjects.append(None)
    documents = [
        _policy(rng, world, number, subject, rules=rng.randint(0, rules), base=base)
        for number, subject in enumerate(subjects)
    ]
    documents += [_protection(rng, world, number) for number in range(rng.randint(0, 3))]
    return "\n---\n".join(documents) + "\n"


def _policy(
    rng: random.Random, world: World, number: int, subject: str | None, *, rules: int, base: bool
) -> str:
    who = f"{{identity: {subject}}}" if subject else "{unidentified: true}"
    lines = [
        "apiVersion: menshen/v1",
        "kind: Policy",
        f"metadata: {{name: policy-{number}}}",
        "spec:",
        f"  subject: {who}",
        f"  base: {str(base).lower()}",
    ]
    if rng.random() < 0.8:
        lines.append(f"  mode: {_mode(rng)}")
    makers: dict[str, Callable[[random.Random, World], str]] = {
        "files": _file_rule,
        "exec": _exec_rule,
        "network": _network_rule,
    }
    for section, maker in makers.items():
        count = rules if section == "files" else rng.randint(0, rules // 2)
        if count:
            lines.append(f"  {section}:")
            lines += [f"    - {maker(rng, world)}" for _ in range(count)]
    return "\n".join(lines)


def _protection(rng: random.Random, world: World, number: int) -> str:
    only = ", ".join(f"{{identity: {name}}}" for name in world.identities if rng.random() < 0.3)
    operations = ", ".join(rng.sample(PROTECTED_RIGHTS, rng.randint(1, 5)))
    objects = ", ".join(_patterns(rng, world))
    return "\n".join(
        [
            "apiVersion: menshen/v1",
            "kind: Protection",
            f"metadata: {{name: protection-{number}}}",
            "spec:",
            f"  objects: [{objects}]",
            f"  operations: [{operations}]",
            f"  only: [{only}]",
            f"  mode: {_mode(rng)}",
        ]
    )


def _mode(rng: random.Random) -> str:
    return rng.choice(("audit", "enforce", "enforce"))


def _file_rule(rng: random.Random, world: World) -> str:
    paths = ", ".join(_patterns(rng, world))
    if rng.random() < 0.3:
        rights = rng.sample((*FILE_RIGHTS, "execute"), rng.randint(1, 4))
        mode = f", mode: {_mode(rng)}" if rng.random() < 0.5 else ""
        return f"{{deny: [{', '.join(rights)}], paths: [{paths}]{mode}}}"
    rights = rng.sample(FILE_RIGHTS, rng.randint(1, 7))
    unsigned = ", unsigned: true" if "map-exec" in rights and rng.random() < 0.5 else ""
    return f"{{allow: [{', '.join(rights)}], paths: [{paths}]{unsigned}}}"


def _exec_rule(rng: random.Random, world: World) -> str:
    parts = [f"paths: [{', '.join(_patterns(rng, world))}]"]
    if rng.random() < 0.5:
        parts.append(f"as: {rng.choice(('self', 'own'))}")
    if rng.random() < 0.3:
        parts.append("unsigned: true")
    return "{" + ", ".join(parts) + "}"


def _network_rule(rng: random.Random, world: World) -> str:
    effect = rng.choice(("allow", "allow", "deny"))
    action = rng.choice(("connect", "listen"))
    mode = f", mode: {_mode(rng)}" if effect == "deny" and rng.random() < 0.5 else ""
    if rng.random() < 0.3:
        where = f"unix: {_socket_pattern(rng, world)}"
    else:
        parts = [f"protocol: {rng.choice(('tcp', 'udp', 'any'))}"]
        if rng.random() < 0.7:
            parts.append(f"ports: [{', '.join(_ports(rng, world))}]")
        if rng.random() < 0.7:
            parts.append(f'{"cidr" if action == "connect" else "address"}: "{_network(rng, world)}"')
        where = ", ".join(parts)
    return f"{{{effect}: {action}, {f'to: {{{where}}}' if action == 'connect' else where}{mode}}}"


def _ports(rng: random.Random, world: World) -> Iterator[str]:
    for _ in range(rng.randint(1, 2)):
        low = rng.choice(world.ports)
        yield str(low) if rng.random() < 0.5 else f'"{low}-{low + rng.randint(0, 1200)}"'


def _network(rng: random.Random, world: World) -> str:
    address = rng.choice(world.addresses)
    if ":" in address:
        return rng.choice((address, "::/0", "::/127"))
    first, second, third, _ = address.split(".")
    return rng.choice(
        (
            address,
            "0.0.0.0/0",
            f"{first}.0.0.0/8",
            f"{first}.{second}.0.0/16",
            f"{first}.{second}.{third}.0/30",
        )
    )


def _socket_pattern(rng: random.Random, world: World) -> str:
    if rng.random() < 0.5:
        return make_pattern(rng, world)
    return '"' + rng.choice((*world.abstract, "@property*", "@*", "@propert[x-z]-?")) + '"'


def _patterns(rng: random.Random, world: World) -> list[str]:
    return [make_pattern(rng, world) for _ in range(rng.randint(1, 3))]


def make_pattern(rng: random.Random, world: World) -> str:
    """A pattern, in quotes, that is near the world's names: some components of a path made vague."""
    names = [*world.folders, *world.files, *world.new_names]
    components = [_vague(rng, rng.choice(names)) for _ in range(rng.randint(0, world.depth + 1))]
    if rng.random() < 0.5:
        components.append("**")
    if rng.random() < 0.15 and components[-1:] != ["**"]:
        components.insert(rng.randint(0, len(components)), "**")
    while ("**", "**") in itertools.pairwise(components):
        components.remove("**")
    return '"' + "/".join((world.root, *components)) + '"'


def _vague(rng: random.Random, name: str) -> str:
    """A component that matches `name`, more or less."""
    at = rng.randrange(len(name))
    before, char, after = name[:at], name[at], name[at + 1 :]
    return rng.choice(
        (
            name,
            name,
            name,
            "*",
            f"{before}*",
            f"*{after}" if after else "*",
            f"{before}?{after}",
            f"{before}[{char}-{chr(ord(char) + 2)}]{after}" if char.isalpha() else name,
            f"{before}[!{char}]{after}" if char.isalpha() else name,
            f"{{{name},q}}",
            f"{before}{{{char},}}{after}" if before or after else name,
        )
    )


def make_accesses(rng: random.Random, world: World, count: int) -> list[Access]:
    """Accesses of the world's identities and of the unidentified, to things that exist and to new names."""
    return [make_access(rng, world) for _ in range(count)]


def make_access(rng: random.Random, world: World) -> Access:
    """One access; each stands for itself, as if the world was put back after it."""
    subject = rng.choice((*world.identities, None))
    do = rng.choice((*Do, Do.OPEN, Do.OPEN, Do.RENAME, Do.RENAME))
    file = rng.choice(world.existing_files())
    directory = rng.choice(world.directories())
    new = f"{rng.choice(world.directories())}/{rng.choice(world.new_names)}"
    if do is Do.OPEN:
        exists = rng.random() < 0.8
        flags = rng.choice(OPEN_FLAGS if exists else OPEN_FLAGS[-3:])
        return Access(subject, do, file if exists else new, flags=flags, exists=exists)
    if do is Do.LIST:
        return Access(subject, do, directory, flags=os.O_RDONLY, is_directory=True)
    if do in (Do.CREATE, Do.MKDIR, Do.SYMLINK):
        return Access(subject, do, new, exists=False)
    if do is Do.RMDIR:
        return Access(subject, do, rng.choice(world.directories()[1:]), is_directory=True)
    if do is Do.RENAME and rng.random() < 0.5:
        old = rng.choice(world.directories()[1:])
        target = new
        while target.startswith(old + "/"):
            target = f"{rng.choice(world.directories())}/{rng.choice(world.new_names)}"
        return Access(subject, do, old, target, is_directory=True, exists=False)
    if do is Do.RENAME:
        target = rng.choice((new, rng.choice(world.existing_files())))
        return Access(subject, do, file, target, exists=target != new)
    if do is Do.LINK:
        return Access(subject, do, file, new, exists=False)
    if do in (Do.EXECUTE, Do.MAP_EXEC):
        return Access(subject, do, file, identified=rng.random() < 0.6)
    if do in (Do.CONNECT, Do.SEND, Do.LISTEN):
        return Access(subject, do, address=rng.choice(world.addresses), port=rng.choice(world.ports))
    if do in (Do.UNIX_CONNECT, Do.UNIX_LISTEN):
        return Access(subject, do, rng.choice((*world.abstract, new)), exists=do is Do.UNIX_CONNECT)
    return Access(subject, do, file)


def judge(evaluator: Evaluator, access: Access) -> Verdict:
    """What the evaluator says to an access."""
    operations = Operations(evaluator, evaluator.row(access.subject))
    path, other = access.path, access.other
    match access.do:
        case Do.OPEN | Do.LIST:
            return operations.open(path, access.flags, is_directory=access.is_directory, exists=access.exists)
        case Do.CREATE:
            return operations.create(path)
        case Do.MKDIR:
            return operations.mkdir(path)
        case Do.SYMLINK:
            return operations.symlink(path)
        case Do.UNLINK:
            return operations.unlink(path)
        case Do.RMDIR:
            return operations.rmdir(path)
        case Do.RENAME:
            return operations.rename(path, other, is_directory=access.is_directory, replaces=access.exists)
        case Do.LINK:
            return operations.link(path, other)
        case Do.TRUNCATE:
            return operations.truncate(path)
        case Do.CHMOD:
            return operations.attributes(path)
        case Do.EXECUTE:
            return operations.execute(path, identified=access.identified)
        case Do.MAP_EXEC:
            return operations.map_exec(path, identified=access.identified)
        case Do.CONNECT:
            return operations.connect(encode(TCP, access.address, access.port))
        case Do.SEND:
            return operations.connect(encode(UDP, access.address, access.port))
        case Do.LISTEN:
            return operations.listen(encode(TCP, access.address, access.port))
        case Do.UNIX_CONNECT:
            return operations.unix_connect(path)
        case Do.UNIX_LISTEN:
            return operations.unix_listen(path)


def randoms() -> st.SearchStrategy[random.Random]:
    """Random generators for the functions above that hypothesis can shrink."""
    return st.randoms(use_true_random=False)
