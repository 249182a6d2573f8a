"""The names by which rules call the columns: Sigma's for Linux, and our own."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final

from bpf_lsm.observation import FIELDS, Flag, Type
from detect.batch import ENRICHED, SYMBOLS
from detect.rules.values import Address, Value


class View(enum.Enum):
    """How a column is read."""

    TEXT = "text"
    ARGUMENTS = "text, arguments with a space between"
    NUMBER = "number"
    WORD = "word"
    ADDRESS = "address"


Word = Callable[[Any], bytes]
"""The word for a number or an address; empty if there is none."""


@dataclass(frozen=True)
class Field:
    """One name. `types` are the kinds of event that have it; None: all of them."""

    name: str
    column: str
    view: View
    meaning: str
    types: frozenset[Type] | None = None
    word: Word | None = None

    def __reduce__(self) -> tuple[Callable[[int], Field], tuple[int]]:
        """By its place among all: the functions that find words cannot be pickled."""
        return _field, (next(at for at, each in enumerate(_EVERY) if each is self),)

    def has(self, kind: int) -> bool:
        """Whether events of this type have it."""
        return self.types is None or kind in self.types

    def value(self, row: Mapping[str, Any]) -> Value:
        """What a rule sees of an event, as `Batch.row` gives it."""
        if not self.has(row["type"]):
            return None
        found = row[self.column]
        if self.view is View.ADDRESS:
            return self.of_address(row["family"], found)
        if self.view in {View.TEXT, View.ARGUMENTS}:
            return self.of_text(found.encode("utf-8", "surrogateescape"))
        return self.of_number(int(found))

    def of_text(self, found: bytes) -> Value:
        """The value of a symbol's text."""
        if self.view is View.ARGUMENTS:
            found = found.rstrip(b"\0").replace(b"\0", b" ")
        return found or None

    def of_address(self, family: int, raw: bytes) -> Value:
        """The value of an address."""
        found = address(family, raw)
        return found if found is None or self.word is None else self.word(found)

    def of_number(self, found: int) -> Value:
        """The value of a number."""
        return found if self.word is None else self.word(found) or None


def address(family: int, raw: bytes) -> Address | None:
    """The address of a record; v4 that is mapped into v6 is v4."""
    if family == 4:
        return IPv4Address(raw[:4])
    if family == 6:
        long = IPv6Address(raw[:16])
        return long.ipv4_mapped or long
    return None


def scope(found: Address) -> bytes:
    """How far an address reaches."""
    if found.is_loopback or found.is_unspecified:  # connecting to 0.0.0.0 is connecting to oneself
        return b"loopback"
    if found.is_multicast or found == _BROADCAST:
        return b"multicast"
    if found.is_link_local:
        return b"link-local"
    return b"public" if found.is_global else b"private"


def _names(words: Mapping[int, str]) -> Word:
    return lambda number: words.get(number, str(number)).encode()


def _bits(words: Mapping[int, str]) -> Word:
    return lambda number: ",".join(word for bit, word in words.items() if number & bit).encode()


def _truth(bits: int) -> Word:
    return lambda number: b"true" if number & bits else b"false"


@cache
def _users() -> dict[int, bytes]:
    try:
        lines = Path("/etc/passwd").read_bytes().splitlines()
    except OSError:
        return {}
    parts = [line.split(b":") for line in lines]
    return {int(part[2]): part[0] for part in reversed(parts) if len(part) > 2 and part[2].isdigit()}


def user(uid: int) -> bytes:
    """The name of a user in this host's /etc/passwd, or the number."""
    if uid == 0xFFFF_FFFF:
        return b""
    return _users().get(uid) or b"%d" % uid


_BROADCAST: Final = IPv4Address("255.255.255.255")
_TYPE_WORDS: Final = {int(kind): kind.word for kind in Type}
_FLAG_WORDS: Final = {int(flag): str(flag.name).lower().replace("_", "-") for flag in Flag}
_FAMILIES: Final = {0: "", 1: "unix", 4: "ipv4", 6: "ipv6"}
PROTOCOLS: Final = {
    0: "",
    1: "icmp",
    6: "tcp",
    17: "udp",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
    262: "mptcp",
}
_OPEN: Final = {
    os.O_WRONLY: "write",
    os.O_RDWR: "read-write",
    os.O_CREAT: "create",
    os.O_TRUNC: "truncate",
    os.O_APPEND: "append",
}
_CLONE: Final = {
    0x0000_0100: "vm",
    0x0002_0000: "newns",
    0x0400_0000: "newuts",
    0x0800_0000: "newipc",
    0x1000_0000: "newuser",
    0x2000_0000: "newpid",
    0x4000_0000: "newnet",
}
_MODES: Final = frozenset({Type.FILE_CREATE, Type.FILE_CHMOD})
_OUTGOING: Final = frozenset({Type.CONNECT, Type.SENDTO})
_PEERS: Final = frozenset({Type.CONNECT, Type.SENDTO, Type.ACCEPT})
_OPENED: Final = frozenset({Type.FILE_OPEN, Type.FILE_WRITE})

_WORDS: Final[dict[str, Word]] = {
    "type": _names(_TYPE_WORDS),
    "flags": _bits(_FLAG_WORDS),
    "family": _names(_FAMILIES),
    "protocol": _names(PROTOCOLS),
    "digest": lambda number: b"%016x" % number if number else b"",
}


