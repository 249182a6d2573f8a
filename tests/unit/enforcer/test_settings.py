"""agent.yaml: what may be written, and errors that say where and what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from enforcer.errors import EnforcerError
from enforcer.settings import Settings, load, parse

WRONG = [
    ("rescan: 1", "agent.yaml:1:1: rescan is a number from 10"),
    ("a: 1\nscan: [relative]", "agent.yaml:2:1: scan is a list of absolute folders"),
    ("scann: []", "there is no setting 'scann'; there are scan,"),
    ("guard: maybe", "guard is true or false"),
    ("log_bytes: true", "log_bytes is a number"),
    ("log_bytes: 1.5", "log_bytes is a number"),
    ("scan: /opt", "scan is a list"),
    ("- a", "must be a mapping"),
    ("a: [", "is not YAML"),
    ("a: &x [*x]", ""),
    ("\x00", "is not YAML"),
    ("? [a, b]\n: 1", ""),
    ("x" * (2 << 20), "larger than"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said or text[:12] for text, said in WRONG])
def test_wrong_settings(text: str, said: str) -> None:
    with pytest.raises(EnforcerError) as error:
        parse(text.encode(), "agent.yaml", Settings)
    assert said in str(error.value)


def test_nothing_written_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "missing", Settings) == Settings()
    assert parse(b"", "x", Settings) == Settings()
    assert parse(b"# only words\n", "x", Settings) == Settings()


def test_settings() -> None:
    given = parse(b"scan: [/opt/a]\npoll: 1\nguard: false\nlog_files: 2\n", "x", Settings)
    assert given == Settings(scan=("/opt/a",), poll=1, guard=False, log_files=2)


def test_every_setting_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/operate.md").read_text()
    assert [field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in page] == []
