"""Trust roots: what they may say, and errors that tell where and what to write instead."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import located_yaml, trust_file
from identity.errors import IdentityError
from identity.keys import save_pair
from tests.unit.identity.helpers import key, key_yaml, root_yaml, trust

GOOD_KEY = key_yaml(key())
ID = "a" * 64

BAD: list[tuple[str, str, int, str]] = [
    # what is wrong, the document, the line it is on, a part of the message
    ("another kind", root_yaml(GOOD_KEY).replace("TrustRoot", "Policy"), 2, "kind: TrustRoot"),
    ("another version", root_yaml(GOOD_KEY).replace("menshen/v1", "menshen/v9"), 1, "apiVersion: menshen/v1"),
    ("a list on top", "- a\n", 1, "not a mapping"),
    ("a number for a name", root_yaml(GOOD_KEY, name="7"), 3, "a number, not a string"),
    ("a name that is none", root_yaml(GOOD_KEY, name="Pay"), 3, "lower-case"),
    (
        "a misspelt field",
        root_yaml(key_yaml(key(), more="expire: 2027-01-01\n")),
        11,
        "write instead: expires",
    ),
    ("a field twice", root_yaml(key_yaml(key(), more='identities: ["x"]\n')), 11, "twice"),
    ("no name to give", root_yaml(key_yaml(key(), "[]")), 10, "no name at all"),
    ("names not in a list", root_yaml(key_yaml(key(), '"payments/*"')), 10, "not a list"),
    ("a pattern of nothing", root_yaml(key_yaml(key(), '["Pay/*"]')), 10, "can match no name"),
    ("a reserved name", root_yaml(key_yaml(key(), '["os/*"]')), 10, 'reserved: ["os/"]'),
    ("a pattern for all names", root_yaml(key_yaml(key(), '["**"]')), 10, "reserved"),
    ("a pattern over reserved names", root_yaml(key_yaml(key(), '["*/api"]')), 10, "reserved"),
    ("an unknown prefix", root_yaml(GOOD_KEY, more="reserved: [usr/]\n"), 11, "os/, menshen/"),
    ("a date of no calendar", root_yaml(key_yaml(key(), more="expires: 2027-02-30\n")), 11, "not a time"),
    ("a date in words", root_yaml(key_yaml(key(), more="expires: tomorrow\n")), 11, "a UTC time like"),
    (
        "an end before the beginning",
        root_yaml(key_yaml(key(), more="notBefore: 2027-01-02\nexpires: 2027-01-01\n")),
        12,
        "before",
    ),
    ("no key", root_yaml('    - identities: ["a/*"]\n'), 6, "the key itself is missing"),
    ("a key of junk", root_yaml('    - {publicKey: junk, identities: ["a/*"]}\n'), 6, "not a PEM public key"),
    (
        "a path without an id",
        root_yaml('    - {path: x.pub, identities: ["a/*"]}\n'),
        6,
        "pinned by its keyId",
    ),
    (
        "a path to nothing",
        root_yaml(f'    - {{keyId: {ID}, path: x.pub, identities: ["a/*"]}}\n'),
        6,
        "cannot read",
    ),
    ("another key's id", root_yaml(key_yaml(key(), more=f"keyId: {ID}\n")), 11, key().public.key_id),
    ("a revocation of nothing", root_yaml(GOOD_KEY, more="revoked: [{reason: x}]\n"), 11, "names one of"),
    (
        "a revocation of two",
        root_yaml(GOOD_KEY, more=f"revoked: [{{keyId: {ID}, sha256: {ID}, reason: x}}]\n"),
        11,
        "one of",
    ),
    ("a revocation without reason", root_yaml(GOOD_KEY, more=f"revoked: [{{keyId: {ID}}}]\n"), 11, "reason"),
    ("a short digest", root_yaml(GOOD_KEY, more="revoked: [{keyId: abc, reason: x}]\n"), 11, "64 lower-case"),
    ("an anchor", root_yaml(GOOD_KEY) + "  revoked: &a []\n", 11, "anchors"),
    ("a tag", root_yaml(GOOD_KEY) + "  revoked: !!python/object:os.system []\n", 11, "tags"),
    ("half a document", root_yaml(GOOD_KEY) + "  revoked: [\n", 12, "not YAML"),
    ("a tab", root_yaml(GOOD_KEY) + "\tx: 1\n", 11, "not YAML"),
]


@pytest.mark.parametrize(("what", "document", "line", "part"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_trust_root_is_refused_with_its_place_its_line_and_what_to_write(
    what: str, document: str, line: int, part: str
) -> None:
    with pytest.raises(IdentityError) as caught:
        trust(document)
    error = caught.value
    assert error.place is not None, what
    assert (error.place.file, error.place.line) == ("trust.yaml", line), error
    assert error.place.column >= 1
    assert part in str(error)
    lines = document.splitlines()
    if line <= len(lines):
        assert lines[line - 1].strip()[:20] in str(error).replace("?x", "\tx")


def test_a_good_trust_root_says_whom_it_believes() -> None:
    known = trust(root_yaml(GOOD_KEY, key_yaml(key("b"), '["web/**"]', "notBefore: 2027-01-01T00:00:00Z\n")))
    (grant,) = known.grants(key("b").public.key_id)
    assert (grant.identities, grant.not_before) == (("web/**",), 1_798_761_600)
    assert not known.grants(ID)


def test_a_key_can_be_read_from_a_file_beside_the_document_if_its_id_is_pinned(tmp_path: Path) -> None:
    save_pair(key(), tmp_path / "k")
    entry = f'    - {{keyId: {key().public.key_id}, path: k.pub, identities: ["a/*"]}}\n'
    (tmp_path / "root.yaml").write_text(root_yaml(entry))
    known = trust_file.load([tmp_path])
    assert known.grants(key().public.key_id)[0].gives("a/b")


def test_a_directory_gives_all_its_yaml_files_and_many_documents_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        root_yaml(GOOD_KEY) + "---\n" + root_yaml(GOOD_KEY, name="two") + "---\n"
    )
    (tmp_path / "b.yml").write_text(root_yaml(GOOD_KEY, name="three"))
    (tmp_path / "ignored.txt").write_text("junk")
    assert [root.name for root in trust_file.load([tmp_path]).roots] == ["payments", "two", "three"]


def test_two_roots_of_one_name_are_refused_and_both_places_told(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(root_yaml(GOOD_KEY))
    with pytest.raises(IdentityError, match=r"(?s)b\.yaml:3:18.*a\.yaml:3:18"):
        trust_file.load([tmp_path])


def test_the_fingerprint_changes_with_what_is_believed_and_with_nothing_else() -> None:
    plain = trust(root_yaml(GOOD_KEY)).fingerprint
    assert trust("# a comment\n" + root_yaml(GOOD_KEY)).fingerprint == plain
    changed = [
        root_yaml(key_yaml(key(), '["payments/*", "web/*"]')),
        root_yaml(key_yaml(key(), more="expires: 2027-01-01\n")),
        root_yaml(GOOD_KEY, more=f"revoked: [{{keyId: {ID}, reason: x}}]\n"),
    ]
    assert len({plain, *(trust(document).fingerprint for document in changed)}) == 4


BOMBS = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "[" * 100_000,
    "{a: " * 100_000,
    "- " * 100_000,
    "? " * 100_000,
    "a: b\n" * 60_000,
    "x" * (located_yaml.MAX_BYTES + 1),
    '"' + "\\x" * 1000,
    "%YAML 9.1\n---\na",
    "!!binary a",
    "\0",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
@pytest.mark.timeout(20)
def test_a_yaml_bomb_is_refused_quickly(bomb: str) -> None:
    with pytest.raises(IdentityError):
        trust(bomb)


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(IdentityError, match=r"^t\.yaml:2:1: not UTF-8"):
        trust_file.parse(b"a: b\n\xff\n", "t.yaml", Path("/"))


def test_an_error_shows_no_control_characters_of_the_file() -> None:
    with pytest.raises(IdentityError) as caught:
        trust('"\\e[31m": "\x85\u202e"\n')
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))


WORDS = (
    "publicKey: |\n",
    "identities: ",
    "    - ",
    "metadata: {name: x}\n",
    "spec:\n",
    "  keys:\n",
    "&a ",
    "*a",
    "é",
)
HEAD = "apiVersion: menshen/v1\n", "kind: TrustRoot\n", "---\n", "  ", ": ", "!!", "?", "%", "\t", "#", "\n"
fragments = st.sampled_from([*WORDS, *HEAD, *"[]{}'\""])


@given(st.binary(max_size=300) | st.lists(fragments, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_are_trust_roots_or_are_refused(content: bytes) -> None:
    with contextlib.suppress(IdentityError):
        trust_file.parse(content, "t.yaml", Path("/nowhere"))


@given(st.integers(0, 20_000), st.binary(max_size=4))
def test_a_damaged_trust_root_is_read_or_refused(at: int, junk: bytes) -> None:
    good = textwrap.dedent(root_yaml(GOOD_KEY, more=f"revoked: [{{keyId: {ID}, reason: x}}]\n")).encode()
    at %= len(good)
    with contextlib.suppress(IdentityError):
        trust_file.parse(good[:at] + junk + good[at + 1 :], "t.yaml", Path("/nowhere"))
