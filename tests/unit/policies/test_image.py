"""The image: whole, deterministic, and refused when it is not."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Evaluator, PolicyError, compile_documents, load_paths, parse_text
from policies.compile.cells import N_RIGHTS
from policies.layout import CELL, HEADER, IDENTITY, ROW, TARGET
from policies.meta import Meta, decode, encode
from policies.names import identity_id
from tests.examples import examples
from tests.policy_strategies import World, make_policies
from tests.unit.policies.helpers import compiled, policy, protection

ROOT = Path(__file__).parents[3]


def text(seed: int = 3) -> str:
    return make_policies(random.Random(seed), World(), rules=8, base=True)


def test_sections_lie_one_behind_the_other_and_aligned() -> None:
    image = compile_documents(parse_text(text())).image
    header = np.frombuffer(image, HEADER, 1)[0]
    sizes = [
        ("off_rows", ROW.itemsize * header["n_rows"]),
        ("off_targets", TARGET.itemsize * header["n_targets"]),
        ("off_identities", IDENTITY.itemsize * header["n_identities"]),
        ("off_cells", CELL.itemsize * header["n_cells"]),
        ("off_grid", 2 * header["n_rows"] * header["n_classes"]),
    ]
    end = HEADER.itemsize
    for name, size in sizes:
        assert header[name] >= end
        assert header[name] % 64 == 0
        end = int(header[name] + size)
    assert header["off_meta"] >= end
    assert header["off_meta"] % 8 == 0
    assert header["size"] == len(image) >= header["off_meta"] + header["meta_size"]
    assert header["generation"] == 0


def test_the_hash_is_of_everything_but_itself_and_the_generation() -> None:
    found = compile_documents(parse_text(text()))
    image = bytearray(found.image)
    image[8:16] = bytes(8)
    image[16:48] = bytes(32)
    assert hashlib.sha256(image).hexdigest() == found.hash
    image[8:16] = (7).to_bytes(8, "little")
    image[16:48] = bytes.fromhex(found.hash)
    assert int(Evaluator(bytes(image)).header["generation"]) == 7


def test_identities_are_sorted_and_lead_to_their_rows() -> None:
    app = policy("special: {allow: [{kill: [test/victim]}]}")
    found = Evaluator(compiled(app, protection("[/k]", "[read]", only="[{identity: os/sshd}]")).image)
    known = [int(each["identity"]) for each in found.identities]
    assert known == sorted(identity_id(name) for name in ("test/app", "os/sshd", "test/victim"))
    for name in ("test/app", "os/sshd", "test/victim"):
        assert found.meta.rows[found.row(name)] == name
    assert (found.row("test/unknown"), found.row(None), found.row(0)) == (0, 1, 1)


def test_bytes_that_mean_nothing_are_zero() -> None:
    found = Evaluator(compile_documents(parse_text(text())).image)
    assert not found.identities["reserved"].any()
    for part in (found.cells["reserved"], found.cells["padding"], found.cells["rule"][:, N_RIGHTS:]):
        assert not part.any()


def test_every_cell_has_a_foreign_cell_without_protections() -> None:
    found = Evaluator(compile_documents(parse_text(text())).image)
    for cell in found.cells:
        assert int(cell["foreign"]) < len(found.cells)
        beyond = found.cells[int(cell["foreign"])]
        assert int(beyond["foreign"]) == int(cell["foreign"])
        assert int(cell["allow"]) & ~int(beyond["allow"]) == 0
        assert int(cell["allow"]) & int(cell["enforce"]) == 0


def test_the_same_policies_make_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    source = tmp_path / "p.yaml"
    source.write_text(text())
    images = []
    for seed in ("0", "1"):
        output = tmp_path / seed
        command = [sys.executable, "-m", "policies.compile", str(source), "-o", str(output)]
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert "sha256" in done.stdout
        images.append(output.read_bytes())
    assert images[0] == images[1] == compile_documents(load_paths([source])).image


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "p.yaml"
    source.write_text("kind: Nothing\n")
    command = [sys.executable, "-m", "policies.compile", str(source), "-o", str(tmp_path / "x")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{source}:1:7: unknown kind" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_description_survives_its_way_through_the_image() -> None:
    found = compile_documents(parse_text(text()))
    read = Evaluator(found.image).meta
    assert read.rows == found.meta.rows
    assert read.patterns == found.meta.patterns
    assert read.classes == found.meta.classes
    assert [(r.kind, r.owner, r.place, r.mode, r.text) for r in read.rules] == [
        (r.kind, r.owner, r.place, r.mode, r.text) for r in found.meta.rules
    ]
    assert decode(encode(read)) == read


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda image: b"",
    "cut in the header": lambda image: image[:100],
    "cut": lambda image: image[:-64],
    "other magic": lambda image: b"X" + image[1:],
    "other version": lambda image: image[:4] + b"\xff" + image[5:],
    "one bit": lambda image: image[:5000] + bytes([image[5000] ^ 1]) + image[5001:],
    "other hash": lambda image: image[:20] + bytes([image[20] ^ 1]) + image[21:],
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_image_is_refused(case: str) -> None:
    image = compile_documents(parse_text(text())).image
    with pytest.raises(PolicyError):
        Evaluator(DAMAGE[case](image))


@given(st.binary(max_size=400))
@examples(200)
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    image = compiled(policy("")).image
    for candidate in (
        data,
        image[:128] + data,
        image[: HEADER.itemsize] + data + image[HEADER.itemsize + len(data) :],
    ):
        if candidate != image:
            with pytest.raises(PolicyError):
                Evaluator(candidate)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"version":2}', b"\xff", b"[" * 100_000])
def test_a_damaged_description_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)


def test_classes_name_their_patterns() -> None:
    found = Evaluator(compiled(policy('files:\n  - {allow: [read], paths: ["/a/**"]}\n')).image)
    names = found.meta.patterns
    below, _ = found.classify(b"/a/x")
    directory, _ = found.classify(b"/a")
    assert [names[each] for each in found.meta.classes[below]] == ["/a/**"]
    assert [names[-each - 1] for each in found.meta.classes[directory]] == ["/a/**"]
    assert found.meta.classes[0] == ()


@pytest.mark.parametrize("number", [1, -1])
def test_a_description_that_names_a_pattern_that_is_not_there_is_damaged(number: int) -> None:
    damaged = encode(Meta((), (), ("/a",), (), (number,)))
    with pytest.raises(ValueError, match="a pattern is named that is not there"):
        decode(damaged)
