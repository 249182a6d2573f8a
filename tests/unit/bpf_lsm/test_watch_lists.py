"""The keyed hash of strings, and what the watch's lists look like in the kernel."""

from __future__ import annotations

import struct

import pytest

from bpf_lsm import watch_lists
from bpf_lsm.collection import EXE_KEY
from bpf_lsm.observation import Type
from bpf_lsm.siphash import siphash128

KEY = struct.unpack("<QQ", bytes(range(16)))

# The published vectors of SipHash-2-4-128 (vectors_sip128 of the reference): key 00..0f, input 00, 01, ...
VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    2: "8177228da4a45dc7fca38bdef60affe4",
    3: "9c70b60c5267a94e5f33b6b02985ed51",
    63: "5150d1772f50834a503e069a973fbd7c",
}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_the_hash_gives_the_published_vectors(length: int, expected: str) -> None:
    assert siphash128(KEY, bytes(range(length))).hex() == expected


def test_a_mask_has_the_bits_of_its_types() -> None:
    assert watch_lists.mask([Type.EXEC, Type.DENIAL]).tolist() == [1 << 1, 1 << (70 - 64)]


def test_a_program_is_listed_with_its_end_and_a_folder_without() -> None:
    rows = watch_lists.exe_rows({b"/bin/sh": [Type.EXEC], b"/bin/": [Type.EXEC]})
    bits = {key[4:].rstrip(b"\0"): struct.unpack_from("=I", key)[0] for key in rows}
    assert bits == {b"/bin/sh": 8 * 8, b"/bin/": 5 * 8}
    assert {len(key) for key in rows} == {EXE_KEY.itemsize}


def test_a_first_look_finds_names_and_folders_apart() -> None:
    names, folders = watch_lists.read_filters([b"/etc/shadow", b".ssh/"])
    assert sum(int(word).bit_count() for word in names) == 1
    assert sum(int(word).bit_count() for word in folders) == 1
