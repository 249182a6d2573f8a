"""Menshen's own programs: isolated launchers, known by their digest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import main
from enforcer.enrolment import enrol_self, launcher_fault
from enforcer.places import Places
from identity import catalogue_file
from identity.catalogue import Catalogue, Entry, Source
from identity.executables import sha256


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A Python environment with a library."""
    prefix = tmp_path / "venv"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python").symlink_to(sys.executable)
    (prefix / "lib").mkdir()
    (prefix / "lib/x.cpython.so").write_bytes(b"\x7fELF and more")
    (prefix / "lib/x.py").write_text("no code that is mapped")
    return prefix


def test_launchers_libraries_and_their_identities(places: Places, prefix: Path) -> None:
    enrol_self(places, prefix, service=False)
    known = {Path(entry.path).name: entry.identity for entry in catalogue_file.load(places.catalogue)}
    assert known == {
        "menshen": "menshen/cli",
        "menshen-agent": "menshen/agent",
        "menshen-watch": "menshen/watch",
        "menshen-early": "menshen/early",
        "x.cpython.so": "menshen/lib",
    }
    assert (prefix / "bin/menshen-agent").read_text().startswith(f"#!{prefix}/bin/python -I\n")
    assert os.access(prefix / "bin/menshen-agent", os.X_OK)


def test_enrolling_again_is_the_same_and_forgets_what_is_gone(places: Places, prefix: Path) -> None:
    other = Entry(b"o" * 32, "os/coreutils", Source.PACKAGE, "/usr/bin/ls")
    places.catalogue.parent.mkdir(parents=True)
    catalogue_file.save(Catalogue([other]), places.catalogue)
    enrol_self(places, prefix, service=False)
    before = (prefix / "bin/menshen").stat().st_ino
    (prefix / "lib/x.cpython.so").unlink()
    enrol_self(places, prefix, service=False)
    found = catalogue_file.load(places.catalogue)
    assert (prefix / "bin/menshen").stat().st_ino == before
    assert other in list(found)
    assert len(found) == 5


def test_the_caller_cannot_choose_what_runs_under_the_launchers_digest(places: Places, prefix: Path) -> None:
    enrol_self(places, prefix, service=False)
    evil = prefix.parent / "evil/enforcer"
    evil.mkdir(parents=True)
    (evil / "__init__.py").write_text("print('evil')")
    done = subprocess.run(
        [prefix / "bin/menshen", "--version"],
        env={"PYTHONPATH": str(evil.parent), "PATH": os.environ["PATH"]},
        cwd=evil.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "evil" not in done.stdout


def test_the_unit_is_installed_with_the_right_path(places: Places, prefix: Path) -> None:
    arguments = ["enrol-self", "--service", "--prefix", str(prefix), "--root", str(places.root)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    unit = (places.root / "etc/systemd/system/menshen.service").read_text()
    assert f"ExecStart={prefix}/bin/menshen-agent\n" in unit
    unit = (places.root / "etc/systemd/system/menshen-watch.service").read_text()
    assert f"ExecStart={prefix}/bin/menshen-watch\n" in unit


def test_a_folder_that_is_no_environment(places: Places, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["enrol-self", "--prefix", str(tmp_path), "--root", str(places.root)])
    assert done.exit_code == 1
    assert "is no Python environment" in done.output


def test_an_altered_launcher_would_not_be_known_again(
    places: Places, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol_self(places, prefix, service=False)
    script = prefix / "bin/menshen-agent"
    assert "isolated" in launcher_fault(places, script)
    flags = type("Flags", (), {"isolated": 1})()
    monkeypatch.setattr("enforcer.enrolment.sys", type("Sys", (), {"flags": flags}))
    assert launcher_fault(places, script) == ""
    script.write_text(script.read_text() + "# altered\n")
    assert "does not know" in launcher_fault(places, script)
    assert sha256(script)
