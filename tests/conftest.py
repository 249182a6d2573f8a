"""Markers and options that all tests share."""

from __future__ import annotations

import os

import hypothesis
import pytest

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
