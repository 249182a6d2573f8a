"""`menshen hunt`, `session` and `sessions`: whatever the host's strings are, they are read as they were."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bpf_lsm.observation import Type
from detect.batch import Tagged
from detect.store.history import History
from detect.store.settings import StoreSettings
from detect.store.store import Store
from detect.store.story import tell
from detect.symbols import Symbols
from enforcer.cli import main
from enforcer.history.page import page
from tests.unit.detect.store.host import random_batch
from tests.unit.detect.streams import batch, event

EVIL = [
    b"</text></svg><script>alert(1)</script>",
    b"<img src=//evil.example/x onerror=alert(1)>",
    b"\x1b]0;owned\x07\x1b[2J",
    "\u202egnp.exe".encode(),
    b"a\nb\r\nc",
    b"\xff\xfe\x00\x01",
    b"'; DROP VIEW events; --",
    b'" onload="alert(1)',
    b"&lt;script&gt;",
    b"=cmd|'/c calc'!A1",
]
SHELL, CHILD, GRANDCHILD = 10, 11, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One session of three processes in which every string is hostile, and another of random events."""
    folder = tmp_path_factory.mktemp("store")
    told = []
    for at, evil in enumerate(EVIL):
        told += [
            event(
                10 + at, type=Type.EXEC, process=SHELL, pid=100, exe=evil, args=b"sh\0" + evil, comm=evil[:15]
            ),
            event(10.1 + at, type=Type.FORK, process=SHELL, pid=100, exe=evil, target_pid=101),
            event(10.2 + at, type=Type.EXEC, process=CHILD, parent=SHELL, pid=101, exe=evil, args=evil),
            event(
                10.3 + at, type=Type.FILE_WRITE, process=CHILD, parent=SHELL, pid=101, path=evil, result=-13
            ),
            event(
                10.4 + at,
                type=Type.CONNECT,
                process=GRANDCHILD,
                parent=CHILD,
                pid=102,
                address=bytes([10, 0, 0, 9]) + bytes(12),
                family=4,
                protocol=6,
                port=4444,
                login_uid=1000,
                identity=evil,
            ),
        ]
    first, _ = batch(told, (), Symbols())
    columns = {**first.columns, "session": np.full(len(first), 0xABC, np.uint64)}
    tags = Tagged(np.array([4], np.uint32), np.array([0], np.uint32))
    with Store(
        StoreSettings(folder=folder, min_free=0), tags=("outbound-connect",), background=False
    ) as store:
        store.append(type(first)(columns, first.symbols), tags)
        store.append(random_batch(3, 500, first.symbols, first=10**10))
    return folder


