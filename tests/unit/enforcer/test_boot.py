"""The time before the agent: how late enforcement began, what may not be mounted, who is started first."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.agent.language import GUARD
from enforcer.boot import beginning, loading, mounts, run
from enforcer.boot.beginning import Beginning, Stage
from enforcer.enrolment import install_initramfs
from enforcer.places import Places
from policies import compile_documents, parse_text

BEGUN = Beginning(Stage.INITRAMFS, 1000.0, 2.5, started=40, running=3, programs=12)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Two kernel threads, process 1 and one of its children; twenty forks."""
    proc = tmp_path / "proc"
    for number, parent in ((1, 0), (2, 0), (9, 2), (30, 1)):
        (proc / str(number)).mkdir(parents=True)
        (proc / str(number) / "stat").write_text(f"{number} (a) name) S {parent} 0 0\n")
    (proc / "stat").write_text("cpu 1 2 3\nprocesses 20\n")
    (proc / "uptime").write_text("2.50 1.00\n")
    return proc


def test_what_was_started_is_counted_without_the_kernels_own_threads(proc: Path, tmp_path: Path) -> None:
    found = beginning.measure(Stage.UNIT, 3, proc=proc, trace=tmp_path / "none")
    assert (found.started, found.running, found.uptime, found.programs) == (18, 3, 2.5, None)
    assert "at most 18 processes had been started, 3 ran" in str(found)


def test_programs_are_the_records_of_the_trace_those_overwritten_too(proc: Path, tmp_path: Path) -> None:
    for number, text in enumerate(
        ("entries: 5\noverrun: 7\ncommit overrun: 0\n", "entries: 2\noverrun: 0\n")
    ):
        cpu = tmp_path / f"trace/per_cpu/cpu{number}"
        cpu.mkdir(parents=True)
        (cpu / "stats").write_text(text)
    found = beginning.measure(Stage.INITRAMFS, 3, proc=proc, trace=tmp_path / "trace")
    assert found.programs == 14
    assert "before the first program of the system, 2.5 s after the kernel's start: 14 programs" in str(found)


def test_the_note_is_kept_until_the_agent_has_searched(tmp_path: Path) -> None:
    path = tmp_path / "run/beginning.json"
    assert beginning.noted(path) is None
    beginning.note(BEGUN, path)
    assert beginning.noted(path) == BEGUN
    beginning.searched(path)
    assert beginning.noted(path) == replace(BEGUN, searched=True)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"stage": "moon"}', '{"stage": "unit", "more": 1}', "\xff"]
)
def test_a_note_that_is_not_ours_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "note").write_text(text, "latin-1")
    assert beginning.noted(tmp_path / "note") is None


def test_mounts_that_are_planned_and_those_that_a_protection_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/fstab").write_text(
        "# /x /commented ext4\n/dev/vda / ext4 rw\n/dev/vdb /var/log xfs\nUUID=1 none swap\n"
        "/dev/vdc /srv/with\\040space ext4\n"
    )
    (tmp_path / "etc/systemd/system/opt.mount").write_text("[Mount]\nWhat=/dev/vdd\nWhere = /opt\n")
    (tmp_path / "etc/systemd/system/masked.mount").symlink_to("/dev/null")
    planned = list(mounts.planned(tmp_path))
    assert planned == ["/", "/var/log", "/srv/with space", "/opt"]
    image = compile_documents(parse_text(GUARD.read_text())).image
    assert mounts.refused(image, planned) == [("/var/log", "menshen-records"), ("/opt", "menshen-programs")]
    assert mounts.refused(image, ["/", "/var", "/home", "/sys/kernel/tracing", "/tmp"]) == [
        ("/var", "menshen-configuration")
    ]


def test_nothing_is_done_against_menshen_off_or_without_an_image_or_where_the_agent_is_disabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from bpf_lsm import gate

    monkeypatch.setattr(gate, "is_loaded", lambda: False)
    monkeypatch.setattr(run, "log_to_journal", lambda: None)
    monkeypatch.setattr(loading, "CMDLINE", tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text("quiet\n")
    assert run.run(tmp_path, Stage.UNIT) == 0
    assert f"there is no {Places(tmp_path).last_good}" in caplog.text
    assert run.run(tmp_path, Stage.INITRAMFS) == 0
    assert "the agent does not start at this boot" in caplog.text
    (tmp_path / "cmdline").write_text("menshen=off\n")
    assert run.run(tmp_path, Stage.UNIT) == 0
    assert "started with menshen=off" in caplog.text


def test_the_scripts_are_shell_and_name_the_place_of_the_installation(tmp_path: Path) -> None:
    written = list(install_initramfs(tmp_path, tmp_path / "env", Path("/usr/lib/menshen")))
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "etc/initramfs-tools/scripts/init-top/menshen",
        "etc/initramfs-tools/scripts/init-bottom/menshen",
        "env/bin/menshen-init",
    ]
    for path in written:
        subprocess.run(["sh", "-n", path], check=True)
        assert path.stat().st_mode & 0o111
    assert "first=/usr/lib/menshen/bin/menshen-init\n" in written[1].read_text()
    assert "/usr/lib/menshen/bin/menshen-early init" in written[2].read_text()


@pytest.mark.parametrize(
    ("words", "chosen"),
    [("quiet root=/dev/vda", True), ("init=/bin/sh", False), ("quiet menshen=off", False)],
)
def test_the_initramfs_leaves_the_choice_to_the_command_line(
    tmp_path: Path, words: str, chosen: bool
) -> None:
    *_, bottom, first = install_initramfs(tmp_path, tmp_path / "root/opt/menshen", Path("/opt/menshen"))
    (tmp_path / "cmdline").write_text(f"{words}\n")
    text = bottom.read_text().replace("/proc/cmdline", str(tmp_path / "cmdline"))
    script = text.replace("/conf/param.conf", str(tmp_path / "param.conf"))
    environment = {"rootmnt": str(tmp_path / "root")}
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    assert first.exists()
    said = (tmp_path / "param.conf").read_text() if (tmp_path / "param.conf").exists() else ""
    assert said == ("init=/opt/menshen/bin/menshen-init\n" if chosen else "")
