"""A host that starts: when enforcement is on, what had run before, and that the host comes up with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.enrolment import install_initramfs
from tests.guest.debian_initramfs import COMMANDLINE, debian_initramfs
from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not os.environ.get("MENSHEN_NIGHTLY"),
        reason="boots for minutes: `make nightly`, or MENSHEN_NIGHTLY=1",
    ),
]

TRY = "cat /srv/secret >/dev/null && echo open >/run/{name}.try || echo held >/run/{name}.try"
SECRET = """\
apiVersion: menshen/v1
kind: Protection
metadata: {name: secret}
spec:
  objects: ["/srv/secret"]
  operations: [read]
  only: []
  mode: enforce
"""
"""Reading: the root file system cannot be written yet when the first program tries."""
SERVICES = ("ssh", "redis-server", "nginx", "cron")
FIRST = """\
[Unit]
DefaultDependencies=no
Before=local-fs-pre.target systemd-udevd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/sh -c '{command}'

[Install]
WantedBy=sysinit.target
"""
"""Nothing that a unit can say is earlier."""


@pytest.fixture(scope="module")
def prepared(kernel: str) -> Iterator[Guest]:
    """A host with one Protection, on which several programs try what is forbidden as they start."""
    with Guest(kernel) as guest:
        guest.run("menshen enrol-self --service --initramfs", timeout=300)
        guest.run("menshen identity enrol --packages", timeout=600)
        guest.run("systemctl start menshen", timeout=600)
        guest.put("/srv/secret", "secret\n")
        guest.put("/root/p/secret.yaml", SECRET)
        guest.run("menshen policy apply /root/p/secret.yaml", timeout=300)
        guest.put("/etc/systemd/system/first.service", FIRST.format(command=TRY.format(name="first")))
        for name in SERVICES:
            line = f"[Service]\nExecStartPre=-+/bin/sh -c '{TRY.format(name=name)}'\n"
            guest.put(f"/etc/systemd/system/{name}.service.d/try.conf", line)
        guest.run(f"systemctl daemon-reload && systemctl enable menshen first {' '.join(SERVICES)}")
        guest.run("menshen doctor", check=False)
        yield guest


@pytest.fixture(scope="module")
def initramfs(prepared: Guest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Debian's, with the scripts that `menshen enrol-self --initramfs` installs."""
    scripts = tmp_path_factory.mktemp("scripts")
    list(install_initramfs(scripts, scripts / "opt/menshen", Path("/opt/menshen")))
    return debian_initramfs(prepared.kernel, scripts), COMMANDLINE


def tries(guest: Guest) -> dict[str, str]:
    """What became of each try."""
    names = ("first", *SERVICES)
    return {name: guest.get(f"/run/{name}.try").decode().strip() for name in names}


def boot(guest: Guest) -> dict[str, Any]:
    """What the agent says of this boot; the host has come up whole."""
    failed = guest.run("systemctl --failed --no-legend --plain").stdout
    assert failed == "", failed + guest.run("journalctl -b -p warning -o cat | tail -40").stdout
    found: dict[str, Any] = json.loads(guest.run("menshen status -o json").stdout)
    assert found["mode"] == "enforcing"
    assert found["guard"]
    beginning: dict[str, Any] = found["beginning"]
    return beginning


def test_from_the_initramfs_enforcement_is_on_before_the_first_program_of_the_system(
    prepared: Guest, initramfs: tuple[Path, str]
) -> None:
    prepared.boot_again(initramfs)
    assert tries(prepared) == dict.fromkeys(("first", *SERVICES), "held")
    beginning = boot(prepared)
    print(beginning, prepared.run("systemd-analyze; menshen status | grep boot").stdout)
    assert beginning["stage"] == "initramfs"
    # Scripts of the initramfs, the shell that stood in for process 1, its mounts, and menshen-early.
    assert 5 < int(beginning["programs"]) < 200
    assert int(beginning["running"]) <= 4
    assert "before the first program of the system" in prepared.run("menshen doctor", check=False).stdout


def test_by_its_unit_enforcement_is_on_before_the_services_and_what_was_earlier_is_counted(
    prepared: Guest, initramfs: tuple[Path, str]
) -> None:
    """With an initramfs that has nothing of ours."""
    prepared.boot_again()
    assert tries(prepared) == {"first": "open"} | dict.fromkeys(SERVICES, "held")
    beginning = boot(prepared)
    print(beginning, prepared.run("systemd-analyze; menshen status | grep boot").stdout)
    assert beginning["stage"] == "unit"
    assert "programs" not in beginning
    assert 1 < int(beginning["running"]) <= int(beginning["started"]) < 1000


def test_what_the_command_line_says_comes_before(prepared: Guest, initramfs: tuple[Path, str]) -> None:
    archive, words = initramfs
    prepared.boot_again((archive, f"{words} menshen=off"))
    assert set(tries(prepared).values()) == {"open"}
    assert prepared.run("systemctl is-active menshen menshen-early", check=False).stdout.split() == [
        "inactive",
        "inactive",
    ]


def test_where_a_protection_would_refuse_a_mount_of_the_boot_the_unit_starts_it(
    prepared: Guest, initramfs: tuple[Path, str]
) -> None:
    prepared.run("echo 'tmpfs /var/log/menshen tmpfs mode=755 0 0' >>/etc/fstab")
    prepared.boot_again(initramfs)
    assert tries(prepared) == {"first": "open"} | dict.fromkeys(SERVICES, "held")
    assert boot(prepared)["stage"] == "unit"
    said = prepared.run("journalctl -b -o cat | grep 'would refuse'").stdout
    assert "/var/log/menshen (menshen-folders)" in said