def menshen(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--store", str(folder)])


def printable(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_a_hunt_shows_hostile_strings_escaped(folder: Path, output: str) -> None:
    done = menshen(
        folder, "hunt", "SELECT DISTINCT exe, args FROM events WHERE session = 'abc'", "-o", output
    )
    assert done.exit_code == 0, done.output
    assert printable(done.output)
    assert "\x1b" not in done.output
    if output == "json":
        shown = {json.loads(line)["exe"] for line in done.output.splitlines()}
        assert "\x1b]0;owned\x07\x1b[2J" in shown


def test_a_wrong_query_is_a_sentence(folder: Path) -> None:
    done = menshen(folder, "hunt", "SELECT \x1b[31mfoo FROM events")
    assert done.exit_code == 1
    assert "Error: " in done.output
    assert printable(done.output)


def test_the_rows_of_a_hunt_are_bounded_and_it_says_so(folder: Path) -> None:
    done = menshen(folder, "hunt", "SELECT pid FROM events", "-n", "3", "-o", "csv")
    assert len(done.stdout.splitlines()) == 4
    assert "more than 3 rows" in done.stderr


@pytest.mark.parametrize("name", ["abc", "0xabc", "ABC", "0000abc"])
def test_a_session_is_shown_as_tree_and_timeline(folder: Path, name: str) -> None:
    done = menshen(folder, "session", name)
    assert done.exit_code == 0, done.output
    assert printable(done.output)
    assert re.search(r"^100 .*\n└── 101 .*\n    └── 102 ", done.output, re.M)
    assert "10.0.0.9:4444/tcp [outbound-connect]" in done.output
    assert "failed: EACCES" in done.output
    assert "login uid 1000" in done.output


@pytest.mark.parametrize("name", ["xyz", "-1", "1" * 17, "abc;", ""])
def test_what_is_no_session_is_refused(folder: Path, name: str) -> None:
    assert menshen(folder, "session", "--", name).exit_code != 0


def test_a_session_that_is_not_there_is_a_sentence(folder: Path) -> None:
    done = menshen(folder, "session", "deadbeef")
    assert done.exit_code == 1
    assert "there is no event of session deadbeef" in done.output


def test_a_session_as_json_has_every_event(folder: Path) -> None:
    done = menshen(folder, "session", "abc", "--json")
    lines = [json.loads(line) for line in done.output.splitlines()]
    assert len(lines) == 5 * len(EVIL)
    assert {line["session"] for line in lines} == {"abc"}
    written = [
        line["path"].encode("utf-8", "surrogateescape") for line in lines if line["type"] == "file-write"
    ]
    assert written == EVIL


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def test_the_page_of_a_session_has_no_script_and_loads_nothing(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "session.html"
    assert menshen(folder, "session", "abc", "--html", str(there)).exit_code == 0
    text = there.read_text()
    found = Elements()
    found.feed(text)
    assert "script" not in found.names
    assert "img" not in found.names
    assert {"svg", "circle", "path", "table"} <= found.names
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"src", "href"}]
    assert "default-src 'none'" in text
    assert text.count("<circle") == 5 * len(EVIL)
    assert all(line.isprintable() for line in text.splitlines())
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    ElementTree.fromstring(svg)  # well formed: nothing broke out of it


def test_a_long_chain_of_processes_is_shown(tmp_path: Path) -> None:
    told = [event(at, type=Type.FORK, process=at + 1, parent=at, pid=at + 1) for at in range(3000)]
    given, _ = batch(told, (), Symbols())
    with Store(StoreSettings(folder=tmp_path, min_free=0), background=False) as store:
        store.append(given)
    assert "... and 2500 more processes" in menshen(tmp_path, "session", "1").output
    [(boot, part)] = History(tmp_path).session(1)
    assert len(page([tell(1, boot, part, processes=5000)])) > 100_000


def test_processes_that_name_each_other_as_parent_make_no_endless_tree(tmp_path: Path) -> None:
    told = [event(at, type=Type.EXEC, process=1 + at % 3, parent=1 + (at + 1) % 3) for at in range(9)]
    given, _ = batch(told, (), Symbols())
    with Store(StoreSettings(folder=tmp_path, min_free=0), background=False) as store:
        store.append(given)
    assert menshen(tmp_path, "session", "1").exit_code == 0


def test_sessions_are_listed_the_newest_first(folder: Path) -> None:
    done = menshen(folder, "sessions", "--days", "36500", "-n", "3")
    assert done.exit_code == 0, done.output
    assert printable(done.output)
    lines = done.output.splitlines()
    assert len(lines) == 4
    listed = menshen(folder, "sessions", "--days", "36500", "-n", "100", "-o", "json").output.splitlines()
    mine = next(one for one in map(json.loads, listed) if one["session"] == "abc")
    assert (mine["events"], mine["processes"], mine["login_uid"], mine["tagged"]) == (50, 3, 1000, 1)


@pytest.mark.parametrize("command", [("hunt", "SELECT 1"), ("session", "1"), ("sessions",)])
def test_without_a_store_each_command_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = menshen(tmp_path / "nowhere", *command)
    assert done.exit_code == 1
    assert "there is no store" in done.output
    assert "menshen watch" in done.output
