"""The documents say what is so: their policies compile, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from enforcer.cli import main as menshen
from identity import trust_file
from policies import compile_documents, parse_text
from policies.checks import Severity, check
from tests import readme

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "tests/guest/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELL = {"sh", "console", "bash"}
OPERATORS = {";", "&&", "||", "|", ">", ">>", "<", "&"}
NOT_KEPT = ("build/", "bpf_lsm/objects/")
"""Paths of the tree that are made, so that a clean clone has none of them."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_FOLDERS = "bpf_lsm|policies|identity|enforcer|detect|tui|tests|docs|build"
_PATH = re.compile(rf"(?:{_FOLDERS})/[\w./-]*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page, line, found[1], found[2])


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


DOCUMENTS = [block for block in blocks() if block.language == "yaml" and "apiVersion:" in block.text]


@pytest.mark.parametrize("block", DOCUMENTS, ids=str)
def test_a_policy_that_is_shown_compiles_and_locks_nobody_out(block: Block) -> None:
    compiled = compile_documents(parse_text(block.text, str(block)))
    errors = [issue.render() for issue in check(compiled) if issue.severity is Severity.ERROR]
    assert errors == []


@pytest.mark.parametrize(
    "block", [one for one in DOCUMENTS if "kind: TrustRoot" in one.text and "..." not in one.text], ids=str
)
def test_a_trust_root_that_is_shown_can_be_read(block: Block) -> None:
    assert trust_file.parse(block.text.encode(), str(block), ROOT)


def commands(block: Block) -> Iterator[list[str]]:
    """The calls of menshen in a block of shell lines, without what the shell does with them."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if "menshen" not in line:
            continue
        words = shlex.split(line.strip().removeprefix("$ ").removeprefix("# "), comments=True)
        while "menshen" in words:
            words = words[words.index("menshen") + 1 :]
            end = next((at for at, word in enumerate(words) if word in OPERATORS or word.endswith(";")), None)
            last = [words[end].removesuffix(";")] if end is not None and words[end] not in OPERATORS else []
            yield words if end is None else [*words[:end], *last]


def understands(arguments: list[str]) -> None:
    """Whether menshen has the command and its options, without running it; click's own error if not."""
    command: click.Command = menshen
    context = click.Context(command, info_name="menshen")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"there is no command {name!r} in {context.command_path}")
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    given, _, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice) and parameter.name in given:
            value = given[parameter.name]
            for one in value if isinstance(value, (list, tuple)) else [value]:
                parameter.type.convert(one, parameter, context)


CALLS = [(block, call) for block in blocks() if block.language in SHELL for call in commands(block)]


@pytest.mark.parametrize(("block", "call"), CALLS, ids=str)
def test_a_command_that_is_shown_exists_with_its_options(block: Block, call: list[str]) -> None:
    understands(call)


@pytest.mark.parametrize(
    "call", [["polcy", "list"], ["policy", "test"], ["events", "--what"], ["events", "--kind", "denials"]]
)
def test_a_command_that_does_not_exist_is_noticed(call: list[str]) -> None:
    with pytest.raises(click.UsageError):
        understands(call)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_command_in_a_sentence_exists(page: Path) -> None:
    for code in _INLINE.findall(prose(page)):
        if not re.match(r"menshen [a-z]", code):
            continue
        words = re.split(r"[|.,;]", code)[0].split()[1:]
        understands(words)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_make_target_that_is_named_exists(page: Path) -> None:
    shown = "\n".join(found[2] for found in _FENCE.finditer(page.read_text()) if found[1] in {*SHELL, ""})
    named = re.findall(r"^(?:[$#] )?make (?:[A-Z]+=\S+ )*([a-z]+)\b", shown, re.M)
    named += [
        found[1] for code in _INLINE.findall(prose(page)) if (found := re.match(r"make ([a-z]+)", code))
    ]
    assert set(named) - targets() == set()


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w -]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target}: there is no such file"
        if anchor:
            headings = {slug(one) for one in _HEADING.findall(there.read_text())}
            assert anchor in headings, f"{target}: {there.name} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_file_of_ours_that_is_named_exists(page: Path) -> None:
    named = {code for code in _INLINE.findall(prose(page)) if _PATH.fullmatch(code)}
    missing = [name for name in named if not name.startswith(NOT_KEPT) and not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_of_this_machine_is_written_down(page: Path) -> None:
    text = page.read_text()
    assert str(ROOT) not in text
    assert re.findall(r"\w+://\S+", text) == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        names = (target.partition("#")[0] for target in _LINK.findall(page.read_text()))
        ahead += [(page.parent / name).resolve() for name in names if name.endswith(".md")]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


def test_the_readme_has_room_for_the_table_of_the_demo() -> None:
    page = readme.README.read_text()
    run = "a title\n│ row │\nPASS      every attempt was denied"
    assert "│ row │" in readme.filled(page, run)
    assert readme.filled(readme.filled(page, run), run) == readme.filled(page, run)


@pytest.mark.parametrize("run", ["", "a title\nFAIL      2 attempts succeeded"])
def test_a_run_that_did_not_pass_is_no_picture(run: str) -> None:
    with pytest.raises(ValueError, match="did not pass"):
        readme.filled(readme.README.read_text(), run)


def test_the_first_policy_of_the_readme_has_ten_lines() -> None:
    first = next(block for block in DOCUMENTS if block.page.name == "README.md")
    assert len(first.text.strip().splitlines()) == 10
