"""Which cases answer for which program of the object: those of the catalogue that name it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bpf_lsm.bpf_object import BpfObject
from tests.guest.evasion import cases
from tests.guest.evasion.cases import Case

OBJECT: Final = Path(__file__).resolve().parents[2] / "bpf_lsm/objects/menshen.bpf.o"

LIFE: Final = ("activate", "adopt", "touch_catalogue", "touch_tree")
"""The gate's own programs, which no system call reaches: evasion/life.py tries what they change."""

ELSEWHERE: Final = {
    "claim": "tests/guest/tampering/test_tampering.py",
    "guard_bpf": "tests/guest/tampering/test_tampering.py",
    "guard_exec": "tests/guest/tampering/test_tampering.py",
    "guard_executed": "tests/guest/tampering/test_tampering.py",
    "guard_map": "tests/guest/tampering/test_tampering.py",
    "guard_program": "tests/guest/tampering/test_tampering.py",
    "held_descriptors": "tests/guest/test_agent.py",
    "held_mappings": "tests/guest/test_agent.py",
    "kernel_module_request": "tests/guest/test_special.py",
    "key_permission": "tests/guest/test_special.py",
    "task_movememory": "tests/guest/test_special.py",
    "uring_cmd": "tests/guest/test_special.py",
    "uring_override_creds": "tests/guest/test_special.py",
}
"""Programs that other tests are about: the guard, whose cases are tampering with a running agent, and hooks
that another one comes before."""

SINCE: Final = {
    "inode_set_acl": (6, 2),
    "inode_remove_acl": (6, 2),
    "file_truncate": (6, 2),
    "file_ioctl_compat": (6, 8),
    "bprm_identify_question": (6, 14),
    "inode_file_setattr": (6, 17),
}
"""What older kernels lack. There another program answers to the same case, if there is such a call."""


def programs() -> set[str]:
    """Of the object, by name."""
    with BpfObject(OBJECT) as opened:
        return set(opened.programs)


def closed() -> list[Case]:
    """The cases that something has to deny."""
    return [case for case in cases.cases() if not case.open]


def variant_of(case: Case) -> str:
    """Where a program's case is tried: in the plainest way that there is."""
    return case.variants[0]


def answering(names: Iterable[str]) -> dict[str, list[Case]]:
    """By program, its cases."""
    return {name: [case for case in closed() if case.hook == name] for name in names}