def _own(name: str, meaning: str) -> Field:
    if name in SYMBOLS:
        view = View.ARGUMENTS if name in {"args", "parent_args"} else View.TEXT
        return Field(name, name, view, meaning)
    if name == "address":
        return Field(name, name, View.ADDRESS, meaning)
    word = _WORDS.get(name)
    return Field(name, name, View.WORD if word else View.NUMBER, meaning, word=word)


def _word(name: str, column: str, word: Word, meaning: str, types: frozenset[Type] | None = None) -> Field:
    return Field(name, column, View.WORD, meaning, types, word)


_ENRICHED: Final = {
    "process": "number of the process, never used again while the host is up",
    "parent": "the same of its parent",
    "parent_exe": "program of the parent, when it forked",
    "parent_args": "arguments of the parent, when it forked",
    "identity": "name of the subject, for example payments/api",
    "container": "id of the container",
}

OWN: Final = {
    field.name: field
    for field in (
        *(_own(each.name, each.meaning) for each in FIELDS),
        *(_own(name, _ENRICHED[name]) for name in ENRICHED),
        _word("mode", "detail", lambda number: b"%o" % number, "file-create, file-chmod: octal", _MODES),
        _word(
            "executable",
            "detail",
            _truth(0o111),
            "file-create, file-chmod: true if anybody may run it",
            _MODES,
        ),
        _word(
            "setid", "detail", _truth(0o6000), "file-create, file-chmod: true if set-uid or set-gid", _MODES
        ),
        _word("open", "detail", _bits(_OPEN), "file-open, file-write: words, a comma between", _OPENED),
        _word(
            "clone",
            "detail",
            _bits(_CLONE),
            "fork: vm and new namespaces, a comma between",
            frozenset({Type.FORK}),
        ),
    )
}
"""Our own names: every column, and what is easier to ask than bits of `detail`."""


def _text(name: str, column: str, meaning: str) -> Field:
    view = View.ARGUMENTS if column in {"args", "parent_args"} else View.TEXT
    return Field(name, column, view, meaning)


_SCOPE: Final = "public, private, loopback, link-local or multicast"

_ACTOR: Final = (
    _text("Image", "exe", "canonical path of the program"),
    _text("CommandLine", "args", "arguments, a space between"),
    _text("ParentImage", "parent_exe", "program of the parent"),
    _text("ParentCommandLine", "parent_args", "arguments of the parent"),
    _word("User", "uid", user, "name of the effective user in /etc/passwd, or the number"),
    Field("ProcessId", "pid", View.NUMBER, "process"),
    Field("ParentProcessId", "ppid", View.NUMBER, "parent"),
    Field("LogonId", "session", View.NUMBER, "session"),
)
_FILE: Final = (_text("TargetFilename", "path", "canonical path of the file"),)
_NETWORK: Final = (
    Field("DestinationIp", "address", View.ADDRESS, "whom it connects or sends to", _OUTGOING),
    Field("DestinationPort", "port", View.NUMBER, "the same", _OUTGOING),
    Field("DestinationScope", "address", View.ADDRESS, _SCOPE, _OUTGOING, scope),
    Field("SourceIp", "address", View.ADDRESS, "whom it accepts", frozenset({Type.ACCEPT})),
    Field("SourcePort", "port", View.NUMBER, "the same", frozenset({Type.ACCEPT})),
    _word("Protocol", "protocol", _names(PROTOCOLS), "tcp, udp, ..."),
    _word(
        "Initiated",
        "type",
        lambda kind: b"true" if kind in _OUTGOING else b"false",
        "true for connect and sendto, false for accept",
        _PEERS,
    ),
)


@dataclass(frozen=True)
class Category:
    """Of which events a logsource speaks, and how it calls their columns."""

    types: frozenset[Type]
    fields: Mapping[str, Field]
    meaning: str
    succeeded: bool = True
    """Only calls that did not fail."""


def _category(types: set[Type], fields: tuple[Field, ...], meaning: str, succeeded: bool = True) -> Category:
    named = {field.name: field for field in (*_ACTOR, *fields)}
    return Category(frozenset(types), named | OWN, meaning, succeeded)


_RENAME: Final = (
    _text("SourceFilename", "path", "the old name"),
    _text("TargetFilename", "path2", "the new name"),
)

CATEGORIES: Final = {
    "process_creation": _category({Type.EXEC}, (), "a program began"),
    "file_event": _category(
        {Type.FILE_CREATE, Type.FILE_WRITE}, _FILE, "a file was made or opened for writing"
    ),
    "file_access": _category({Type.FILE_OPEN}, _FILE, "a watched file was opened for reading"),
    "file_change": _category({Type.FILE_CHMOD}, _FILE, "a mode was changed"),
    "file_delete": _category({Type.FILE_DELETE}, _FILE, "a file was deleted"),
    "file_rename": _category({Type.FILE_RENAME}, _RENAME, "a file was renamed"),
    "network_connection": _category(
        {Type.CONNECT, Type.SENDTO, Type.ACCEPT},
        _NETWORK,
        "a peer was addressed or accepted",
        succeeded=False,
    ),
}
"""Sigma's categories for `product: linux`."""

MENSHEN: Final = _category(set(Type), (*_NETWORK, *_FILE), "every event", succeeded=False)
"""`product: linux`, `service: menshen`, without a category."""

KEYWORDS: Final = tuple(OWN[name] for name in ("exe", "args", "path", "path2", "comm"))
"""Where values without a field are looked for."""

_EVERY: Final = tuple(
    {id(field): field for each in (*CATEGORIES.values(), MENSHEN) for field in each.fields.values()}.values()
)


def _field(number: int) -> Field:
    return _EVERY[number]
