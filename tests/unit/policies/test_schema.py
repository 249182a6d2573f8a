"""The schema: valid draft-07, of one mind with the reader, complete, and documented."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from policies import reference
from policies.compile.assemble import CAPABILITIES
from policies.image import Special
from policies.shape import SCHEMAS
from policies.special import TABLE
from tests.policy_strategies import World, make_policies
from tests.unit.policies import test_parse, test_sequence
from tests.unit.policies.helpers import faults, policy, protection, together

FILES = sorted(SCHEMAS.glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


REGISTRY: Registry[Any] = Registry().with_resources(
    (path.name, Resource.from_contents(load(path), default_specification=DRAFT7)) for path in FILES
)


def accepts(text: str) -> bool:
    """Whether the schema alone accepts every document, as an editor would see it."""
    checker = jsonschema.Draft7Validator({"$ref": "menshen.json"}, registry=REGISTRY)
    return all(checker.is_valid(document) for document in yaml.safe_load_all(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_schema_is_valid_draft_07(path: Path) -> None:
    jsonschema.Draft7Validator.check_schema(load(path))


# What the reader knows and a schema cannot say, or says in another kind's document.
BEYOND = {
    "relative path", "double slash", "slash at the end", "dot", "dot dot", "abstract name under files",
    "host bits", "no address", "mapped network", "empty range", "ports of icmp", "reserved identity",
    "no kind", "not a mapping",
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(test_sequence.MISTAKES.keys() - test_sequence.BEYOND))
def test_an_editor_sees_the_mistakes_in_sequences(case: str) -> None:
    assert not accepts(test_sequence.MISTAKES[case][0])


def test_an_editor_accepts_every_field_of_a_sequence() -> None:
    assert not faults(test_sequence.BLOCKING)
    assert not faults(test_sequence.EVERYTHING)
    assert accepts(test_sequence.BLOCKING)
    assert accepts(test_sequence.EVERYTHING)


@pytest.mark.parametrize("case", sorted(test_parse.MISTAKES.keys() - BEYOND))
def test_an_editor_sees_the_mistakes_that_the_reader_refuses(case: str) -> None:
    assert not accepts(test_parse.MISTAKES[case][0])


@pytest.mark.parametrize("seed", range(40))
def test_an_editor_accepts_what_the_reader_accepts(seed: int) -> None:
    text = make_policies(random.Random(seed), World(), rules=10, base=True)
    assert not faults(text)
    assert accepts(text)


def test_an_editor_accepts_every_field() -> None:
    body = """
        base: true
        jit: true
        files:
          - {allow: [map-exec], paths: [/a], unsigned: true}
          - {deny: [execute], paths: [/a], mode: audit}
        exec:
          - {paths: [/a], as: own, unsigned: false}
        network:
          - {allow: connect, to: {cidr: 10.0.0.0/8, ports: [1, "2-3", "4"], protocol: sctp}}
          - {deny: listen, address: "::1", protocol: any, ports: [0], mode: enforce}
          - {allow: listen, unix: "@a*"}
          - {allow: connect, to: {unix: "/run/*.sock"}}
        special:
          allow: [bpf, {kill: [a/b]}]
          capabilities: [sys_admin]
    """
    text = together(
        policy(body),
        protection('[/a, "@b"]', "[mount, connect]", only="[{identity: a/b}]"),
        "apiVersion: menshen/v1\nkind: TrustRoot\nanything: 1\n",
    )
    assert not faults(text)
    assert accepts(text)


def test_words_are_those_of_the_image() -> None:
    definitions = load(SCHEMAS / "common.json")["definitions"]
    assert definitions["specialWord"]["enum"] == [special.word for special in Special]
    assert definitions["capability"]["enum"] == list(CAPABILITIES)
    assert set(TABLE) == set(Special)
    assert {name for covers in TABLE.values() for name in covers.capabilities} <= set(CAPABILITIES)


def test_capabilities_are_numbered_as_in_the_kernel_headers() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("no kernel headers")
    known = dict(re.findall(r"#define CAP_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE))
    assert {name.upper(): str(number) for number, name in enumerate(CAPABILITIES)} == known


def test_every_field_is_described() -> None:
    def undescribed(schema: object, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        missing = []
        for name, each in schema.get("properties", {}).items():
            if "$ref" not in each and "description" not in each:
                missing.append(f"{path}.{name}")
            missing += undescribed(each, f"{path}.{name}")
        for name, each in schema.get("definitions", {}).items():
            missing += undescribed(each, name)
        return missing

    for name in ("common.json", "policy.json", "protection.json", "sequence.json"):
        schema = load(SCHEMAS / name)
        found = undescribed(schema, name)
        assert not [each for each in found if "Towards" not in each or "." not in each], found


@pytest.mark.parametrize("template", reference.PAGES)
def test_the_reference_is_up_to_date(template: str) -> None:
    page = reference.PAGES[template].read_text()
    assert page == reference.render(template), "run: python -m policies.reference"


@pytest.mark.parametrize("template", reference.PAGES)
def test_the_documents_in_the_reference_are_good(template: str) -> None:
    blocks = re.findall(r"```yaml\n(apiVersion.*?)```", reference.render(template), re.DOTALL)
    assert blocks
    for block in blocks:
        assert not faults(block)
        assert accepts(block)
