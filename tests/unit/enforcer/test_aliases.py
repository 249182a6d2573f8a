"""The search for other names of protected files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.agent import aliases


def searched(monkeypatch: pytest.MonkeyPatch, mounts: str, tmp_path: Path, *roots: Path) -> list[int]:
    """The inodes that are found below `roots`; every path is protected."""
    table = tmp_path / "mountinfo"
    table.write_text(mounts)
    monkeypatch.setattr(aliases, "MOUNTS", table)
    return [alias.inode for alias in aliases.search(roots, lambda paths: [7] * len(paths))]


def tree(tmp_path: Path) -> tuple[Path, int]:
    """A folder with one file that has two names, and one that has one."""
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/x").write_text("")
    (folder / "inner/single").write_text("")
    os.link(folder / "inner/x", folder / "y")
    return folder, (folder / "y").stat().st_ino


def test_files_with_several_names_are_found_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, inode = tree(tmp_path)
    assert searched(monkeypatch, "", tmp_path, folder, folder / "inner") == [inode]


@pytest.mark.parametrize("below", ["", "inner"])
def test_views_of_the_kernel_are_not_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, below: str
) -> None:
    folder, _ = tree(tmp_path)
    mount = f"22 1 0:5 / {folder} rw - proc proc rw\n"
    assert searched(monkeypatch, mount, tmp_path, folder / below) == []
