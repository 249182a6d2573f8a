"""Markers and options that all tests share."""

from __future__ import annotations

import os
import re

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# How long one example takes says more about who else uses the machine than about the code.
hypothesis.settings.register_profile("menshen", deadline=None)
hypothesis.settings.load_profile("menshen")

MARKERS = {
    "guest": "runs in a QEMU guest, on every kernel of the matrix (see tests/guest/README.md)",
    "alone": "counts what happens on this machine: nothing runs beside it",
    "slow": "takes more than half a minute",
}

WATCHES_THE_MACHINE = ("tests/unit/bpf_lsm/test_watch.py", "tests/unit/detect/test_live.py")
"""Modules that count what happens on this machine: what ran beside them would be counted too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kernels",
        default=os.environ.get("MENSHEN_KERNELS", "6.1,6.12,latest"),
        help="kernels for guest tests, comma between (default: MENSHEN_KERNELS or 6.1,6.12,latest)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(WATCHES_THE_MACHINE):
            item.add_marker(pytest.mark.alone)


class OneGuestAtATime(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the tests of one module and kernel, which share a guest and its snapshots, to one worker.

    xdist's own groups do nothing with pytest 9.2: it looks for them in names that pytest no longer changes.
    """

    def _split_scope(self, nodeid: str) -> str:
        module, _, name = nodeid.partition("::")
        kernels = "|".join(map(re.escape, self.config.getoption("--kernels").split(",")))
        kernel = re.search(rf"\[({kernels})[]-]", name)
        return f"{module} {kernel.group(1) if kernel else ''}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return OneGuestAtATime(config, log)
