"""The evaluator's answers one by one: masks, other names, defaults, and images that are refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import pytest

from policies import Evaluator, PolicyError, PolicyErrors, compile_documents, parse_text
from policies.compile.assemble import CAPABILITIES
from policies.evaluate import ALLOWED, NO_RIGHT, Verdict
from policies.image import STATE_SINK, SYM_CLASS, SYM_DEFAULT, SYM_SUBTREE, Right, Special
from policies.layout import HEADER
from policies.operations import Name, Operations, first_denial
from tests.unit.policies.helpers import compiled, evaluator, operations, policy, protection, together

YES = Verdict(True, rule=5, right=1)
TOLD = Verdict(True, reported=True, rule=6, right=2)
TOLD_LATER = Verdict(True, reported=True, rule=7, right=3)
NO = Verdict(False, reported=True, enforced=True, rule=8, right=4)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], ALLOWED),
        ([YES], YES),
        ([YES, ALLOWED], YES),
        ([YES, TOLD], TOLD),
        ([TOLD, TOLD_LATER], TOLD),
        ([TOLD, YES], TOLD),
        ([YES, NO, TOLD], NO),
        ([TOLD, NO], NO),
    ],
)
def test_the_first_denial_ends_a_call_and_else_the_first_report_is_told(
    steps: Sequence[Verdict], told: Verdict
) -> None:
    assert first_denial(steps) == told


@pytest.mark.parametrize("special", Special)
def test_a_special_right_is_its_own_bit(special: Special) -> None:
    found = evaluator(policy(f"special: {{allow: [{special.word}]}}"))
    row = found.row("test/app")
    for other in Special:
        verdict = found.special(row, other)
        assert verdict.allowed == (other is special)
        assert verdict.enforced == (other is not special)
        assert other is special or verdict.right == NO_RIGHT


@pytest.mark.parametrize("mode", ["audit", "enforce"])
@pytest.mark.parametrize("name", ["chown", "kill", "sys_admin", "checkpoint_restore"])
def test_a_capability_is_its_own_bit(name: str, mode: str) -> None:
    found = evaluator(policy(f"special: {{capabilities: [{name}]}}", mode=mode))
    row = found.row("test/app")
    for number, other in enumerate(CAPABILITIES):
        verdict = found.capability(row, number)
        assert verdict.reported == (other != name)
        assert verdict.enforced is (other != name and mode == "enforce")
        assert found.capability(0, number) == ALLOWED


@pytest.mark.parametrize("special", Special)
def test_in_audit_a_special_right_is_reported_only(special: Special) -> None:
    found = evaluator(policy("special: {allow: []}", mode="audit"))
    verdict = found.special(found.row("test/app"), special)
    assert (verdict.allowed, verdict.reported, verdict.enforced) == (True, True, False)


def test_what_may_be_done_to_somebody_is_that_and_nothing_else() -> None:
    found = evaluator(policy("special: {allow: [{kill: [test/victim]}]}"))
    row = found.row("test/app")
    for special in Special:
        assert found.special(row, special, "test/victim").allowed == (special is Special.KILL)
        assert not found.special(row, special, "test/other").allowed


ALIASED = (
    policy('files: [{allow: [read], paths: ["/free/*", "/soft/*", "/hard/*", "/none/*"]}]', mode="{own}"),
    protection('["/soft/*"]', "[read]", mode="audit", name="soft"),
    protection('["/hard/*"]', "[read]", mode="enforce", name="hard"),
)


@pytest.mark.parametrize(
    ("path", "alias", "told"),
    [
        ("/free/x", "/free/y", ""),
        ("/free/x", "/soft/y", "soft"),
        ("/free/x", "/hard/y", "hard"),
        ("/soft/x", "/free/y", "soft"),
        ("/soft/x", "/hard/y", "hard"),
        ("/hard/x", "/soft/y", "hard"),
        ("/else/x", "/soft/y", "app"),
        ("/else/x", "/hard/y", "hard"),
        ("/free/x", "/else/y", ""),
    ],
)
def test_of_two_names_the_stricter_counts_and_the_first_of_equals(path: str, alias: str, told: str) -> None:
    """What is merely not allowed on the other name passes."""
    documents = [text.replace("{own}", "audit") for text in ALIASED]
    found = evaluator(*documents)
    app = Operations(found, found.row("test/app"))
    other, _ = found.classify(alias.encode())
    verdict = app.open(Name(path.encode(), alias=other), os.O_RDONLY)
    assert (found.meta.rules[verdict.rule].owner if verdict.reported else "") == told
    assert verdict.enforced == (told == "hard")


def test_another_name_of_what_is_out_of_reach_holds_nothing() -> None:
    found = evaluator(protection('["/k/*"]', "[read]"))
    other, _ = found.classify(b"/k/x")
    anybody = Operations(found, found.row("test/other"))
    assert anybody.open(Name(b"/f", alias=other), os.O_RDONLY).enforced
    assert not anybody.open(Name(b"/f", foreign=True, alias=other), os.O_RDONLY).reported
    assert found.denial(0, other, 1 << Right.READ).enforced
    assert not found.denial(0, other, 1 << Right.READ, foreign=True).reported


def rights(words: str) -> Operations:
    """A subject that has these rights everywhere."""
    return operations(policy(f'files: [{{allow: [{words}], paths: ["/**"]}}]'))


def test_what_was_not_said_of_a_call_is_not_asked() -> None:
    assert rights("write").open("/f", os.O_WRONLY | os.O_CREAT).allowed
    assert rights("rename, create").rename("/f", "/g").allowed
    assert not rights("rename, create").rename("/f", "/g", replaces=True).allowed
    below = policy(
        'files: [{allow: [rename, create], paths: ["/f", "/g"]}, {deny: [rename], paths: ["/f/*"]}]'
    )
    assert operations(below).exchange("/f", "/g").allowed
    assert operations(below).exchange("/g", "/f").allowed
    assert not operations(below).exchange("/f", "/g", old_is_directory=True).allowed
    assert not operations(below).exchange("/g", "/f", new_is_directory=True).allowed


@pytest.mark.parametrize("words", ["rename", "create"])
def test_an_exchange_needs_both_rights_on_both_names(words: str) -> None:
    other = policy(f"files: [{{allow: [rename, create], paths: [/f]}}, {{allow: [{words}], paths: [/g]}}]")
    assert not rights(words).exchange("/f", "/g").allowed
    assert not operations(other).exchange("/f", "/g").allowed
    assert not operations(other).exchange("/g", "/f").allowed


def test_appending_is_not_writing() -> None:
    assert rights("append").open("/f", os.O_WRONLY | os.O_APPEND).allowed
    assert rights("append").open("/f", os.O_WRONLY).right == Right.WRITE
    assert rights("append").open("/f", os.O_WRONLY | os.O_APPEND | os.O_TRUNC).right == Right.WRITE


def test_a_link_needs_both_its_rights() -> None:
    assert rights("link, create").link("/f", "/g").allowed
    assert rights("create").link("/f", "/g").right == Right.LINK
    assert rights("link").link("/f", "/g").right == Right.CREATE


def test_a_socket_in_the_file_system_is_created_and_listened_on() -> None:
    listens = 'network: [{allow: listen, unix: "/s"}, {allow: listen, unix: "@s"}]'
    assert (
        operations(policy(f"{listens}\nfiles: [{{allow: [create], paths: [/s]}}]")).unix_listen("/s").allowed
    )
    assert operations(policy(listens)).unix_listen("/s").right == Right.CREATE
    assert rights("create").unix_listen("/s").right == Right.LISTEN
    assert operations(policy(listens)).unix_listen("@s").allowed


def test_the_root_directory_is_above_everything() -> None:
    found = evaluator(protection('["/**", "/a/**"]', "[write]"))
    assert found.protected_roots() == ("/",)


# Images ----------------------------------------------------------------------------------------------------


def changed(section: str = "", field: str = "", value: int = 0, at: int = 0) -> bytes:
    """An image with one number changed and its hash made right; `section` empty: of the header."""
    image = bytearray(
        compiled(policy("special: {allow: [{kill: [test/v]}]}"), protection("[/k]", "[read]")).image
    )
    header = np.frombuffer(image, HEADER, 1)
    if section:
        found = Evaluator(bytes(image))
        table = {"rows": found.rows, "cells": found.cells, "identities": found.identities}[section]
        table = np.frombuffer(image, table.dtype, len(table), int(header[f"off_{section}"][0]))
        table[field][at] = value
    elif field:
        header[field] = value
    return sealed(image)


def sealed(image: bytearray) -> bytes:
    """With the hash of its content."""
    image[16:48] = bytes(32)
    image[16:48] = hashlib.sha256(image).digest()
    return bytes(image)


BROKEN = {
    "nothing": (changed(), ""),
    "magic": (changed(field="magic", value=1), "no policy image of this version"),
    "version": (changed(field="version", value=1), "no policy image of this version"),
    "size": (changed(field="size", value=1 << 20), "the policy image is cut: "),
    "rows behind the end": (changed(field="off_rows", value=1 << 20), "a section reaches behind its end"),
    "description behind the end": (changed(field="meta_size", value=1 << 20), "its description reaches"),
    "no rows": (changed(field="n_rows"), "no subjects or no classes"),
    "one row": (changed(field="n_rows", value=1), "no subjects or no classes"),
    "no classes": (changed(field="n_classes"), "no subjects or no classes"),
    "too few cells": (changed(field="n_cells", value=1), "a cell is named"),
    "another foreign cell": (changed("cells", "foreign", 999), "a cell is named"),
    "too few targets": (changed(field="n_targets"), "a target is named"),
    "too many targets": (changed("rows", "n_targets", 9, 2), "a target is named"),
    "another row": (changed("identities", "row", 999), "a subject is named"),
    "start behind the end": (changed(field="start", value=1 << 20), "leads behind its end"),
    "start at no state": (changed(field="start", value=1), "no default or no class"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_image_that_leads_out_of_itself_is_refused(case: str) -> None:
    image, message = BROKEN[case]
    if not message:
        assert Evaluator(image).classify(b"/k")
        return
    with pytest.raises(PolicyError, match=message):
        Evaluator(image)


@pytest.mark.parametrize("symbol", [SYM_DEFAULT, SYM_CLASS, SYM_SUBTREE])
@pytest.mark.parametrize("part", ["owner", "next"])
def test_every_state_that_is_reached_must_lead_somewhere(symbol: int, part: str) -> None:
    whole = compiled(protection('["/key"]', "[read]")).image
    found = Evaluator(whole)
    for text in (b"", b"/k", b"/key", b"/key/x"):
        image = bytearray(whole)
        at = (found.state(text) & ~STATE_SINK) + symbol
        entries = np.frombuffer(image, [("owner", "<u4"), ("next", "<u4")], len(image) // 8)
        entries[part][at] = 0x7FFF_FFFF
        with pytest.raises(PolicyError, match=r"automaton|class"):
            Evaluator(sealed(image))


def test_bytes_behind_an_image_are_no_part_of_it() -> None:
    image = compiled(policy("")).image
    found = Evaluator(image + b"more")
    assert found.row("test/app") == 2
    with pytest.raises(PolicyError, match=r"an image of \d+ bytes is no policy image"):
        Evaluator(image[: HEADER.itemsize - 1])


def test_the_largest_document_is_the_one_with_the_most_patterns() -> None:
    small = policy(
        'files: [{allow: [read], paths: ["/a/**"]}]', name="small", subject="{identity: test/small}"
    )
    mixed = policy(
        "files: [{allow: [read], paths: [/b1, /b2]}]\nexec: [{paths: [/b3, /b4]}]\n"
        "network: [{allow: connect, to: {ports: [1]}}, {allow: connect, to: {ports: [2]}}]",
        name="mixed", subject="{identity: test/mixed}",
    )  # fmt: skip
    files = policy("files: [{allow: [read], paths: [/c1, /c2, /c3, /c4, /c5]}]", name="files")
    with pytest.raises(PolicyErrors) as caught:
        compile_documents(parse_text(together(small, mixed, files)), capacity=4096)
    (error,) = caught.value.errors
    assert error.hint == (
        "put patterns with the same rights into one rule, or patterns with ** in place of many; "
        '"mixed" is the largest policy, with 6 patterns'
    )
