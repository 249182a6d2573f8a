"""Shortcuts: a name taken at once leads where its bytes lead, and the common names have one."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from policies import Evaluator, compile_documents, parse_text
from policies.compile.shortcuts import words
from policies.image import (
    SHORT_NAME,
    STATE_FLAGS,
    STATE_NAMES,
    STATE_SHORTCUT,
    STATE_SINK,
    SYM_BEHIND,
    SYM_BYTE,
    SYM_REST,
    SYM_STOPS,
    hash_name,
)
from policies.layout import NAME
from tests.policy_strategies import World, make_policies, randoms
from tests.unit.policies.helpers import policy

WORLD = World(root="/r", folders=("a", "ab"), files=("x", "x.log"), new_names=("n",))
NAMES = [
    *WORLD.folders, *WORLD.files, *WORLD.new_names, "r", "zz", "x.lo", "x.logs", "key", "ab.", "..x", "-",
    "a" * 8, "a" * 9, "ab" + "x" * 14, "ab" + "x" * 15, "x" * 40 + ".log", "\xff\xfe",
]  # fmt: skip


class Walker:
    """Reads an image as the kernel does: bpf_lsm/src/automaton.h, path.h."""

    def __init__(self, image: bytes) -> None:
        self.evaluator = Evaluator(image)
        header = self.evaluator.header
        count = int(header["names_mask"]) + 1
        self.names: Any = np.frombuffer(image, dtype=NAME, count=count, offset=int(header["off_names"]))
        self.start = int(header["start"])
        self.taken = 0

    def behind(self, state: int, name: bytes) -> int:
        """The state behind a slash and a name."""
        if state & STATE_SINK:
            return state
        if state & STATE_SHORTCUT and len(name) <= SHORT_NAME and (short := self.short(state, name)):
            self.taken += 1
            return short
        for byte in b"/" + name:
            state = self.evaluator.step(state, SYM_BYTE + byte)
        return state

    def short(self, state: int, name: bytes) -> int:
        low, high = words(name)
        step = self.evaluator.step
        if state & STATE_NAMES:
            behind = step(state, SYM_BEHIND)
            for place in hash_name(behind, low, high, len(self.names)):
                entry = self.names[place]
                if (entry["low"], entry["high"], entry["state"]) == (low, high, behind):
                    return int(entry["next"])
        stops = step(state, SYM_STOPS).to_bytes(4, "little")
        return 0 if any(byte and byte in name for byte in stops) else step(state, SYM_REST)


@given(randoms())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_names_lead_where_their_bytes_lead(rng: random.Random) -> None:
    image = compile_documents(parse_text(make_policies(rng, WORLD, rules=8, base=rng.random() < 0.2))).image
    walker = Walker(image)
    found = walker.evaluator
    for _ in range(60):
        state = walker.start
        path = b""
        for name in rng.choices(NAMES, k=rng.randint(1, 6)):
            encoded = name.encode("latin-1")
            path += b"/" + encoded
            state = walker.behind(state, encoded)
            bytewise = found.state(path)
            assert found.class_of(state) == found.class_of(bytewise), path
            assert found.subtree(state) == found.subtree(bytewise), path
            assert found.inside(state) == found.inside(bytewise), path
            if state & STATE_SINK:
                break


ALL_AT_ONCE = [
    ("files:\n  - {allow: [read], paths: ['/srv/data/**']}\n", "/srv/data/some/where/file"),
    (
        "files:\n  - {allow: [read], paths: ['/srv/**']}\n  - {deny: [read], paths: ['/srv/**/*.key']}\n",
        "/srv/data/some/where",
    ),
    ("files:\n  - {allow: [read], paths: ['/srv/service-1/x', '/srv/service-22/y']}\n", "/srv/service-22/y"),
    ("files:\n  - {allow: [read], paths: ['/**/.ssh/**', '/**/id_rsa', '/a/*.pem']}\n", "/usr/b/a"),
]


@pytest.mark.parametrize(("body", "path"), ALL_AT_ONCE)
def test_the_names_of_common_patterns_are_taken_at_once(body: str, path: str) -> None:
    walker = Walker(compile_documents(parse_text(policy(body))).image)
    state = walker.start
    names = path.encode().split(b"/")[1:]
    for name in names:
        walker.taken += bool(state & STATE_SINK)
        state = walker.behind(state, name)
    assert walker.taken == len(names)
    assert state & ~STATE_FLAGS == walker.evaluator.state(path.encode())


def test_thousands_of_names_find_a_place_each() -> None:
    paths = ", ".join(f'"/srv/service-{number}/config"' for number in range(3000))
    walker = Walker(
        compile_documents(parse_text(policy(f"files:\n  - {{allow: [read], paths: [{paths}]}}\n"))).image
    )
    assert np.count_nonzero(walker.names["low"]) >= 3001
    assert len(walker.names) <= 4 * 3002
    state = walker.behind(walker.start, b"srv")
    for number in range(0, 3000, 37):
        assert walker.behind(state, b"service-%d" % number) & ~STATE_FLAGS == walker.evaluator.state(
            b"/srv/service-%d" % number
        )
