"""What the kernel would have denied of recorded events, act by act."""

from __future__ import annotations

import os
from typing import Any

import pytest

from bpf_lsm.observation import Type
from detect.sequences.reference import Event
from detect.sequences.shadow import TYPES, Shadow, unrecorded
from detect.symbols import Symbols
from policies import parse_text
from policies.sequence import Act, Sequence
from tests.unit.detect.streams import batch, event

HERE, THERE = b"/srv/here", b"/srv/there"

DOCUMENT = """\
apiVersion: menshen/v1
kind: Sequence
metadata: {{name: story}}
spec:
  title: A mark is made, and then this
  level: high
  key: session
  within: 1h
  steps:
    - {{name: mark, tag: any, kernel: {{operation: chmod, paths: [/srv/mark]}}}}
    - {{name: last, tag: any, kernel: {{operation: {act}, {where}}}}}
"""


def sequence(act: Act, paths: str = HERE.decode()) -> Sequence:
    where = "to: {cidr: 10.0.0.0/8}" if act is Act.CONNECT else f"paths: ['{paths}']"
    return parse_text(DOCUMENT.format(act=act.value, where=where)).sequences[0]


def denied(story: Sequence, *events: Event) -> list[str]:
    """Types of the events that would have been denied, after the mark."""
    mark = event(1, type=Type.FILE_CHMOD, path=b"/srv/mark")
    rows, _ = batch([mark, *events], (), Symbols())
    return [Type(int(each["type"])).name for each in Shadow(story).blocks(rows)]


def did(kind: Type, **fields: Any) -> Event:
    return event(2, type=kind, **fields)


ADDRESS = {"address": bytes([10, 0, 0, 9]).ljust(16, b"\0"), "family": 4, "protocol": 6}
MOVED = {"path": HERE, "path2": THERE}
ARRIVED = {"path": THERE, "path2": HERE}
EXCHANGED = {**ARRIVED, "detail": 2}

IS: dict[str, tuple[Act, Event]] = {
    "an open for writing writes": (Act.WRITE, did(Type.FILE_WRITE, path=HERE, detail=os.O_WRONLY)),
    "an open for reading reads": (Act.READ, did(Type.FILE_OPEN, path=HERE)),
    "an open for both reads": (Act.READ, did(Type.FILE_WRITE, path=HERE, detail=os.O_RDWR)),
    "an open for both writes": (Act.WRITE, did(Type.FILE_WRITE, path=HERE, detail=os.O_RDWR)),
    "a new file is created": (Act.CREATE, did(Type.FILE_CREATE, path=HERE)),
    "a new name by rename is created": (Act.CREATE, did(Type.FILE_RENAME, **ARRIVED)),
    "a new name by link is created": (Act.CREATE, did(Type.FILE_LINK, **ARRIVED)),
    "a symbolic link is created": (Act.CREATE, did(Type.FILE_LINK, detail=1, path=b"to", path2=HERE)),
    "an exchange creates both": (Act.CREATE, did(Type.FILE_RENAME, **{**MOVED, "detail": 2})),
    "an exchange renames both": (Act.RENAME, did(Type.FILE_RENAME, **EXCHANGED)),
    "an old name is renamed": (Act.RENAME, did(Type.FILE_RENAME, **MOVED)),
    "what a rename may replace is deleted": (Act.DELETE, did(Type.FILE_RENAME, **ARRIVED)),
    "a file is deleted": (Act.DELETE, did(Type.FILE_DELETE, path=HERE)),
    "an old name is linked": (Act.LINK, did(Type.FILE_LINK, **MOVED)),
    "a mode is changed": (Act.CHMOD, did(Type.FILE_CHMOD, path=HERE)),
    "a program is executed": (Act.EXECUTE, did(Type.EXEC, path=HERE)),
    "a peer is connected": (Act.CONNECT, did(Type.CONNECT, port=1, **ADDRESS)),
    "a datagram addresses": (Act.CONNECT, did(Type.SENDTO, port=1, **ADDRESS)),
}  # fmt: skip

IS_NOT: dict[str, tuple[Act, Event]] = {
    "an open for writing reads nothing": (Act.READ, did(Type.FILE_WRITE, path=HERE, detail=os.O_WRONLY)),
    "what left is not created": (Act.CREATE, did(Type.FILE_RENAME, **MOVED)),
    "what arrived is not renamed": (Act.RENAME, did(Type.FILE_RENAME, **ARRIVED)),
    "what left is not deleted": (Act.DELETE, did(Type.FILE_RENAME, **MOVED)),
    "an exchange deletes nothing": (Act.DELETE, did(Type.FILE_RENAME, **EXCHANGED)),
    "the target of a symbolic link is not linked": (
        Act.LINK,
        did(Type.FILE_LINK, detail=1, path=HERE, path2=THERE),
    ),
}


def test_every_act_has_an_event_that_is_tried() -> None:
    assert {act for act, _ in IS.values()} == set(Act)
    assert {Type(one.fields["type"]) for _, one in IS.values()} == set(TYPES)


@pytest.mark.parametrize(("act", "one"), IS.values(), ids=IS.keys())
def test_it_would_have_been_denied(act: Act, one: Event) -> None:
    assert denied(sequence(act), one) == [Type(one.fields["type"]).name]


@pytest.mark.parametrize(("act", "one"), IS_NOT.values(), ids=IS_NOT.keys())
def test_it_would_not(act: Act, one: Event) -> None:
    assert denied(sequence(act), one) == []


def test_a_rename_does_not_end_a_wait_that_only_a_delete_ends() -> None:
    text = DOCUMENT.format(act="chmod", where=f"paths: ['{HERE.decode()}']")
    absent = "    - {name: no, tag: any, absent: true, kernel: {operation: delete, paths: [/srv/there]}}\n"
    before, last = text.split("    - {name: last")
    (story,) = parse_text(f"{before}{absent}    - {{name: last{last}").sequences
    last_step = event(3, type=Type.FILE_CHMOD, path=HERE)
    assert denied(story, did(Type.FILE_DELETE, path=THERE), last_step) == []
    assert denied(story, did(Type.FILE_RENAME, path=b"/srv/x", path2=THERE), last_step) == ["FILE_CHMOD"]


@pytest.mark.parametrize(
    ("paths", "recorded"),
    [
        ("/etc/shadow", True),
        ("/etc/passwd", False),
        ("/etc/ssh/*", True),
        ("/etc/ssh/ssh_host_*_key", True),
        ("/etc/ssh/**", False),
        ("/etc/ssh/a/b", False),
        ("/home/*/.ssh/id_*", True),
        ("/home/**/.ssh/*", True),
        ("/home/*/.ssh/**", False),
        ("/root/.netrc", True),
        ("/srv/**/.netrc", True),
        ("/etc/{shadow,passwd}", False),
        ("/etc/{shadow,ssh/x}", True),
        ("/**", False),
    ],
)
def test_only_reads_that_are_recorded_can_be_certified(paths: str, recorded: bool) -> None:
    reads = (b"/etc/shadow", b"/etc/ssh/", b".ssh/", b".netrc")
    assert unrecorded(sequence(Act.READ, paths), reads) == ([] if recorded else [paths])


def test_what_is_only_written_needs_no_reads() -> None:
    assert unrecorded(sequence(Act.WRITE, "/**"), ()) == []
