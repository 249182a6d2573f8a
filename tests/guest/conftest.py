"""Fixtures: a guest for each test, on each kernel of the matrix, in a fresh state for half a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.guest import Guest

FIXTURES = {"kernel", "booted", "guest", "module_guest"}
HERE = Path(__file__).resolve().parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        names = [name for name in metafunc.config.getoption("--kernels").split(",") if name]
        metafunc.parametrize("kernel", names, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.guest)


@pytest.fixture(scope="session")
def booted(kernel: str) -> Iterator[Guest]:
    """The guest of this kernel, one for the whole run. Tests use `guest` or `module_guest`."""
    with Guest(kernel) as guest:
        yield guest


@pytest.fixture
def guest(booted: Guest) -> Guest:
    """A guest as it was right after its boot, with Menshen installed and nothing of it started."""
    booted.refresh()
    return booted


@pytest.fixture(scope="module")
def module_guest(booted: Guest) -> Guest:
    """A fresh guest for a module: prepare it, keep it with `snapshot(name)`, `restore(name)` for each test.

    A module uses either this or `guest`: they are the same machine.
    """
    booted.refresh()
    return booted


@pytest.fixture
def another_guest(kernel: str) -> Iterator[Callable[..., Guest]]:
    """Makes further guests for one test: `another_guest(lsm="...", share=folder)`."""
    running: list[Guest] = []

    def make(name: str = kernel, **options: Any) -> Guest:
        new = Guest(name, **options)
        new.start()
        running.append(new)
        return new

    yield make
    for one in running:
        one.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failing test shows the end of its guest's console."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        one = item.funcargs.get("booted")
        if isinstance(one, Guest) and one.running:
            report.sections.append((f"console of the guest ({one.kernel.release})", one.console()))
    return report
